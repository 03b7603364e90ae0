//! What is checked once when a process starts.

use super::{disclaimers, samples, writer};
use crate::flow::email;
use crate::letters::lint::Rules;
use crate::letters::wording::samples as sample_letters;
use crate::stripe::Client;
use crate::telemetry::chain;

/// Says in the log what the rules have against the wording of the letters. They go out all the same: Stripe's approval decides.
pub(super) fn check_wording(settings: &email::Settings) -> anyhow::Result<()> {
    let (writer, all) = (writer(settings)?, disclaimers(settings)?.all());
    let found =
        sample_letters::check(&writer, &Rules::built_in()?, &samples(settings, &writer, &all)?);
    for sample_letters::Found { finding, letters } in &found {
        tracing::warn!(
            rule = finding.rule,
            part = %finding.part,
            found = finding.found,
            letters = letters.len(),
            "the wording of letters is against a rule: see `email check`"
        );
    }
    Ok(())
}

/// Asks Stripe once whether it accepts the API key, and logs what is wrong with it. A process that has nothing to do would
/// otherwise not notice before its first letter. Takes five seconds at most.
pub(super) async fn check_api_key(stripe: &Client) {
    let Err(error) = stripe.interactive().probe().await else {
        return tracing::info!("Stripe accepts STRIPE_API_KEY");
    };
    if let Some(problem) = error.key_problem() {
        tracing::error!(error = chain(&error), "{problem}");
    } else {
        tracing::warn!(
            error = chain(&error),
            "cannot check STRIPE_API_KEY: Stripe gives no usable answer; letters wait until it does"
        );
    }
}
