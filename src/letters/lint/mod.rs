//! The lint of the letters' copy. An offer letter is a financial promotion: Stripe decides which
//! words it may contain (<https://docs.stripe.com/capital/marketing>), and advertising law what it
//! must contain. [`check`] reads a finished letter and reports what is wrong and what to say
//! instead. It needs no database and no network, and blocks nothing: Stripe's approval decides.
//!
//! The rules about words are data, one file for each locale (`templates/emails/rules`); rules that
//! are the same in all languages are code. `docs/copy-rules.md` explains findings and how to write
//! rules.
//!
//! | file | owns |
//! |---|---|
//! | `words`, `normalize` | a text as words, which hyphens and look-alike letters do not disguise |
//! | `phrase`, `rules` | phrases, and the rule files of the locales |
//! | `builtin_rules` | the texts of the rules that are code |
//! | `html` | what readers of the HTML part see, and its links |
//! | `forbidden`, `required` | what must not be said, and what must |
//! | `links`, `numbers` | where links lead; the same figures and links in text and HTML |
//! | `subject`, `structure` | the subject; size, images and what a template left behind |

mod builtin_rules;
mod forbidden;
mod html;
mod links;
mod normalize;
mod numbers;
mod phrase;
mod required;
mod rules;
mod structure;
mod subject;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::stripe::Contract;
use builtin_rules::builtin;
use html::Page;
use links::Link;
pub use rules::{Rules, RulesError};
use words::{Lines, WordKind, Words};

/// Mail programs cut off far shorter letters. Parsing HTML takes time by the square of its depth,
/// so a longer one could take seconds.
const MAX_BYTES: usize = 256 * 1024;

/// A finished letter, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Its language: `en`, `de`, `fr`.
    pub locale: &'a str,
    pub financing: Contract,
    pub subject: &'a str,
    pub text: &'a str,
    pub html: &'a str,
    /// The disclaimer's paragraphs. They are approved, so they may say what is forbidden
    /// elsewhere, but they must be there word for word.
    pub disclaimer: &'a [String],
    pub postal_address: &'a str,
    /// None: merchants stop the letters by a reply.
    pub unsubscribe_url: Option<&'a Url>,
    pub reply_to: &'a str,
    /// The platform chose it, so rules apply: a program called "Rocket Loans" is a finding.
    pub program_name: &'a str,
    /// The platform chose it too.
    pub platform_name: &'a str,
    /// The merchant's name as it stands in the letter. No rule applies to it.
    pub account_name: Option<&'a str>,
    /// The recipient's, likewise.
    pub first_name: Option<&'a str>,
    /// The bare address of the recipient.
    pub recipient: &'a str,
}

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// The letter must not go out like this.
    #[default]
    Error,
    /// A person should look at it.
    Warning,
}

/// Where in the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Part {
    Subject,
    Text,
    /// With its preview, its titles and the texts of its images.
    #[strum(to_string = "HTML")]
    Html,
}

/// Something that is wrong with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    pub part: Part,
    pub severity: Severity,
    /// The code of the rule. It is stable.
    pub rule: String,
    /// The words, with a few around them. Names and addresses of merchants are left out.
    pub found: String,
    /// What to say or do instead.
    pub instead: String,
    /// Whose rule it is.
    pub source: String,
}

/// Two lines: what is wrong and where, and what to do about it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, severity, rule, found, instead, source } = self;
        write!(f, "{severity}: {rule} in the {part}: {found}\n    {instead} ({source})")
    }
}

/// All findings about a letter, by parts, each once.
pub fn check(rules: &Rules, input: &Input<'_>) -> Vec<Finding> {
    if input.html.len() + input.text.len() + input.subject.len() > MAX_BYTES {
        let size = format!("{} KB", input.html.len() / 1024);
        return vec![builtin("too-large-to-check").found(Part::Html, size)];
    }
    let Some(locale) = rules.get(input.locale) else {
        let problem = format!("there are no rules for `{}`", input.locale);
        return vec![builtin("no-rules").found(Part::Text, problem)];
    };
    let letter = Letter::read(input, locale);
    let mut findings = [
        forbidden::check(&letter),
        required::check(&letter),
        links::check(&letter),
        numbers::check(&letter),
        subject::check(&letter),
        structure::check(&letter),
    ]
    .concat();
    findings.sort();
    findings.dedup();
    findings
}

/// A parsed letter.
struct Letter<'a> {
    input: &'a Input<'a>,
    rules: &'a rules::Locale,
    page: Page,
    subject: Passage,
    text: Passage,
    /// The page's text, with the links of its elements.
    html: Passage,
    /// Its asides.
    asides: Passage,
}

/// A text of the letter.
struct Passage {
    part: Part,
    words: Words,
    /// Without the disclaimer.
    copy: Lines,
    whole: Lines,
    links: Vec<Link>,
}

impl<'a> Letter<'a> {
    fn read(input: &'a Input<'a>, rules: &'a rules::Locale) -> Self {
        let read = |source: &str| Words::read(source, input.locale == "de");
        let disclaimer = input.disclaimer.iter().map(|text| (read(text), WordKind::Disclaimer));
        let names = [
            input.account_name.unwrap_or_default(),
            input.first_name.unwrap_or_default(),
            input.postal_address,
            input.recipient,
            input.reply_to,
        ];
        // Names after the disclaimer, which may have some.
        let names = names.into_iter().map(|name| (read(name), WordKind::Name));
        let exempt: Vec<(Words, WordKind)> = disclaimer.chain(names).collect();
        let (program, platform) = (read(input.program_name), read(input.platform_name));
        let passage = |part: Part, source: &str| {
            let mut words = read(source);
            for (wanted, kind) in &exempt {
                words.set_kind(wanted, *kind);
            }
            words.mark(&program, "{program}");
            words.mark(&platform, "{platform}");
            let links = Link::all_written(&words).collect();
            let [copy, whole] = words.lines();
            Passage { part, words, copy, whole, links }
        };
        let mut page = Page::parse(input.html);
        let mut html = passage(Part::Html, &page.text);
        html.links.append(&mut page.links);
        Self {
            input,
            rules,
            subject: passage(Part::Subject, input.subject),
            text: passage(Part::Text, input.text),
            html,
            asides: passage(Part::Html, &page.asides),
            page,
        }
    }

    /// Everything that is read.
    fn passages(&self) -> [&Passage; 4] {
        [&self.subject, &self.text, &self.html, &self.asides]
    }

    fn words(&self, source: &str) -> Words {
        Words::read(source, self.input.locale == "de")
    }
}

#[cfg(test)]
mod tests;
