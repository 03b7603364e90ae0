//! Compares the time of the database with that of this machine and of Stripe.

use chrono::TimeDelta;

use super::Check;
use crate::clock::{Agreement, Clock};

const NAME: &str = "clock";
/// An NTP client keeps the difference far smaller.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(30);

pub(super) fn check(clock: &Clock) -> Check {
    const MACHINE: &str =
        "run an NTP client on this machine: its clock is used to verify TLS certificates";
    const DATABASE: &str =
        "run an NTP client on the database server: nothing is sent until its clock is right";
    let machine = clock.wall_clock_skew();
    match clock.agreement() {
        Agreement::Differs(skew) => Check::wrong(
            NAME,
            format!("the database differs from Stripe by {} s", skew.num_seconds()),
            DATABASE,
        ),
        Agreement::Unknown | Agreement::Agrees if machine.abs() > MAX_SKEW => Check::warn(
            NAME,
            format!("this machine differs from the database by {} s", machine.num_seconds()),
            MACHINE,
        ),
        Agreement::Agrees => Check::ok(NAME, "the database agrees with Stripe"),
        Agreement::Unknown => Check::skipped(NAME, "no answer from Stripe"),
    }
}
