//! Offers and what merchants do with them: most wait for their delivery; some end, are replaced or
//! are paid out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stripe_simulator::{Action, NewAccount, NewOffer};
use tokio_util::task::TaskTracker;

use crate::{World, count};

/// The longest backlog of jobs: a longer one would outlast the kills.
const MAX_WAITING: i64 = 100;

/// One address per offer, so that the mail server alone shows which offer a letter is about.
pub fn address_of(number: usize) -> String {
    format!("offer-{number}@merchant.example")
}

/// Creates offers until there are `plan.events` events, and waits for every merchant's actions.
pub async fn create_all(world: &Arc<World>) {
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ 0x0ffe5);
    let merchants = TaskTracker::new();
    let (mut number, mut waiting) = (0, 0);
    // While there are kills, there must be work to interrupt.
    while world.stripe.event_count() < world.plan.events || !world.faults_over.is_cancelled() {
        if number % 10 == 0 {
            // While Postgres restarts, the last known figure is good enough.
            waiting = count::waiting(world).await.unwrap_or(waiting);
        }
        // Spread the events over all kills; the rest follows without faults.
        let kills = world.kills.load(Ordering::SeqCst);
        let share = u64::from(kills + 10) * world.plan.events as u64 / u64::from(world.plan.kills);
        let is_early =
            !world.faults_over.is_cancelled() && world.stripe.event_count() as u64 > share;
        if waiting < MAX_WAITING && !is_early {
            let account = world.stripe.add_account(&NewAccount {
                name: Some(format!("Merchant {number}")),
                email: Some(address_of(number)),
                country: None,
            });
            let offer = world.stripe.create_offer(&account, &NewOffer::default());
            number += 1;
            let seed = rng.random();
            merchants.spawn(act(Arc::clone(world), offer, seed));
        } else {
            waiting = count::waiting(world).await.unwrap_or(waiting);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(1..15))).await;
    }
    merchants.close();
    merchants.wait().await;
}

/// Performs a random series of actions on an offer.
async fn act(world: Arc<World>, offer: String, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let actions: &[Action] = match rng.random_range(0..100) {
        0..45 => &[],
        45..55 => &[Action::Expire],
        55..60 => &[Action::Replace],
        60..62 => &[Action::TakeOther],
        62..70 => &[Action::Apply, Action::Reject],
        70..75 => &[Action::Apply, Action::Counter],
        75..80 => &[Action::Apply, Action::Cancel],
        _ => &[Action::Apply, Action::Approve, Action::Repay],
    };
    for action in actions {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..3000))).await;
        // The offer's status may not allow the action.
        let _ = world.stripe.perform(*action, &offer);
    }
}
