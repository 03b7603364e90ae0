//! Renders every letter that can go out, with sample facts: for the compliance team and for the
//! lint.
//!
//! Covers each kind, in each language with a disclaimer, in each vocabulary (Stripe may omit the
//! type of financing), and reminders both with and without a refill.

use std::time::{Duration, Instant};

use serde::Serialize;
use url::Url;

use super::Disclaimer;
use super::Facts;
use super::{TemplateError, Writer, WrittenLetter, refill_cases, sample};
use crate::format::money::Money;
use crate::letters::Kind;
use crate::letters::lint::{self, Finding, Input, Rules, Severity};
use crate::stripe::Contract;

#[derive(Debug)]
pub struct Sample<'a> {
    pub disclaimer: &'a Disclaimer,
    pub facts: Facts,
    pub letter: WrittenLetter,
}

/// A lint finding and the letters that have it.
#[derive(Clone, Debug, Serialize)]
pub struct SampleFinding {
    #[serde(flatten)]
    pub finding: Finding,
    /// As `offer, en, loan: celtic_us_loan`.
    pub letters: Vec<String>,
}

impl Sample<'_> {
    /// The kind; reminders of a refill are marked, because their wording differs.
    pub fn kind(&self) -> String {
        let kind = self.facts.kind;
        if self.facts.is_refill && kind != Kind::Refill {
            format!("{kind} of a refill")
        } else {
            kind.to_string()
        }
    }

    /// Distinguishes the sample from all others.
    pub fn name(&self) -> String {
        let Facts { language, financing_type, .. } = &self.facts;
        let kind = self.kind();
        format!("{kind}, {language}, {}: {}", financing_type.as_str(), self.disclaimer.variant)
    }
}

/// `unsubscribe_url` as real letters would have it: `None` if merchants unsubscribe by email only.
pub fn write_all<'a>(
    writer: &Writer,
    disclaimers: &'a [Disclaimer],
    unsubscribe_url: Option<&Url>,
) -> Result<Vec<Sample<'a>>, TemplateError> {
    let mut all = Vec::new();
    for disclaimer in disclaimers {
        for kind in Kind::ALL {
            all.extend(write_kind(writer, disclaimer, kind, unsubscribe_url)?);
        }
    }
    Ok(all)
}

/// The letters of one kind with one disclaimer.
pub fn write_kind<'a>(
    writer: &Writer,
    disclaimer: &'a Disclaimer,
    kind: Kind,
    unsubscribe_url: Option<&Url>,
) -> Result<Vec<Sample<'a>>, TemplateError> {
    let mut all = Vec::new();
    for (financing_type, is_refill) in cases(kind) {
        let facts = Facts { is_refill, ..facts(kind, financing_type, disclaimer, unsubscribe_url) };
        let letter = writer.write_once(&facts)?;
        all.push(Sample { disclaimer, facts, letter });
    }
    Ok(all)
}

fn cases(kind: Kind) -> impl Iterator<Item = (Contract, bool)> {
    let about = refill_cases(kind);
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
        market: disclaimer.market.clone().or(sample.market.clone()),
        unsubscribe_url: unsubscribe_url.cloned(),
        ..sample
    }
}

/// What the lint found in all samples.
#[derive(Debug, Default)]
pub struct Checked {
    /// Errors first; identical ones are merged.
    pub found: Vec<SampleFinding>,
    /// The number of letters that were read.
    pub letters: usize,
}

/// Writes every letter that can go out and lints it. Holds the letters of one kind at a time: all of
/// them take more memory than the rest of the service. After each kind it calls `rest` with the time
/// that it took: together they take a second.
pub fn check_all(
    writer: &Writer,
    rules: &Rules,
    disclaimers: &[Disclaimer],
    unsubscribe_url: Option<&Url>,
    rest: impl Fn(Duration),
) -> Result<Checked, TemplateError> {
    let mut checked = Checked::default();
    for disclaimer in disclaimers {
        for kind in Kind::ALL {
            let started = Instant::now();
            let samples = write_kind(writer, disclaimer, kind, unsubscribe_url)?;
            checked.letters += samples.len();
            add(&mut checked.found, writer, rules, &samples);
            drop(samples);
            rest(started.elapsed());
        }
    }
    checked.found.sort_by_key(|found| found.finding.severity);
    Ok(checked)
}

/// Lints these samples.
pub fn check(writer: &Writer, rules: &Rules, samples: &[Sample<'_>]) -> Vec<SampleFinding> {
    let mut found = Vec::new();
    add(&mut found, writer, rules, samples);
    found.sort_by_key(|found: &SampleFinding| found.finding.severity);
    found
}

fn add(all: &mut Vec<SampleFinding>, writer: &Writer, rules: &Rules, samples: &[Sample<'_>]) {
    for sample in samples {
        for finding in lint::check(rules, &input(writer, sample)) {
            match all.iter_mut().find(|found| found.finding == finding) {
                Some(found) => found.letters.push(sample.name()),
                None => all.push(SampleFinding { finding, letters: vec![sample.name()] }),
            }
        }
    }
}

pub fn has_errors(found: &[SampleFinding]) -> bool {
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
        program_name: &settings.brand.program_name,
        platform_name: &settings.from_name,
        account_name: facts.account_name.as_deref(),
        first_name: facts.first_name.as_deref(),
        recipient: &facts.recipient,
    }
}
