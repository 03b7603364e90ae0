//! The rules about words: one file for each locale in `templates/emails/rules`, compiled in.
//! `docs/copy-rules.md` says how they are written.

use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;

use serde::Deserialize;
use serde::de::Error;

use super::builtin_rules::CODES;
use super::normalize::normalize;
use super::phrase::Phrase;
use super::{Contract, Finding, Part, Severity};

const FILES: [(&str, &str); 3] = [
    ("en", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/en.toml"))),
    ("de", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/de.toml"))),
    ("fr", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/fr.toml"))),
];

/// The rules of all locales.
#[derive(Clone, Debug)]
pub struct Rules(BTreeMap<String, Locale>);

/// Why a rule file is refused: it is not TOML, has a key that is not known, or a rule that means
/// nothing.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the copy rules {file}.toml")]
pub struct RulesError {
    file: String,
    source: Box<toml::de::Error>,
}

/// A rule file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Locale {
    /// As [`normalize`] spells them.
    pub(super) months: Vec<String>,
    /// What stands in brackets before a subject, as in `[Test]`.
    pub(super) marks: Vec<String>,
    /// How a letter says that a reply stops the letters.
    pub(super) opt_out_by_reply: Vec<Phrase>,
    sources: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) forbidden: Vec<PhraseRule>,
    #[serde(default)]
    pub(super) required: Vec<PhraseRule>,
}

/// A rule as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) code: String,
    #[serde(default)]
    phrases: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    unless_near: Vec<String>,
    #[serde(default = "near")]
    pub(super) within: usize,
    /// None: all.
    #[serde(default)]
    financing: Vec<Contract>,
    #[serde(default)]
    severity: Severity,
    instead: String,
    /// In a file with `sources` one of their keys, then what stands there.
    source: String,
}

/// A rule about words, with its phrases parsed.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Rule")]
pub(super) struct PhraseRule {
    rule: Rule,
    pub(super) phrases: Vec<Phrase>,
    /// Phrases of which the forbidden one may be a part.
    pub(super) except: Vec<Phrase>,
    /// Phrases that excuse the forbidden one, no more than `within` words away.
    pub(super) unless_near: Vec<Phrase>,
}

/// Two or three sentences.
const fn near() -> usize {
    40
}

impl Rule {
    pub(super) fn is_for(&self, financing: Contract) -> bool {
        self.financing.is_empty() || self.financing.contains(&financing.vocabulary())
    }

    pub(super) fn found(&self, part: Part, found: impl Into<String>) -> Finding {
        Finding {
            rule: self.code.clone(),
            severity: self.severity,
            part,
            found: found.into(),
            instead: self.instead.clone(),
            source: self.source.clone(),
        }
    }
}

impl Deref for PhraseRule {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

impl TryFrom<Rule> for PhraseRule {
    type Error = String;

    fn try_from(rule: Rule) -> Result<Self, String> {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let wrong = |problem| format!("the rule `{}`: {problem}", rule.code);
        if rule.code.is_empty() || !rule.code.chars().all(is_kebab) {
            return Err(wrong("a code consists of small letters, digits and hyphens".to_owned()));
        }
        if rule.instead.trim().is_empty() {
            return Err(wrong("it does not say what to say instead".to_owned()));
        }
        if rule.phrases.is_empty() {
            return Err(wrong("it has no phrases".to_owned()));
        }
        let parse = |phrases: &[String]| -> Result<Vec<Phrase>, String> {
            phrases.iter().cloned().map(Phrase::try_from).collect::<Result<_, _>>().map_err(wrong)
        };
        Ok(Self {
            phrases: parse(&rule.phrases)?,
            except: parse(&rule.except)?,
            unless_near: parse(&rule.unless_near)?,
            rule,
        })
    }
}

impl Rules {
    /// The rules that are compiled in.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::read(FILES)
    }

    /// Parses rule files: pairs of a locale and TOML.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesError> {
        let read = |(locale, toml): (&str, &str)| match read_file(toml) {
            Ok(rules) => Ok((locale.to_owned(), rules)),
            Err(error) => Err(RulesError { file: locale.to_owned(), source: Box::new(error) }),
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The codes of a locale's rules, in the order of its file.
    pub fn codes(&self, locale: &str) -> impl Iterator<Item = &str> {
        let rules = self.get(locale).into_iter();
        let all = rules.flat_map(|locale| locale.forbidden.iter().chain(&locale.required));
        all.map(|rule| rule.code.as_str())
    }

    pub(super) fn get(&self, locale: &str) -> Option<&Locale> {
        self.0.get(locale)
    }
}

fn read_file(toml: &str) -> Result<Locale, toml::de::Error> {
    let mut locale: Locale = toml::from_str(toml)?;
    if locale.months.len() != 12 {
        return Err(Error::custom("`months`: a year has twelve"));
    }
    for month in &mut locale.months {
        *month = normalize(month);
    }
    let mut codes: HashSet<String> = CODES.iter().copied().map(String::from).collect();
    for PhraseRule { rule, .. } in locale.forbidden.iter_mut().chain(&mut locale.required) {
        let wrong = |problem| Error::custom(format!("the rule `{}`: {problem}", rule.code));
        if !codes.insert(rule.code.clone()) {
            return Err(wrong("another rule has this code".to_owned()));
        }
        let source = locale.sources.get(&rule.source);
        let source =
            source.ok_or_else(|| wrong(format!("there is no source `{}`", rule.source)))?;
        rule.source.clone_from(source);
    }
    Ok(locale)
}
