//! What is checked once when a process starts, beside the work: nothing waits for it.

use super::{disclaimers, samples, writer};
use crate::flow::email;
use crate::flow::email::lint::Rules;

/// Says in the log what the rules have against the wording of the letters. They go out all the same: Stripe's approval decides.
pub(super) fn check_wording(settings: &email::Settings) -> anyhow::Result<()> {
    let (writer, all) = (writer(settings)?, disclaimers(settings)?.all());
    let found = email::collection::check(&writer, &Rules::built_in()?, &samples(settings, &writer, &all)?);
    for email::collection::Found { finding, letters } in &found {
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
