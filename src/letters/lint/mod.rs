//! The lint of the letters' copy. An offer letter is a financial promotion: Stripe decides which words may be in it, and the law of
//! advertising by mail what else must be (<https://docs.stripe.com/capital/marketing>). [`check`] reads a finished letter as a
//! compliance officer would, and says what is wrong and what to say instead.
//!
//! The rules about words are data, one file for each locale (`templates/emails/rules`); those that are the same in all languages
//! are code (`ours`). A letter without findings is no approval: that is Stripe's to give. `docs/copy-rules.md` is for who reads
//! findings and writes rules.
//!
//! | file | owns |
//! |---|---|
//! | `words`, `scan`, `fold` | a text as words, so that a line end, a hyphen or a strange letter hides nothing |
//! | `phrase`, `rules`, `ours` | phrases, the files that have them, and the rules that need no file |
//! | `html`, `css`, `style` | the HTML part as its readers see it |
//! | `vocabulary` | words that must not be said, or not alone |
//! | `required`, `legible` | what must be said, and seen |
//! | `links`, `compare`, `subject`, `shape` | the links; text against HTML; the subject; size, images and what a template left |

mod compare;
mod css;
mod fold;
mod html;
mod legible;
mod links;
mod ours;
mod phrase;
mod required;
mod rules;
mod scan;
mod shape;
mod style;
mod subject;
mod vocabulary;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::stripe::Contract as FinancingType;
use html::Page;
use legible::Looks;
use phrase::Search;
pub use rules::{Rules, RulesError};
use words::{Kind, Words};

/// A letter of this size is cut off by all who show letters. Looking at it would take seconds.
const MOST_BYTES: usize = 512 * 1024;

/// A finished letter, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Specimen<'a> {
    /// In which language it is: `en`, `de`, `fr`.
    pub locale: &'a str,
    /// What kind of contract it is about.
    pub financing: FinancingType,
    /// The subject line.
    pub subject: &'a str,
    /// The part for readers of plain text.
    pub text: &'a str,
    /// The part for everybody else.
    pub html: &'a str,
    /// The disclaimer's paragraphs. What is in them was approved, and may be what is forbidden elsewhere; they must be there, word for word.
    pub disclaimer: &'a [String],
    /// The platform's postal address.
    pub postal_address: &'a str,
    /// Where the merchant stops the letters; none: by answering alone.
    pub unsubscribe_url: Option<&'a Url>,
    /// Where answers go.
    pub reply_to: &'a str,
    /// The platform's name for its Capital program. The platform chose it: a program called "Rocket Loans" is a finding.
    pub program_name: &'a str,
    /// Who writes. The platform's choice too.
    pub platform_name: &'a str,
    /// The merchant's name as it stands in the letter. "Loan Star Bakery" may be called what it likes.
    pub account_name: Option<&'a str>,
    /// The bare address that the letter goes to.
    pub recipient: &'a str,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The letter must not go out like this.
    #[default]
    Error,
    /// A person should look at it.
    Warning,
}

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The subject line.
    Subject,
    /// The text part.
    Text,
    /// The HTML part, with its preview, its titles and its images' texts.
    Html,
}

/// Something that is wrong with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where.
    pub part: Part,
    /// How bad.
    pub severity: Severity,
    /// Against which rule: its code does not change.
    pub rule: String,
    /// The words, with a few around them. Names and addresses of merchants are left out.
    pub found: String,
    /// What to say or do instead.
    pub instead: String,
    /// Whose rule it is.
    pub source: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Text => "text",
            Self::Html => "HTML",
        })
    }
}

/// Two lines: what is wrong and where, and what to do about it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, severity, rule, found, instead, source } = self;
        write!(f, "{severity}: {rule} in the {part}: {found}\n    {instead} ({source})")
    }
}

/// Reads a letter, and says all that is wrong with it: by parts, each finding once.
pub fn check(rules: &Rules, specimen: &Specimen<'_>) -> Vec<Finding> {
    if specimen.html.len() + specimen.text.len() + specimen.subject.len() > MOST_BYTES {
        return vec![
            ours::NOT_READ.found(Part::Html, format!("{} KB", specimen.html.len() / 1024)),
        ];
    }
    let Some(locale) = rules.get(specimen.locale) else {
        return vec![
            ours::NO_RULES
                .found(Part::Text, format!("there are no rules for `{}`", specimen.locale)),
        ];
    };
    let letter = Letter::read(specimen, locale);
    let mut findings = Vec::new();
    findings.extend(vocabulary::check(&letter));
    findings.extend(required::check(&letter));
    findings.extend(links::check(&letter));
    findings.extend(compare::check(&letter));
    findings.extend(subject::check(&letter));
    findings.extend(shape::check(&letter));
    findings.sort();
    findings.dedup();
    findings
}

/// A letter, read.
struct Letter<'a> {
    specimen: &'a Specimen<'a>,
    rules: &'a rules::Locale,
    search: Search,
    subject: Words,
    text: Words,
    page: Page,
    looks: Looks,
    /// The words of the page's text.
    html: Words,
    /// The words of what is beside it.
    asides: Words,
}

impl<'a> Letter<'a> {
    fn read(specimen: &'a Specimen<'a>, rules: &'a rules::Locale) -> Self {
        let page = Page::read(specimen.html);
        let words = |source: &str| {
            let mut words = Words::read(source, specimen.locale);
            set_names_apart(&mut words, specimen);
            words
        };
        let name = |name: &str| Words::read(name, specimen.locale);
        let search = Search {
            program: name(specimen.program_name),
            platform: name(specimen.platform_name),
            in_disclaimer: false,
        };
        let (subject, text) = (words(specimen.subject), words(specimen.text));
        let (html, asides) = (words(&page.text), words(&page.asides));
        let looks = Looks::of(&page);
        Self { specimen, rules, search, subject, text, page, looks, html, asides }
    }

    /// All that is read, by parts.
    fn parts(&self) -> [(Part, &Words); 4] {
        [
            (Part::Subject, &self.subject),
            (Part::Text, &self.text),
            (Part::Html, &self.html),
            (Part::Html, &self.asides),
        ]
    }

    /// The two parts that must say the same.
    fn bodies(&self) -> [(Part, &Words); 2] {
        [(Part::Text, &self.text), (Part::Html, &self.html)]
    }

    fn words(&self, source: &str) -> Words {
        Words::read(source, self.specimen.locale)
    }
}

/// Takes out of the rules' reach what nobody chose for this letter, and what was approved.
fn set_names_apart(words: &mut Words, specimen: &Specimen<'_>) {
    let read = |source: &str| Words::read(source, specimen.locale);
    for paragraph in specimen.disclaimer {
        let places = words.find(&read(paragraph));
        words.set_apart(&places, Kind::Disclaimer);
    }
    for name in [specimen.account_name.unwrap_or_default(), specimen.postal_address] {
        let places = words.find_cased(&read(name));
        words.set_apart(&places, Kind::Name);
    }
    for address in [specimen.recipient, specimen.reply_to] {
        let places = words.find(&read(address));
        words.set_apart(&places, Kind::Name);
    }
}

#[cfg(test)]
mod tests;
