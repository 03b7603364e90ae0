//! One replica: started, killed, started again; at a named point or at any moment.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::World;
use crate::support::process::Process;

/// Every place at which the service can be told to die, and whether a letter is in doubt there.
const POINTS: [(&str, bool); 8] = [
    ("webhook.before_commit", false),
    ("webhook.after_commit", false),
    ("inbox.before_commit", false),
    ("letter.before_sending", false),
    ("letter.after_sending", true),
    ("letter.after_relay", true),
    ("letter.after_sent", false),
    ("mark.after_stripe", false),
];

/// `SIGABRT`: how it dies where it is told to.
const ABORT: i32 = 6;
/// A replica that is to die at a point and never comes there is killed after this.
const MAX_LIFE: Duration = Duration::from_secs(3);

pub async fn run(world: Arc<World>, number: usize) {
    let mut dice =
        StdRng::seed_from_u64(world.plan.seed.wrapping_mul(1000).wrapping_add(number as u64));
    while !world.calm.is_cancelled() {
        let point = dice.random_bool(0.5).then(|| POINTS[dice.random_range(0..POINTS.len())]);
        let life = Duration::from_millis(dice.random_range(100..1500));
        live_and_die(&world, number, point, life).await;
    }
    // From here on it lives.
    let process = start(&world, number, None).await;
    world.over.cancelled().await;
    world.balancer.remove(number);
    let mut process = process;
    process.signal("-TERM");
    let ended = process.ended().await;
    assert_eq!(ended.code(), Some(0), "replica {number} did not end well: {}", process.logged());
}

async fn live_and_die(world: &World, number: usize, point: Option<(&str, bool)>, life: Duration) {
    let mut process = start(world, number, point.map(|(name, _)| name)).await;
    let longest = if point.is_some() { MAX_LIFE } else { life };
    let by_itself = tokio::select! {
        status = process.ended_whenever() => Some(status),
        () = tokio::time::sleep(longest) => None,
        () = world.calm.cancelled() => None,
    };
    world.balancer.remove(number);
    match by_itself {
        None => {
            process.signal("-KILL");
            process.ended().await;
            world.killed(false);
        }
        Some(status) if point.is_some() && status.signal() == Some(ABORT) => {
            world.killed(point.is_some_and(|(_, in_doubt)| in_doubt));
        }
        // Nobody killed it: a defect.
        Some(status) => {
            world.ended_by_itself(&format!("replica {number}: {status}\n{}", process.logged()));
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
    // One that dies before it listens has no address, and is started again.
    if let Some(webhook) = &process.webhook {
        world.balancer.add(number, webhook);
    }
    process
}
