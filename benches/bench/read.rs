//! The inbox reader: events that were accepted while no worker ran, read by one.

use std::time::Instant;

use stripe_simulator::NewOffers;

use crate::database::ALL_READ;
use crate::events::transaction_created;
use crate::figures::{Figure, Goal};
use crate::load::{self, Load};
use crate::service;
use crate::sizes::Sizes;
use crate::world::World;

const CONNECTIONS: usize = 32;
/// Accounts with a financing that is paid down.
const FINANCINGS: usize = 200;

pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let financings = financings(world).await;
    let (mut transactions, mut offers) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let events = transactions_of(world, &financings, sizes.unread);
        transactions.push(read(world, events).await);
    }
    // Letters would be sent at once, and share the processor with the reader.
    let pause = ["pause", "--reason", "benchmark"];
    let resume = ["resume", "--reason", "benchmark"];
    service::run(&pause, &world.env).await;
    for _ in 0..sizes.rounds {
        offers.push(read(world, world.create_offers(sizes.unread / 2).1).await);
    }
    world.stripe.clear_events();
    cancel_letters(world).await;
    service::run(&resume, &world.env).await;
    vec![
        Figure::new("read transaction events", "/s", Goal::AtLeast(15_000.0), transactions),
        Figure::new("read offers' events", "/s", Goal::AtLeast(8_000.0), offers),
    ]
}

/// Accounts and offers that are known here and at Stripe, and paid out.
pub async fn financings(world: &World) -> Vec<(String, String)> {
    let new = NewOffers {
        count: FINANCINGS,
        accounts: FINANCINGS,
        statuses: vec!["paid_out".to_owned()],
        has_events: false,
        ..NewOffers::default()
    };
    let made = world.stripe.create_offers(&new).unwrap();
    let offers = made.accounts.iter().map(|account| {
        let offer = world.stripe.newest_offer(account).unwrap();
        (account.clone(), offer["id"].as_str().unwrap().to_owned())
    });
    let offers: Vec<(String, String)> = offers.collect();
    let events = offers.iter().map(|(_, offer)| {
        let event = world.stripe.emit("capital.financing_offer.paid_out", offer);
        load::request(&serde_json::to_vec_pretty(&event).unwrap())
    });
    let service = world.start(&["serve", "--no-worker"], &[]).await;
    Load::of(1).post(service.http, load::prepared(events.collect())).await;
    service.stop().await;
    world.settle().await;
    offers
}

/// Signed requests with so many new transactions of these financings.
pub fn transactions_of(
    world: &World,
    financings: &[(String, String)],
    count: usize,
) -> Vec<Vec<u8>> {
    let now = chrono::Utc::now();
    let requests = world.numbers(count).map(|number| {
        let (account, offer) = &financings[number % financings.len()];
        load::request(&transaction_created(number, account, offer, now))
    });
    requests.collect()
}

/// Events per second, from when the worker is ready until none is unread.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
async fn read(world: &World, requests: Vec<Vec<u8>>) -> f64 {
    let count = i64::try_from(requests.len()).unwrap();
    let service = world.start(&["serve", "--no-worker"], &[]).await;
    Load::of(CONNECTIONS).post(service.http, load::prepared(requests)).await;
    service.stop().await;
    assert_eq!(world.db.unread().await, count, "each event is stored once");
    world.db.calm().await;

    let service = world.start(&["worker"], &[]).await;
    let (unread, started) = (world.db.unread().await, Instant::now());
    world.db.wait_until(ALL_READ).await;
    let rate = unread as f64 / started.elapsed().as_secs_f64();
    service.stop().await;
    let wrong = "exists (select from inbox_events where state in ('unreadable', 'wrong_mode'))";
    assert!(!world.db.is_true(wrong).await, "an event could not be read");
    rate
}

/// The letters that the pause held back are never sent.
async fn cancel_letters(world: &World) {
    let never = "update jobs set due_at = now() + interval '1 year' where kind = 'send_letter' and state = 'queued'";
    sqlx::query(never).execute(&world.db.pool).await.unwrap();
}
