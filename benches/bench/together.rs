//! Accepting and reading at once, at a rate that is a little above the goal.

use std::sync::Arc;
use std::time::Instant;

use crate::database::ALL_READ;
use crate::events::transaction_created;
use crate::figures::{Figure, Goal};
use crate::load::{Load, request};
use crate::read::financings;
use crate::sizes::Sizes;
use crate::world::World;

const GOAL: f64 = 8_000.0;
/// So that a service that keeps up is seen to reach the goal.
const OFFERED: f64 = 1.05 * GOAL;

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let financings = financings(world).await;
    // More than enough: which of them are used decides the time.
    let first = world.numbers(10_000_000).start;
    let service = world.start(&["serve"], &[]).await;
    let load = Load { connections: 32, until: Some(sizes.together), per_second: Some(OFFERED) };
    // Signed when they are sent, because a minute's requests take a gigabyte.
    let source = Arc::new(move |number: usize| {
        let (account, offer) = &financings[number % financings.len()];
        let body = transaction_created(first + number, account, offer, chrono::Utc::now());
        Some(request(&body))
    });
    let answers = load.post(service.http, source).await;
    let (backlog, ended) = (world.db.unread().await, Instant::now());
    world.db.wait_until(ALL_READ).await;
    let drained = ended.elapsed().as_secs_f64();
    service.stop().await;
    let read = (answers.count() as f64 - backlog as f64) / answers.elapsed.as_secs_f64();
    vec![
        Figure::new("accept and read together, read", "/s", Goal::AtLeast(GOAL), vec![read]),
        Figure::new("the same, accepted", "/s", Goal::More, vec![answers.per_second()]),
        Figure::new("the same, p99 of accepting", "ms", Goal::Less, vec![answers.percentile(0.99)]),
        Figure::new("the same, unread at the end", "events", Goal::Less, vec![backlog as f64]),
        Figure::new("the same, until all is read", "s", Goal::Less, vec![drained]),
    ]
}
