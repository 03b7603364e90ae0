//! `email preview`: every email with sample data, as a folder of pages for a compliance team.

use std::path::{Path, PathBuf};

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::letters::wording::Writer;
use crate::letters::wording::samples::Sample;

const COVER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview.html"));
const SHEET: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview_letter.html"));

/// An email of the preview, as the templates read it.
#[derive(Serialize)]
struct PreviewRow {
    market: Option<String>,
    variant: String,
    language: &'static str,
    kind: String,
    financing: &'static str,
    hash: String,
    subject: String,
    is_sample: bool,
    /// The base name of its files.
    name: String,
}

/// Writes an HTML file, a text file and a page that shows both at two widths for each email, and an
/// index, whose path is returned.
pub(super) fn write(
    dir: &Path,
    from: &str,
    writer: &Writer,
    samples: &[Sample<'_>],
) -> anyhow::Result<PathBuf> {
    let context = || format!("cannot write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(context)?;
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    pages.add_template("cover.html", COVER)?;
    pages.add_template("sheet.html", SHEET)?;
    let rows: Vec<PreviewRow> = samples.iter().map(|sample| row(writer, sample)).collect();
    for (Sample { facts, letter, .. }, row) in samples.iter().zip(&rows) {
        let sheet = pages.get_template("sheet.html")?.render(context! {
            from,
            to => &facts.recipient,
            subject => &letter.subject,
            preview => &letter.preview,
            text => &letter.text,
            row => Serde(row),
        })?;
        let text = format!("Subject: {}\n\n{}", letter.subject, letter.text);
        for (extension, content) in [("html", &letter.html), ("txt", &text), ("page.html", &sheet)]
        {
            std::fs::write(dir.join(format!("{}.{extension}", row.name)), content)
                .with_context(context)?;
        }
    }
    let cover = dir.join("index.html");
    let page = pages.get_template("cover.html")?.render(context! { rows => Serde(&rows) })?;
    std::fs::write(&cover, page).with_context(context)?;
    Ok(cover)
}

fn row(writer: &Writer, sample: &Sample<'_>) -> PreviewRow {
    let Sample { disclaimer, facts, letter } = sample;
    let (language, financing) = (facts.language.code(), facts.financing_type.as_str());
    let kind = sample.kind();
    PreviewRow {
        market: disclaimer.market.clone(),
        variant: disclaimer.variant.clone(),
        language,
        financing,
        hash: writer.copy_hash(facts.kind, disclaimer),
        subject: letter.subject.clone(),
        is_sample: disclaimer.is_sample,
        name: format!("{}-{language}-{}-{financing}", disclaimer.variant, kind.replace(' ', "-")),
        kind,
    }
}
