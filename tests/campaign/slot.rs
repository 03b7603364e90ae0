//! One replica: started, killed at a crash point or at a random time, and started again.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::World;
use crate::support::process::Process;

/// Every crash point of the service, and whether a letter's outcome is unknown there.
const POINTS: [(&str, bool); 19] = [
    ("webhook.before_commit", false),
    ("webhook.before_answers", false),
    ("webhook.between_answers", false),
    ("webhook.after_commit", false),
    ("inbox.after_lock", false),
    ("inbox.between_sets", false),
    ("offers.after_lock", false),
    ("inbox.before_commit", false),
    ("inbox.after_commit", false),
    ("letter.before_sending", false),
    ("letters.before_sending_commit", false),
    ("letters.after_sending_commit", true),
    ("letter.after_sending", true),
    ("letter.after_relay", true),
    ("letters.before_sent_commit", true),
    ("letters.after_sent_commit", false),
    ("mark.after_stripe", false),
    ("marks.before_commit", false),
    ("marks.after_commit", false),
];

/// `SIGABRT`, by which the service dies at a crash point.
const ABORT: i32 = 6;
/// When to kill a replica that does not reach its crash point.
const MAX_LIFETIME: Duration = Duration::from_secs(3);

pub async fn run(world: Arc<World>, number: usize) {
    let mut rng =
        StdRng::seed_from_u64(world.plan.seed.wrapping_mul(1000).wrapping_add(number as u64));
    while !world.faults_over.is_cancelled() {
        let point = rng.random_bool(0.5).then(|| POINTS[rng.random_range(0..POINTS.len())]);
        let lifetime = Duration::from_millis(rng.random_range(100..1500));
        run_until_killed(&world, number, point, lifetime).await;
    }
    // No more kills: this replica runs to the end.
    let mut process = start(&world, number, None).await;
    world.finished.cancelled().await;
    world.balancer.remove(number);
    process.signal("-TERM");
    let status = process.ended().await;
    assert_eq!(status.code(), Some(0), "replica {number} failed: {}", process.logged());
}

async fn run_until_killed(
    world: &World,
    number: usize,
    point: Option<(&str, bool)>,
    lifetime: Duration,
) {
    let mut process = start(world, number, point.map(|(name, _)| name)).await;
    let limit = if point.is_some() { MAX_LIFETIME } else { lifetime };
    let exit = tokio::select! {
        status = process.ended_whenever() => Some(status),
        () = tokio::time::sleep(limit) => None,
        () = world.faults_over.cancelled() => None,
    };
    world.balancer.remove(number);
    match exit {
        None => {
            process.signal("-KILL");
            process.ended().await;
            world.count_kill(false);
        }
        Some(status) if point.is_some() && status.signal() == Some(ABORT) => {
            world.count_kill(point.is_some_and(|(_, is_uncertain)| is_uncertain));
        }
        // An exit without a kill is a defect.
        Some(status) => {
            world.record_exit(&format!("replica {number}: {status}\n{}", process.logged()));
        }
    }
}

async fn start(world: &World, number: usize, point: Option<&str>) -> Process {
    let mut env = world.env.clone();
    env.extend(point.map(|name| ("COURIER_CRASH_AT".to_owned(), name.to_owned())));
    if number == 0 {
        env.extend(world.wrong_clock.clone());
    }
    let process = Process::serve(&env).await;
    // A replica that dies before it listens has no address.
    if let Some(webhook) = &process.webhook {
        world.balancer.add(number, webhook);
    }
    process
}
