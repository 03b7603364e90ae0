//! Faults besides killed replicas: of the relay at each step, of Stripe's responses, and restarts
//! of Postgres.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stripe_simulator::{Fault, FaultKind};

use crate::World;
use crate::support::smtp::{Step, Trouble as SmtpTrouble};

/// The time between two restarts of Postgres.
const RESTART_INTERVAL: Duration = Duration::from_secs(10);

pub async fn run(world: Arc<World>) {
    let mut rng = StdRng::seed_from_u64(world.plan.seed ^ 0xbad);
    let mut last_restart = Instant::now();
    while !world.faults_over.is_cancelled() {
        break_relay(&world, &mut rng);
        break_stripe(&world, &mut rng);
        if last_restart.elapsed() > RESTART_INTERVAL {
            restart_postgres(&world).await;
            last_restart = Instant::now();
        }
        tokio::select! {
            () = world.faults_over.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(rng.random_range(300..1200))) => {}
        }
    }
}

fn break_relay(world: &World, rng: &mut StdRng) {
    let steps = [Step::Connect, Step::Hello, Step::Mail, Step::Rcpt(0), Step::Data];
    let (step, trouble, times) = match rng.random_range(0..8) {
        // A run of 4xx replies.
        0 => (steps[rng.random_range(1..5)], SmtpTrouble::Say("451 4.3.0 later"), 10),
        1 => (steps[rng.random_range(0..5)], SmtpTrouble::Drop, 3),
        2 => (Step::Data, SmtpTrouble::Stall, 1),
        3 => (Step::Content, SmtpTrouble::Drop, 1),
        4 => (Step::Dot, SmtpTrouble::Drop, 1),
        5 => (Step::Dot, SmtpTrouble::TakeAndDrop, 1),
        6 => (Step::Dot, SmtpTrouble::TakeAndStall, 1),
        // The service finds its pooled connections closed.
        _ => return world.relay.close_after_message_for(5),
    };
    world.relay.fail(step, trouble, times);
}

fn break_stripe(world: &World, rng: &mut StdRng) {
    let answer = |status, code, headers| FaultKind::Error { status, code, headers };
    let (kind, times) = match rng.random_range(0..8) {
        0 => (answer(429, "rate_limit", vec![("Retry-After", "1".to_owned())]), 5),
        1 => (answer(503, "api_error", vec![]), 10),
        2 => (FaultKind::StoredError, 1),
        3 => (FaultKind::MalformedBody, 1),
        4 => (FaultKind::DisconnectBefore, 3),
        5 => (FaultKind::DisconnectAfter, 3),
        6 => (FaultKind::Delay(Duration::from_secs(3)), 1),
        _ => (answer(409, "lock_timeout", vec![]), 3),
    };
    let path = ["mark_delivered", "/v1/capital/financing_offers", "/v1/accounts", "/v1/events"];
    let path = if matches!(kind, FaultKind::StoredError) {
        "mark_delivered"
    } else {
        path[rng.random_range(0..path.len())]
    };
    world.stripe.inject(Fault { method: "", path, times, kind });
}

/// Restarts Postgres as after a loss of power, except that the disk's cache survives.
async fn restart_postgres(world: &World) {
    let Ok(control) = std::env::var("COURIER_CAMPAIGN_POSTGRES") else { return };
    let restarted = tokio::process::Command::new(control).arg("restart").output().await.unwrap();
    assert!(restarted.status.success(), "{}", String::from_utf8_lossy(&restarted.stderr));
    world.postgres_restarts.fetch_add(1, Ordering::SeqCst);
}
