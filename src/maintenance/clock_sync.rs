//! Sets this process's clock by the database's and compares it with Stripe's ([`crate::clock`]).

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{Agreement, Clock, NOTABLE_MOVE, Throttle};
use crate::database::{self, Pool};
use crate::stripe::Client;
use crate::telemetry::chain;

/// A failover or an NTP step is noticed within this time.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// While the clocks differ. No job is claimed then, so nothing else calls Stripe.
const ASK_STRIPE_EVERY: Duration = Duration::from_secs(10);
/// Until Stripe's first response: a process without workers may never call it otherwise.
const ASK_FIRST_EVERY: Duration = Duration::from_mins(1);
const LOG_EVERY: Duration = Duration::from_mins(1);
/// A larger error of the wall clock is logged, because TLS certificates are checked by it.
const NOTABLE_WALL_CLOCK_SKEW: TimeDelta = TimeDelta::seconds(30);

#[derive(Clone, Debug)]
pub struct ClockSync {
    pub db: Pool,
    pub clock: Clock,
    /// Must share `clock`, to which it passes the date of each response.
    pub stripe: Client,
}

impl ClockSync {
    /// Measures and compares until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (mut asked, mut logged, mut wall_logged) =
            (Throttle::default(), Throttle::default(), Throttle::default());
        loop {
            self.measure().await;
            let ask_again = match self.clock.agreement() {
                Agreement::Agrees => None,
                Agreement::Unknown => Some(ASK_FIRST_EVERY),
                Agreement::Differs(skew) => {
                    if logged.is_due(LOG_EVERY, Instant::now()) {
                        log_difference(skew);
                    }
                    Some(ASK_STRIPE_EVERY)
                }
            };
            if ask_again.is_some_and(|every| asked.is_due(every, Instant::now())) {
                // The client passes the date of any response to the clock, so the result is unused.
                let _ = timeout(MEASURE_EVERY, self.stripe.probe()).await;
            }
            let skew = self.clock.wall_clock_skew();
            if skew.abs() >= NOTABLE_WALL_CLOCK_SKEW
                && wall_logged.is_due(LOG_EVERY, Instant::now())
            {
                tracing::warn!(
                    clock.skew_seconds = skew.num_seconds(),
                    "this machine's clock differs from the database's; jobs use the database's, \
                     but TLS certificates are checked by this one"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(MEASURE_EVERY) => {}
            }
        }
    }

    async fn measure(&self) {
        match timeout(MEASURE_EVERY, database::measure_clock(&self.db)).await {
            Ok(Ok(measured)) => {
                let moved = self.clock.follow(measured);
                if moved.abs() >= NOTABLE_MOVE {
                    let seconds = moved.num_seconds();
                    tracing::warn!(clock.moved_seconds = seconds, "the database's clock jumped");
                }
            }
            Ok(Err(error)) => {
                tracing::debug!(error = chain(&error), "cannot read the database's clock");
            }
            Err(_) => tracing::debug!("cannot read the database's clock: timed out"),
        }
    }
}

fn log_difference(skew: TimeDelta) {
    tracing::error!(
        clock.skew_seconds = skew.num_seconds(),
        "the database's clock differs from Stripe's: no job is claimed and nothing is erased until \
         it is corrected (NTP on the database server)"
    );
}
