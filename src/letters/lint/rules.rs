//! The rules about words: one file for each locale in `templates/emails/rules`, compiled in.
//! `docs/copy-rules.md` says how they are written.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde::de::Error;

use super::builtin_rules::CODES;
use super::normalize::normalize;
use super::phrase::Phrases;
use super::{Contract, Finding, Part, Severity};

const FILES: [(&str, &str); 3] = [
    ("en", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/en.toml"))),
    ("de", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/de.toml"))),
    ("fr", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/fr.toml"))),
];

/// The rules of all locales.
#[derive(Clone, Debug)]
pub struct Rules(pub(super) BTreeMap<String, Locale>);

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
    pub(super) opt_out_by_reply: Phrases,
    sources: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) forbidden: Vec<Rule>,
    #[serde(default)]
    pub(super) required: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) code: String,
    #[serde(default)]
    pub(super) phrases: Phrases,
    /// Phrases of which the forbidden one may be a part.
    #[serde(default)]
    pub(super) except: Phrases,
    /// Phrases that excuse the forbidden one, no more than `within` words away.
    #[serde(default)]
    pub(super) unless_near: Phrases,
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

    /// Checks the rule, and completes what its file leaves to be looked up and compiled.
    fn complete(
        &mut self,
        sources: &BTreeMap<String, String>,
        known: &mut HashSet<String>,
    ) -> Result<(), String> {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.code.is_empty() || !self.code.chars().all(is_kebab) {
            return Err("a code consists of small letters, digits and hyphens".to_owned());
        }
        if !known.insert(self.code.clone()) {
            return Err("another rule has this code".to_owned());
        }
        if self.instead.trim().is_empty() {
            return Err("it does not say what to say instead".to_owned());
        }
        if self.phrases.is_empty() {
            return Err("it has no phrases".to_owned());
        }
        let source = sources.get(&self.source);
        self.source =
            source.ok_or_else(|| format!("there is no source `{}`", self.source))?.clone();
        [&mut self.phrases, &mut self.except, &mut self.unless_near]
            .into_iter()
            .try_for_each(Phrases::compile)
    }
}

impl Rules {
    /// The rules that are compiled in.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::read(FILES)
    }

    /// Parses rule files: pairs of a locale and TOML.
    pub(super) fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesError> {
        let read = |(locale, toml): (&str, &str)| match Locale::read(toml) {
            Ok(rules) => Ok((locale.to_owned(), rules)),
            Err(error) => Err(RulesError { file: locale.to_owned(), source: Box::new(error) }),
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn get(&self, locale: &str) -> Option<&Locale> {
        self.0.get(locale)
    }
}

impl Locale {
    fn read(toml: &str) -> Result<Self, toml::de::Error> {
        let mut locale: Self = toml::from_str(toml)?;
        locale.complete().map_err(Error::custom)?;
        Ok(locale)
    }

    fn complete(&mut self) -> Result<(), String> {
        if self.months.len() != 12 {
            return Err("`months`: a year has twelve".to_owned());
        }
        self.months = self.months.iter().map(|month| normalize(month)).collect();
        self.opt_out_by_reply.compile()?;
        let mut codes: HashSet<String> = CODES.iter().copied().map(String::from).collect();
        for rule in self.forbidden.iter_mut().chain(&mut self.required) {
            let completed = rule.complete(&self.sources, &mut codes);
            completed.map_err(|problem| format!("the rule `{}`: {problem}", rule.code))?;
        }
        Ok(())
    }
}
