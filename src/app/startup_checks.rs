//! Checks at startup: the wording of emails, pauses, and Stripe's key. All of them only log.

use std::time::Duration;

use super::parts;
use crate::database::Pool;
use crate::flow::email;
use crate::letters::pauses::{self, SeenPauses};
use crate::letters::wording::samples::{Checked, SampleFinding};
use crate::letters::wording::{Disclaimers, Writer};
use crate::stripe::Client;
use crate::telemetry::chain;

/// Logs violations of the wording rules. Letters are sent all the same: Stripe's approval decides.
/// Not urgent, so it takes ten seconds and a tenth of a core for what it could do in one: a process
/// that starts with a backlog has other work.
pub(super) fn check_wording(
    settings: &email::Settings,
    writer: &Writer,
    disclaimers: &Disclaimers,
) -> anyhow::Result<()> {
    let rest = |took: Duration| std::thread::sleep(took * 9);
    let Checked { found, .. } = parts::check_wording(settings, writer, disclaimers, rest)?;
    for SampleFinding { finding, letters } in &found {
        tracing::warn!(
            rule = finding.rule,
            part = %finding.part,
            found = finding.found,
            letters = letters.len(),
            "the wording of emails violates a rule: run `email check`"
        );
    }
    Ok(())
}

/// Logs each pause that is in force, so that a service that sends nothing says why.
pub(super) async fn check_pauses(db: &Pool, seen: &SeenPauses) {
    match pauses::in_force(db).await {
        Ok(in_force) => in_force.iter().for_each(|pause| seen.log(pause)),
        Err(error) => db.health().report(&error, "cannot read the pauses of sending"),
    }
}

/// Calls Stripe once and logs whether it accepts the API key. An idle process would otherwise not
/// notice an invalid key before its first letter. Takes at most five seconds.
pub(super) async fn check_api_key(stripe: &Client) {
    let Err(error) = stripe.interactive().probe().await else {
        return tracing::info!("Stripe accepts STRIPE_API_KEY");
    };
    if let Some(problem) = error.key_problem() {
        tracing::error!(error = chain(&error), "{problem}");
    } else {
        tracing::warn!(
            error = chain(&error),
            "cannot check STRIPE_API_KEY: no usable answer from Stripe; emails wait for one"
        );
    }
}
