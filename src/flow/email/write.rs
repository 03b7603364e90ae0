//! The writing of a letter: subject, text and HTML from the templates in `templates/emails`.
//!
//! The MJML is turned into HTML once, at start, with its placeholders in it; a letter then costs the filling in of three
//! templates. What comes from outside is cleaned of all that is not plain text, and escaped where it stands in HTML. A template
//! that does not compile, or asks for something that there is not, stops the start.

use chrono::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::Url;

use super::copy::{self, Disclaimer};
use super::{Facts, FinancingType};
use crate::money::Money;

const SUBJECT: (&str, &str) =
    ("offer/en/subject.txt", include_str!("../../../templates/emails/offer/en/subject.txt"));
const TEXT: (&str, &str) = ("offer/en/body.txt", include_str!("../../../templates/emails/offer/en/body.txt"));
const HTML: (&str, &str) =
    ("offer/en/body.mjml", include_str!("../../../templates/emails/offer/en/body.mjml"));

/// A name that is longer is no name; a subject line has some 60 characters.
const LONGEST_NAME: usize = 80;

/// What is the same in all letters of a platform.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The platform's name for its Capital program.
    pub program_name: String,
    /// The stable page that the letter links to.
    pub dashboard_url: Url,
    /// The platform's postal address.
    pub postal_address: String,
    /// Who writes.
    pub from_name: String,
    /// From which address.
    pub from_address: String,
    /// Where answers go, also those that say "unsubscribe".
    pub reply_to: String,
    /// Letters have a link that stops them, which is another wording.
    pub has_link: bool,
}

/// Writes letters.
#[derive(Debug)]
pub struct Writer {
    templates: Environment<'static>,
    settings: Settings,
    version: String,
}

/// A letter's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// One line.
    pub subject: String,
    /// The part for readers of plain text.
    pub text: String,
    /// The part for everybody else.
    pub html: String,
    /// Names the templates that it was written with, whatever was filled in.
    pub template_version: String,
}

/// Why a letter cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The MJML is none.
    #[error("cannot read {name} as MJML: {problem}")]
    Mjml {
        /// Which template.
        name: &'static str,
        /// What mrml says, with the place.
        problem: String,
    },
    /// A template is wrong, or asks for something that there is not.
    #[error("cannot fill in {}, line {}", .0.name().unwrap_or("a template"), .0.line().unwrap_or_default())]
    Template(#[from] minijinja::Error),
}

/// What the templates can ask for.
#[derive(Serialize)]
struct Words<'a> {
    program_name: &'a str,
    dashboard_url: &'a str,
    postal_address: &'a str,
    from_name: &'a str,
    reply_to: &'a str,
    account_name: Option<String>,
    recipient: &'a str,
    advance: String,
    fee: String,
    total: Option<String>,
    withheld: String,
    expires_on: String,
    /// `loan`, `cash_advance` or `unspecified`.
    financing: &'static str,
    disclaimer: &'a [String],
    /// The same for the text part, in lines.
    disclaimer_lines: Vec<String>,
    unsubscribe_url: Option<&'a str>,
    livemode: bool,
}

impl Writer {
    /// Compiles the templates and writes a letter of each kind for nobody, so that a mistake shows now and not at night.
    pub fn new(settings: Settings) -> Result<Self, WriteError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        templates.set_auto_escape_callback(|name| {
            if name == SUBJECT.0 || name == TEXT.0 { AutoEscape::None } else { AutoEscape::Html }
        });
        templates.add_template(SUBJECT.0, SUBJECT.1)?;
        templates.add_template(TEXT.0, TEXT.1)?;
        templates.add_template_owned(HTML.0, html_of(HTML.0, HTML.1)?)?;
        let writer = Self { templates, settings, version: version() };
        for financing_type in [FinancingType::Loan, FinancingType::CashAdvance, FinancingType::Unspecified] {
            for account_name in [None, Some("Sample".to_owned())] {
                let facts = sample(financing_type, account_name);
                writer.write(&facts)?;
                writer.write(&Facts { unsubscribe_url: None, ..facts })?;
            }
        }
        Ok(writer)
    }

    /// Writes one letter.
    pub fn write(&self, facts: &Facts) -> Result<Written, WriteError> {
        let words = Value::from(Serde(self.words(facts)));
        let fill = |name| -> Result<String, minijinja::Error> {
            self.templates.get_template(name)?.render(words.clone())
        };
        Ok(Written {
            subject: one_line(&fill(SUBJECT.0)?),
            text: fill(TEXT.0)?,
            html: fill(HTML.0)?,
            template_version: self.version.clone(),
        })
    }

    /// The hash of all that makes up a letter with this disclaimer but the merchant's own data: see [`super::copy`].
    pub fn copy_hash(&self, disclaimer: &Disclaimer) -> String {
        let settings = &self.settings;
        let ours = [
            self.version.as_str(),
            &settings.program_name,
            settings.dashboard_url.as_str(),
            &settings.postal_address,
            &settings.from_name,
            &settings.from_address,
            &settings.reply_to,
            if settings.has_link { "link" } else { "mail" },
            &disclaimer.variant,
        ];
        copy::hash(ours.into_iter().chain(disclaimer.paragraphs.iter().map(String::as_str)))
    }

    fn words<'a>(&'a self, facts: &'a Facts) -> Words<'a> {
        let settings = &self.settings;
        Words {
            program_name: &settings.program_name,
            dashboard_url: settings.dashboard_url.as_str(),
            postal_address: &settings.postal_address,
            from_name: &settings.from_name,
            reply_to: &settings.reply_to,
            account_name: facts.account_name.as_deref().map(clean).filter(|name| !name.is_empty()),
            recipient: &facts.recipient,
            advance: facts.advance.to_string(),
            fee: facts.fee.to_string(),
            total: facts.advance.plus(&facts.fee).map(|total| total.to_string()),
            withheld: percent(facts.withhold_rate),
            expires_on: facts.expires_at.format("%B %-d, %Y").to_string(),
            financing: match facts.financing_type {
                FinancingType::Loan => "loan",
                FinancingType::CashAdvance => "cash_advance",
                FinancingType::Unspecified => "unspecified",
            },
            disclaimer: &facts.disclaimer,
            disclaimer_lines: facts.disclaimer.iter().map(|paragraph| wrapped(paragraph)).collect(),
            unsubscribe_url: facts.unsubscribe_url.as_ref().map(Url::as_str),
            livemode: facts.livemode,
        }
    }
}

fn html_of(name: &'static str, mjml: &str) -> Result<String, WriteError> {
    let problem = |error: &dyn std::fmt::Display| WriteError::Mjml { name, problem: error.to_string() };
    let parsed = mrml::parse(mjml).map_err(|error| problem(&error))?;
    let options = mrml::prelude::render::RenderOptions::default();
    parsed.element.render(&options).map_err(|error| problem(&error))
}

/// Twelve digits of the hash of all templates: whoever reads a letter years later can find its words.
fn version() -> String {
    let mut hash = Sha256::new();
    for (name, source) in [SUBJECT, TEXT, HTML] {
        hash.update(name);
        hash.update([0]);
        hash.update(source);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..6])
}

/// A name as plain text: no control characters, nothing invisible or that turns the line around, white space folded.
fn clean(name: &str) -> String {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}')
    };
    let plain: String = name.chars().map(|c| if invisible(c) { ' ' } else { c }).collect();
    one_line(&plain).chars().take(LONGEST_NAME).collect::<String>().trim_end().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines of at most 72 characters, as plain text is read.
fn wrapped(paragraph: &str) -> String {
    const WIDTH: usize = 72;
    let mut lines: Vec<String> = vec![String::new()];
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// `15%`, `12.5%`: at most two decimals, none that say nothing.
fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Facts about nobody, for trying templates out.
pub fn sample(financing_type: FinancingType, account_name: Option<String>) -> Facts {
    let money = |minor| Money { minor, currency: "usd".to_owned() };
    Facts {
        account_name,
        recipient: "jenny.rosen@example.com".to_owned(),
        advance: money(100_000),
        fee: money(10_000),
        withhold_rate: 0.15,
        // The end of January 2030.
        expires_at: DateTime::from_timestamp(1_896_048_000, 0).unwrap_or_default(),
        financing_type,
        disclaimer: vec![
            "The disclaimer that Stripe approved for the market stands here, in one or more paragraphs."
                .to_owned(),
        ],
        unsubscribe_url: Url::parse("https://courier.example.com/unsubscribe/token").ok(),
        livemode: financing_type != FinancingType::Unspecified,
    }
}

#[cfg(test)]
mod tests;
