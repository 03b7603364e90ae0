//! `email preview`: every email with sample data, as a folder of pages for a compliance team.

use std::path::{Path, PathBuf};

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::letters::wording::Writer;
use crate::letters::wording::approvals::CopyId;
use crate::letters::wording::approvals::store::RecordedApproval;
use crate::letters::wording::samples::Sample;
use crate::web::letter_view::{Scheme, with_scheme};

const COVER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview.html"));
const SHEET: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview_letter.html"));

/// What the cover says about a wording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum CopyState {
    Approved,
    /// An earlier version of it is approved.
    Changed,
    NotApproved,
    /// Its disclaimer is a sample: for test mode only.
    Sample,
    /// The approvals could not be read.
    Unknown,
}

/// The wordings of a market.
#[derive(Debug, Serialize)]
struct MarketSection {
    market: Option<String>,
    wordings: Vec<WordingSection>,
}

/// A kind of email with a disclaimer: what an approval covers.
#[derive(Debug, Serialize)]
struct WordingSection {
    variant: String,
    language: &'static str,
    kind: &'static str,
    hash: String,
    state: CopyState,
    /// The subject of its first email.
    subject: String,
    emails: Vec<PreviewRow>,
}

/// An email of the preview.
#[derive(Debug, Serialize)]
struct PreviewRow {
    /// As `reminder_7d of a refill`.
    kind: String,
    financing: &'static str,
    subject: String,
    /// The base name of its files.
    name: String,
}

/// What the preview shows besides the emails.
pub(super) struct PreviewContext<'a> {
    pub(super) writer: &'a Writer,
    /// `None` if they could not be read.
    pub(super) approvals: Option<&'a [RecordedApproval]>,
}

/// Writes an HTML file, a text file and a page that shows both at two widths for each email, and an
/// index, whose path is returned.
pub(super) fn write(
    dir: &Path,
    context: &PreviewContext<'_>,
    samples: &[Sample<'_>],
) -> anyhow::Result<PathBuf> {
    let problem = || format!("cannot write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(problem)?;
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    pages.add_template("cover.html", COVER)?;
    pages.add_template("sheet.html", SHEET)?;
    let mut markets: Vec<MarketSection> = Vec::new();
    for sample in samples {
        let copy = context.writer.copy_id(sample.facts.kind, sample.disclaimer);
        let state = state(&copy, sample, context.approvals);
        let row = row(sample);
        let sheet = pages.get_template("sheet.html")?.render(context! {
            from => &context.writer.settings().from_address,
            to => &sample.facts.recipient,
            letter => Serde(Letter::of(sample)),
            variant => &copy.disclaimer_variant,
            language => copy.language.code(),
            market => &copy.market,
            hash => &copy.hash,
            state => Serde(state),
            row => Serde(&row),
        })?;
        let letter = &sample.letter;
        let text = format!("Subject: {}\n\n{}", letter.subject, letter.text);
        for (extension, content) in [("html", &letter.html), ("txt", &text), ("page.html", &sheet)]
        {
            std::fs::write(dir.join(format!("{}.{extension}", row.name)), content)
                .with_context(problem)?;
        }
        add(&mut markets, copy, state, row);
    }
    let cover = dir.join("index.html");
    let page = pages.get_template("cover.html")?.render(context! {
        markets => Serde(&markets),
        emails => samples.len(),
        knows_approvals => context.approvals.is_some(),
    })?;
    std::fs::write(&cover, page).with_context(problem)?;
    Ok(cover)
}

/// The parts of an email as its page shows them.
#[derive(Serialize)]
struct Letter<'a> {
    subject: &'a str,
    preview: &'a str,
    text: &'a str,
    html: &'a str,
    /// As mail programs in dark mode show it.
    dark: String,
}

impl<'a> Letter<'a> {
    fn of(sample: &'a Sample<'_>) -> Self {
        let letter = &sample.letter;
        Self {
            subject: &letter.subject,
            preview: &letter.preview,
            text: &letter.text,
            html: &letter.html,
            dark: with_scheme(&letter.html, Scheme::Dark),
        }
    }
}

fn row(sample: &Sample<'_>) -> PreviewRow {
    let Sample { disclaimer, facts, letter } = sample;
    let (language, financing) = (facts.language.code(), facts.financing_type.as_str());
    let kind = sample.kind();
    PreviewRow {
        financing,
        subject: letter.subject.clone(),
        name: format!("{}-{language}-{}-{financing}", disclaimer.variant, kind.replace(' ', "-")),
        kind,
    }
}

fn state(copy: &CopyId, sample: &Sample<'_>, approvals: Option<&[RecordedApproval]>) -> CopyState {
    if sample.disclaimer.is_sample {
        return CopyState::Sample;
    }
    let Some(approvals) = approvals else { return CopyState::Unknown };
    let is_earlier = |approval: &RecordedApproval| {
        approval.withdrawn_at.is_none()
            && approval.kind.as_deref() == Some(copy.kind)
            && approval.language.as_deref() == Some(copy.language.code())
            && approval.disclaimer_variant.as_ref() == Some(&copy.disclaimer_variant)
    };
    if copy.is_covered_by(approvals) {
        CopyState::Approved
    } else if approvals.iter().any(is_earlier) {
        CopyState::Changed
    } else {
        CopyState::NotApproved
    }
}

/// Adds an email to its wording, and the wording to its market.
fn add(markets: &mut Vec<MarketSection>, copy: CopyId, state: CopyState, row: PreviewRow) {
    let at = markets.iter().position(|section| section.market == copy.market);
    let at = at.unwrap_or_else(|| {
        markets.push(MarketSection { market: copy.market.clone(), wordings: Vec::new() });
        markets.len() - 1
    });
    let wordings = &mut markets[at].wordings;
    if let Some(wording) = wordings.iter_mut().find(|wording| wording.hash == copy.hash) {
        return wording.emails.push(row);
    }
    wordings.push(WordingSection {
        variant: copy.disclaimer_variant,
        language: copy.language.code(),
        kind: copy.kind,
        hash: copy.hash,
        state,
        subject: row.subject.clone(),
        emails: vec![row],
    });
}
