//! Every letter that can go out with some disclaimers, written to nobody: what a compliance team looks at, and what the lint reads.
//!
//! Nothing may go out in words that are not among these: each kind, in each language that there is a disclaimer in, in each
//! vocabulary, since Stripe may leave the kind of contract out; reminders also of a refill, of which they say more.

use serde::Serialize;
use url::Url;

use super::Disclaimer;
use super::Facts;
use super::{TemplateError, Writer, Written, about_refills, sample};
use crate::format::money::Money;
use crate::letters::Kind;
use crate::letters::lint::{self, Finding, Input, Rules, Severity};
use crate::stripe::Contract;

/// A letter to nobody.
#[derive(Debug)]
pub struct Sample<'a> {
    /// What stands under it.
    pub disclaimer: &'a Disclaimer,
    /// What it was written from.
    pub facts: Facts,
    /// What it says.
    pub letter: Written,
}

/// A finding, and the letters that it is in.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What is wrong.
    #[serde(flatten)]
    pub finding: Finding,
    /// The letters, as `offer, en, loan: celtic_us_loan`.
    pub letters: Vec<String>,
}

impl Sample<'_> {
    /// Its kind; a reminder of a refill says more than others of its kind, which is told.
    pub fn kind(&self) -> String {
        let kind = self.facts.kind;
        if self.facts.is_refill && kind != Kind::Refill {
            format!("{kind} of a refill")
        } else {
            kind.to_string()
        }
    }

    /// What sets it apart from the others.
    pub fn name(&self) -> String {
        let Facts { language, financing_type, .. } = &self.facts;
        let kind = self.kind();
        format!("{kind}, {language}, {}: {}", financing_type.as_str(), self.disclaimer.variant)
    }
}

/// Writes all of them. `unsubscribe_url` as the letters will have it: none where there is no address for the public.
pub fn write_all<'a>(
    writer: &Writer,
    disclaimers: &'a [Disclaimer],
    unsubscribe_url: Option<&Url>,
) -> Result<Vec<Sample<'a>>, TemplateError> {
    let mut all = Vec::new();
    for disclaimer in disclaimers {
        for kind in Kind::ALL {
            for (financing_type, is_refill) in cases(kind) {
                let facts =
                    Facts { is_refill, ..facts(kind, financing_type, disclaimer, unsubscribe_url) };
                let letter = writer.write(&facts)?;
                all.push(Sample { disclaimer, facts, letter });
            }
        }
    }
    Ok(all)
}

fn cases(kind: Kind) -> impl Iterator<Item = (Contract, bool)> {
    let about = about_refills(kind);
    Contract::ALL
        .into_iter()
        .flat_map(move |financing| about.iter().map(move |is_refill| (financing, *is_refill)))
}

fn facts(
    kind: Kind,
    financing_type: Contract,
    disclaimer: &Disclaimer,
    unsubscribe_url: Option<&Url>,
) -> Facts {
    let sample = sample(kind, disclaimer.language, financing_type);
    let currency = match disclaimer.market.as_deref() {
        Some("GB") => "gbp",
        Some("AU") => "aud",
        Some("CA") => "cad",
        Some("DE" | "FR") => "eur",
        Some(_) | None => &sample.advance.currency,
    };
    let money = |of: &Money| Money { minor: of.minor, currency: currency.to_owned() };
    Facts {
        advance: money(&sample.advance),
        fee: money(&sample.fee),
        disclaimer: disclaimer.paragraphs.clone(),
        country: disclaimer.market.clone().or(sample.country.clone()),
        unsubscribe_url: unsubscribe_url.cloned(),
        ..sample
    }
}

/// Reads all of them against the rules. A finding that is in several letters is told once.
pub fn check(writer: &Writer, rules: &Rules, samples: &[Sample<'_>]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for sample in samples {
        for finding in lint::check(rules, &input(writer, sample)) {
            match all.iter_mut().find(|found| found.finding == finding) {
                Some(found) => found.letters.push(sample.name()),
                None => all.push(Found { finding, letters: vec![sample.name()] }),
            }
        }
    }
    // Errors first.
    all.sort_by_key(|found| found.finding.severity);
    all
}

/// Whether a letter must not go out like this.
pub fn has_errors(found: &[Found]) -> bool {
    found.iter().any(|found| found.finding.severity == Severity::Error)
}

fn input<'a>(writer: &'a Writer, sample: &'a Sample<'_>) -> Input<'a> {
    let (settings, Sample { facts, letter, .. }) = (writer.settings(), sample);
    Input {
        locale: facts.language.code(),
        financing: facts.financing_type,
        subject: &letter.subject,
        text: &letter.text,
        html: &letter.html,
        disclaimer: &facts.disclaimer,
        postal_address: &settings.postal_address,
        unsubscribe_url: facts.unsubscribe_url.as_ref(),
        reply_to: &settings.reply_to,
        program_name: &settings.program_name,
        platform_name: &settings.from_name,
        account_name: facts.account_name.as_deref(),
        recipient: &facts.recipient,
    }
}
