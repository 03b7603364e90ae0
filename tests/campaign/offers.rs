//! Offers and their lives: most just wait to be delivered; some end, are replaced, or go on to be paid.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stripe_simulator::{Action, NewAccount, NewOffer};
use tokio_util::task::TaskTracker;

use crate::{World, count};

/// More work that waits would only make a backlog that the kills never reach the end of.
const MAX_WAITING: i64 = 100;

/// An address of its own for each offer: so the mail server alone can tell which offer a letter is about.
pub fn address_of(number: usize) -> String {
    format!("offer-{number}@merchant.example")
}

/// Makes offers until Stripe has made so many events, and waits for all their lives.
pub async fn make(world: &Arc<World>) {
    let mut dice = StdRng::seed_from_u64(world.plan.seed ^ 0x0ffe5);
    let lives = TaskTracker::new();
    let (mut number, mut waiting) = (0, 0);
    // As long as there are kills there is something to kill.
    while world.stripe.event_count() < world.plan.events || !world.calm.is_cancelled() {
        if number % 10 == 0 {
            // While Postgres restarts there is no answer, and the last one will do.
            waiting = count::waiting(world).await.unwrap_or(waiting);
        }
        // The events are spread over all kills, and what is left over follows in peace.
        let kills = world.kills.load(Ordering::SeqCst);
        let share = u64::from(kills + 10) * world.plan.events as u64 / u64::from(world.plan.kills);
        let is_early = !world.calm.is_cancelled() && world.stripe.event_count() as u64 > share;
        if waiting < MAX_WAITING && !is_early {
            let account = world.stripe.add_account(&NewAccount {
                name: Some(format!("Merchant {number}")),
                email: Some(address_of(number)),
                country: None,
            });
            let offer = world.stripe.create_offer(&account, &NewOffer::default());
            number += 1;
            let seed = dice.random();
            lives.spawn(live(Arc::clone(world), offer, seed));
        } else {
            waiting = count::waiting(world).await.unwrap_or(waiting);
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(1..15))).await;
    }
    lives.close();
    lives.wait().await;
}

async fn live(world: Arc<World>, offer: String, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let buttons: &[Action] = match dice.random_range(0..100) {
        0..45 => &[],
        45..55 => &[Action::Expire],
        55..60 => &[Action::Replace],
        60..62 => &[Action::TakeOther],
        62..70 => &[Action::Apply, Action::Reject],
        70..75 => &[Action::Apply, Action::Counter],
        75..80 => &[Action::Apply, Action::Cancel],
        _ => &[Action::Apply, Action::Approve, Action::Repay],
    };
    for button in buttons {
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..3000))).await;
        // One that its life does not allow yet, or any more, is not pressed.
        let _ = world.stripe.perform(*button, &offer);
    }
}
