//! The webhook, beside what the machine can do (a bare axum handler that verifies and parses) and
//! what platforms usually have (an Express receiver with Stripe's SDK and one insert). The three
//! take turns, so that what else the machine does meets all of them.

use std::sync::Arc;

use crate::events::transaction_created;
use crate::figures::{Figure, Goal};
use crate::load::{self, Answers, Load, Source};
use crate::peers::Peer;
use crate::sizes::Sizes;
use crate::world::World;

const CONNECTIONS: [usize; 4] = [1, 8, 32, 128];
/// The number of connections that the goals are about.
const MAIN: usize = 32;
/// More than a machine of this size takes.
const MAX_PER_SECOND: f64 = 60_000.0;

/// Leaves events that are not read.
pub async fn measure(world: &World, sizes: &Sizes) -> Vec<Figure> {
    let axum = Peer::bare_axum().await;
    let express = Peer::express(world).await;
    let mut figures = Vec::new();
    for connections in CONNECTIONS {
        let (mut ours, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..sizes.rounds {
            let load = Load { connections, until: Some(sizes.load), per_second: None };
            bare.push(load.post(axum.address, repeated(world)).await);
            if let Some(express) = &express {
                theirs.push(load.post(express.address, distinct(world, sizes)).await);
            }
            let service = world.start(&["serve", "--no-worker"], &[]).await;
            ours.push(load.post(service.http, distinct(world, sizes)).await);
            service.stop().await;
        }
        figures.extend(of(connections, &ours, &bare, &theirs));
    }
    let stored: i64 =
        sqlx::query_scalar("select count(*) from inbox_events where state = 'unread'")
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert!(stored > 0, "no event was stored");
    figures
}

fn of(connections: usize, ours: &[Answers], bare: &[Answers], theirs: &[Answers]) -> Vec<Figure> {
    let goal = |goal, other| if connections == MAIN { goal } else { other };
    let rates = |answers: &[Answers]| answers.iter().map(Answers::per_second).collect::<Vec<_>>();
    let percentiles = |fraction| ours.iter().map(|one| one.percentile(fraction)).collect();
    let relative = |others: &[Answers]| {
        let pairs = ours.iter().zip(others);
        pairs.map(|(ours, other)| ours.per_second() / other.per_second()).collect::<Vec<_>>()
    };
    let plural = if connections == 1 { "" } else { "s" };
    let name = |what: &str| format!("accept, {connections} connection{plural}{what}");
    let mut figures = vec![
        Figure::new(name(""), "/s", Goal::More, rates(ours)),
        Figure::new(name(", p50"), "ms", Goal::Less, percentiles(0.5)),
        Figure::new(name(", p99"), "ms", goal(Goal::AtMost(10.0), Goal::Less), percentiles(0.99)),
        Figure::new(name(", bare axum"), "/s", Goal::More, rates(bare)),
        Figure::new(
            name(" ÷ bare axum"),
            "",
            goal(Goal::AtLeast(0.35), Goal::More),
            relative(bare),
        ),
    ];
    if !theirs.is_empty() {
        let ratio = goal(Goal::AtLeast(6.0), Goal::More);
        figures.push(Figure::new(name(", Express"), "/s", Goal::More, rates(theirs)));
        figures.push(Figure::new(name(" ÷ Express"), "", ratio, relative(theirs)));
    }
    figures
}

pub fn event(number: usize) -> Vec<u8> {
    let account = format!("acct_1Pgaf{:013}", number % 1000);
    let offer = format!("financingoffer_1Pgaf{:013}", number % 1000);
    load::request(&transaction_created(number, &account, &offer, chrono::Utc::now()))
}

/// Requests that are never repeated.
fn distinct(world: &World, sizes: &Sizes) -> Source {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let count = (sizes.load.as_secs_f64() * MAX_PER_SECOND) as usize;
    load::prepared(world.numbers(count).map(event).collect())
}

/// Requests for a handler that stores nothing.
fn repeated(world: &World) -> Source {
    let requests: Vec<Vec<u8>> = world.numbers(5_000).map(event).collect();
    Arc::new(move |number| Some(requests[number % requests.len()].clone()))
}
