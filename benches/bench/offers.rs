//! Offers from the webhook to Stripe's mark, and the calls that each costs. Every offer is of a
//! merchant of its own.

use std::time::{Duration, Instant};

use crate::database::SETTLED;
use crate::figures::{Figure, Goal};
use crate::load::{self, Load};
use crate::sizes::Sizes;
use crate::world::World;

const CONNECTIONS: usize = 32;

pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let (mut free, mut calls_each) = (Vec::new(), Vec::new());
    let (mut limited, mut limited_calls) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let round = send(world, sizes.offers, &[]).await;
        free.push(round.offers_per_second);
        calls_each.push(round.calls_each);
        let limit = [("COURIER_STRIPE__REQUESTS_PER_SECOND", "25")];
        let round = send(world, sizes.limited_offers, &limit).await;
        limited.push(round.offers_per_second);
        limited_calls.push(round.calls_per_second);
    }
    vec![
        Figure::new("offers end to end, no limits", "/s", Goal::AtLeast(250.0), free),
        Figure::new("calls at Stripe for an offer", "", Goal::AtMost(2.1), calls_each),
        Figure::new("offers end to end, 25 calls/s", "/s", Goal::More, limited),
        Figure::new("calls at Stripe, limit of 25/s", "/s", Goal::AtLeast(24.0), limited_calls),
    ]
}

struct Round {
    offers_per_second: f64,
    calls_per_second: f64,
    /// Those that follow later included, such as the first reading of the account's transactions.
    calls_each: f64,
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
async fn send(world: &World, count: usize, settings: &[(&str, &str)]) -> Round {
    let service = world.start(&["serve"], settings).await;
    let (letters, calls) = (world.relay.count(), world.stripe.requests().len());
    let (offers, requests) = world.create_offers(count);
    let started = Instant::now();
    Load::of(CONNECTIONS).post(service.http, load::prepared(requests)).await;
    for offer in &offers {
        while world.stripe.delivered_marks(offer) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let calls_so_far = world.stripe.requests().len() - calls;
    service.stop().await;

    // Without a limit, because the rest is not timed.
    let service = world.start(&["serve"], &[]).await;
    let soon =
        "update jobs set due_at = now() where kind = 'backfill_transactions' and state = 'queued'
        and due_at < now() + interval '1 hour'";
    sqlx::query(soon).execute(&world.db.pool).await.unwrap();
    world.db.wait_until(SETTLED).await;
    service.stop().await;
    assert!(offers.iter().all(|offer| world.stripe.delivered_marks(offer) == 1));
    assert_eq!(world.relay.count() - letters, count, "each offer has one letter");
    Round {
        offers_per_second: count as f64 / seconds,
        calls_per_second: calls_so_far as f64 / seconds,
        calls_each: (world.stripe.requests().len() - calls) as f64 / count as f64,
    }
}
