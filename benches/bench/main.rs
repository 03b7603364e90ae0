//! The benchmark: every figure beside its goal, in one table. The service is a process
//! of its own with its default settings on a real Postgres, Stripe is simulated, and all of them
//! share this machine. `scripts/bench` runs it; docs/performance.md explains the table.
//!
//! | module | measures |
//! |---|---|
//! | `verify` | a signature, beside the bare HMAC; parsing; rendering |
//! | `start` | the time to ready, memory at rest |
//! | `idle` | one offer on an idle service |
//! | `offers` | offers from the webhook to Stripe's mark |
//! | `read` | the inbox reader |
//! | `together` | accepting and reading at once, for a minute |
//! | `pages` | pages and reports of an account with many movements |
//! | `burst` | very many offers at once |
//! | `accept` | the webhook, beside a bare axum handler and an Express receiver (`peers`) |
//! | `profile` | nothing: it counts instructions of the webhook by function |
//!
//! It is not a test: it fails if an answer or a result is wrong, and never because of a time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing to measure")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures wall-clock time and is not part of the service"
)]
#![allow(unreachable_pub, reason = "a program's modules share their items by `pub`")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints its results")]

mod accept;
mod burst;
mod database;
#[path = "../events.rs"]
mod events;
mod figures;
mod grown;
mod http;
mod idle;
mod load;
mod machine;
mod offers;
mod pages;
mod peers;
mod profile;
mod read;
mod service;
mod sizes;
#[allow(dead_code, reason = "the test relay has more than is used here")]
#[path = "../../tests/it/support/smtp.rs"]
mod smtp;
mod start;
#[path = "../subjects.rs"]
mod subjects;
mod together;
mod verify;
mod world;

use std::time::Instant;

use figures::Figure;
use sizes::Sizes;
use world::World;

/// In this order, because the last two leave work behind.
const PARTS: [&str; 9] =
    ["verify", "start", "idle", "offers", "read", "together", "pages", "burst", "accept"];

async fn measure(part: &str, world: &World, sizes: &Sizes) -> Vec<Figure> {
    let started = Instant::now();
    let figures = match part {
        "verify" => verify::measure(sizes),
        "start" => start::measure(world, sizes).await,
        "idle" => idle::measure(world, sizes).await,
        "offers" => offers::measure(world, sizes).await,
        "read" => read::measure(world, sizes).await,
        "together" => together::measure(world, sizes).await,
        "pages" => pages::measure(world, sizes).await,
        "burst" => burst::measure(world, sizes).await,
        "accept" => accept::measure(world, sizes).await,
        other => panic!("no part is called {other}: {PARTS:?}"),
    };
    eprintln!("· {part}: {:.0} s", started.elapsed().as_secs_f64());
    figures
}

/// Each part in a database of its own.
async fn measure_empty(parts: &[&str], sizes: &Sizes) -> Vec<Figure> {
    let mut figures = Vec::new();
    for part in parts {
        let world = World::create("bench").await;
        figures.extend(measure(part, &world, sizes).await);
        world.destroy().await;
    }
    figures
}

/// All parts in one database that has a large history.
async fn measure_grown(parts: &[&str], sizes: &Sizes) -> Vec<Figure> {
    let world = World::create("bench_grown").await;
    grown::fill(&world.db, sizes).await;
    world.settle().await;
    let mut figures = Vec::new();
    for part in parts {
        figures.extend(measure(part, &world, sizes).await);
    }
    world.destroy().await;
    figures
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [peer, port] = arguments.as_slice()
        && peer == "bare-axum"
    {
        return peers::serve_bare_axum(port.parse().unwrap()).await;
    }
    let (options, named): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let sizes = if options.contains(&"--quick") { Sizes::quick() } else { Sizes::full() };
    if named == ["profile"] {
        return profile::run().await;
    }
    let parts = if named.is_empty() { PARTS.to_vec() } else { named };
    let description = machine::describe().await;
    let empty = measure_empty(&parts, &sizes).await;
    println!("{description}\n");
    figures::print(&empty);
    if options.contains(&"--grown") {
        let grown = measure_grown(&parts, &sizes).await;
        println!("\n{}\n", grown::describe(&sizes));
        figures::print_grown(&empty, &grown);
    }
}
