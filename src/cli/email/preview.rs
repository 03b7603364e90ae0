//! `email preview`: every letter with sample data, as a folder of pages that a compliance team can submit.

use std::path::Path;

use anyhow::Context;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::flow::email::copy::Disclaimer;
use crate::flow::email::write::{Writer, Written, sample};
use crate::flow::email::{Facts, FinancingType, Kind, Settings};
use crate::locale::Language;
use crate::stripe::AccountId;

const COVER: &str = include_str!("../../../templates/pages/preview.html");
const SHEET: &str = include_str!("../../../templates/pages/preview_letter.html");

/// A letter of the collection.
#[derive(Serialize)]
struct Row {
    market: Option<String>,
    variant: String,
    language: &'static str,
    kind: &'static str,
    financing: &'static str,
    hash: String,
    subject: String,
    is_sample: bool,
    /// Of its files, without what follows the dot.
    name: String,
}

/// Writes the letters with each of these disclaimers: for each an HTML file, a text file and a page that shows both at two widths;
/// and a cover page.
pub(super) fn write(
    dir: &Path,
    settings: &Settings,
    writer: &Writer,
    disclaimers: &[Disclaimer],
) -> anyhow::Result<()> {
    let place = || format!("cannot write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(place)?;
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::Strict);
    pages.add_template("cover.html", COVER)?;
    pages.add_template("sheet.html", SHEET)?;
    let mut rows = Vec::new();
    for disclaimer in disclaimers {
        for kind in Kind::ALL {
            for financing_type in financing_types(&disclaimer.variant) {
                let facts = facts(kind, financing_type, disclaimer, settings)?;
                let letter = writer.write(&facts)?;
                let row = row(&facts, writer, disclaimer, &letter);
                let sheet = pages.get_template("sheet.html")?.render(context! {
                    from => settings.from.address(),
                    to => &facts.recipient,
                    subject => &letter.subject,
                    preview => &letter.preview,
                    text => &letter.text,
                    row => Serde(&row),
                })?;
                let text = format!("Subject: {}\n\n{}", letter.subject, letter.text);
                for (end, content) in [("html", &letter.html), ("txt", &text), ("page.html", &sheet)] {
                    std::fs::write(dir.join(format!("{}.{end}", row.name)), content).with_context(place)?;
                }
                rows.push(row);
            }
        }
    }
    let cover = dir.join("index.html");
    let page = pages.get_template("cover.html")?.render(context! { rows => Serde(&rows) })?;
    std::fs::write(&cover, page).with_context(place)?;
    println!("{}: {} letters", cover.display(), rows.len());
    Ok(())
}

/// The vocabularies that an offer with this disclaimer may need: Stripe's names tell where there is one alone.
fn financing_types(variant: &str) -> Vec<FinancingType> {
    match variant.rsplit('_').next() {
        Some("loan") => vec![FinancingType::Loan],
        Some("mca") => vec![FinancingType::CashAdvance],
        Some(_) | None => FinancingType::ALL.to_vec(),
    }
}

fn facts(
    kind: Kind,
    financing_type: FinancingType,
    disclaimer: &Disclaimer,
    settings: &Settings,
) -> anyhow::Result<Facts> {
    let nobody: AccountId = "acct_sample".parse()?;
    let sample = sample(kind, disclaimer.language, financing_type);
    Ok(Facts {
        disclaimer: disclaimer.paragraphs.clone(),
        country: disclaimer.market.clone().or(sample.country.clone()),
        // As the letters have it: without an address for the public there is no link.
        unsubscribe_url: settings.links.as_ref().map(|links| links.link(&nobody)),
        ..sample
    })
}

fn row(facts: &Facts, writer: &Writer, disclaimer: &Disclaimer, letter: &Written) -> Row {
    let language: Language = disclaimer.language;
    let financing = facts.financing_type.as_str();
    Row {
        market: disclaimer.market.clone(),
        variant: disclaimer.variant.clone(),
        language: language.code(),
        kind: facts.kind.as_str(),
        financing,
        hash: writer.copy_hash(facts.kind, disclaimer),
        subject: letter.subject.clone(),
        is_sample: disclaimer.is_sample,
        name: format!("{}-{language}-{}-{financing}", disclaimer.variant, facts.kind),
    }
}
