//! `email preview`: every letter with sample data, as a folder of pages that a compliance team can submit.

use std::path::Path;

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::cli::out::say;
use crate::letters::wording::Writer;
use crate::letters::wording::samples::Sample;

const COVER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview.html"));
const SHEET: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/pages/preview_letter.html"));

/// A letter of the collection.
#[derive(Serialize)]
struct Row {
    market: Option<String>,
    variant: String,
    language: &'static str,
    kind: String,
    financing: &'static str,
    hash: String,
    subject: String,
    is_sample: bool,
    /// Of its files, without what follows the dot.
    name: String,
}

/// Writes the letters, for each an HTML file, a text file and a page that shows both at two widths; and a cover page.
pub(super) fn write(
    dir: &Path,
    from: &str,
    writer: &Writer,
    samples: &[Sample<'_>],
) -> anyhow::Result<()> {
    let place = || format!("cannot write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(place)?;
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    pages.add_template("cover.html", COVER)?;
    pages.add_template("sheet.html", SHEET)?;
    let rows: Vec<Row> = samples.iter().map(|sample| row(writer, sample)).collect();
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
        for (end, content) in [("html", &letter.html), ("txt", &text), ("page.html", &sheet)] {
            std::fs::write(dir.join(format!("{}.{end}", row.name)), content).with_context(place)?;
        }
    }
    let cover = dir.join("index.html");
    let page = pages.get_template("cover.html")?.render(context! { rows => Serde(&rows) })?;
    std::fs::write(&cover, page).with_context(place)?;
    say!("{}: {} letters", cover.display(), rows.len())?;
    Ok(())
}

fn row(writer: &Writer, sample: &Sample<'_>) -> Row {
    let Sample { disclaimer, facts, letter } = sample;
    let (language, financing) = (facts.language.code(), facts.financing_type.as_str());
    let kind = sample.kind();
    Row {
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
