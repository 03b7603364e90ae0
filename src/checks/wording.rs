//! The wording of emails: the copy rules, the disclaimers, and with a live key what lacks a
//! disclaimer or an approval, by market.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use url::Url;

use super::{Check, CheckParts};
use crate::database::Pool;
use crate::letters::lint::Rules;
use crate::letters::wording::approvals::{ApprovalFilter, CopyId, store};
use crate::letters::wording::samples::{self, Checked};
use crate::letters::wording::{Disclaimers, Writer};
use crate::stripe::DISCLAIMER_VARIANTS;
use crate::telemetry::chain;

const NAME: &str = "wording";
const APPROVE: &str = "once Stripe has approved it, run `capital-courier email approve --market";

/// What letters are written with.
#[derive(Debug)]
pub struct WordingPart {
    pub writer: Arc<Writer>,
    pub disclaimers: Disclaimers,
    /// As in letters; `None` if merchants unsubscribe by email.
    pub sample_link: Option<Url>,
    /// The wordings with the operator's disclaimers.
    pub copies: Vec<CopyId>,
}

pub(super) async fn check(parts: &CheckParts) -> Vec<Check> {
    let wording = match &parts.wording {
        None => return Vec::new(),
        Some(Ok(wording)) => wording,
        Some(Err(error)) => {
            return vec![Check::wrong(NAME, error, "fix the file that the message names")];
        }
    };
    let mut checks = vec![check_rules(Arc::clone(wording)).await];
    if !parts.is_live() {
        checks.push(disclaimers_of_test_mode(wording));
        return checks;
    }
    checks.push(disclaimers(wording));
    if let Some(database) = &parts.database {
        checks.extend(approvals(&database.pool, &wording.copies).await);
    }
    checks
}

/// In a thread of its own, because the samples take a noticeable time.
async fn check_rules(wording: Arc<WordingPart>) -> Check {
    let checked = TaskTracker::new().spawn_blocking(move || -> Result<Checked, String> {
        let WordingPart { writer, disclaimers, sample_link, .. } = &*wording;
        let all = disclaimers.all();
        let rules = Rules::built_in().map_err(|error| chain(&error))?;
        let checked = samples::check_all(writer, &rules, &all, sample_link.as_ref(), drop);
        checked.map_err(|error| chain(&error))
    });
    match checked.await {
        Ok(Ok(Checked { found, letters })) if found.is_empty() => {
            Check::ok(NAME, format!("{letters} sample emails pass the rules"))
        }
        Ok(Ok(Checked { found, .. })) => Check::warn(
            NAME,
            format!("{} rule violations", found.len()),
            "run `capital-courier email check`",
        ),
        Ok(Err(error)) => Check::wrong(NAME, error, "fix the templates"),
        Err(error) => Check::skipped(NAME, chain(&error)),
    }
}

fn disclaimers_of_test_mode(wording: &WordingPart) -> Check {
    let all = wording.disclaimers.all();
    let own = all.iter().filter(|disclaimer| !disclaimer.is_sample).count();
    let text = match own {
        0 => "samples, which test mode uses; with a live key emails are held without the approved \
              wording"
            .to_owned(),
        own => format!("{own} of yours, samples for the others"),
    };
    Check::ok("disclaimers", text)
}

/// The markets in which every live letter is held for want of a disclaimer.
fn disclaimers(wording: &WordingPart) -> Check {
    const NAME: &str = "disclaimers";
    let all = wording.disclaimers.all();
    let own = all.iter().filter(|disclaimer| !disclaimer.is_sample);
    let own: BTreeSet<&str> = own.map(|disclaimer| disclaimer.variant.as_str()).collect();
    let missing: Vec<String> = DISCLAIMER_VARIANTS
        .iter()
        .filter(|(variant, ..)| !own.contains(variant))
        .map(|(variant, market, ..)| format!("{market} ({variant})"))
        .collect();
    let remedy = "add the wording that Stripe approved to email.disclaimers_dir, as \
                  <variant>/<language>.txt";
    let held = || format!("missing, so live emails there are held: {}", missing.join(", "));
    if own.is_empty() {
        let text = "none: every live email is held";
        Check::wrong(NAME, text, remedy)
    } else if missing.is_empty() {
        Check::ok(NAME, format!("{} variants, every market has one", own.len()))
    } else {
        Check::warn(NAME, held(), format!("{remedy}, unless you have no merchants there"))
    }
}

/// One line for each market with a disclaimer.
async fn approvals(db: &Pool, copies: &[CopyId]) -> Vec<Check> {
    let in_force = ApprovalFilter { is_in_force: true, ..ApprovalFilter::default() };
    let approvals = match store::list(db, &in_force).await {
        Ok(approvals) => approvals,
        // A new database has no approvals, and `database` reports what is wrong with another.
        Err(error) => return vec![Check::skipped("approvals", chain(&error))],
    };
    let mut by_market: BTreeMap<&str, Vec<&CopyId>> = BTreeMap::new();
    for copy in copies {
        by_market.entry(copy.market.as_deref().unwrap_or("of no market")).or_default().push(copy);
    }
    let checks = by_market.into_iter().map(|(market, copies)| {
        let missing: Vec<&&CopyId> =
            copies.iter().filter(|copy| !copy.is_covered_by(&approvals)).collect();
        check_market(market, copies.len(), &missing)
    });
    checks.collect()
}

fn check_market(market: &str, all: usize, missing: &[&&CopyId]) -> Check {
    let name = format!("approvals {market}");
    if missing.is_empty() {
        return Check::ok(&name, format!("all {all} wordings are approved"));
    }
    let kinds: BTreeSet<String> =
        missing.iter().map(|copy| format!("{} {}", copy.kind, copy.language.code())).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!("{} of {all} wordings lack one, and are held: {kinds}", missing.len());
    let remedy = format!("{APPROVE} {market} --reference …`");
    if missing.len() == all {
        Check::wrong(&name, text, remedy)
    } else {
        Check::warn(&name, text, remedy)
    }
}
