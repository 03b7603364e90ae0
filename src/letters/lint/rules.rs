//! The rules about words: one file for each locale in `templates/emails/rules`, compiled in.
//! `docs/copy-rules.md` says how they are written.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

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

/// Why a rule file is refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is not TOML, or has a key that is not known.
    #[error("cannot read the copy rules {file}.toml")]
    Unreadable { file: String, source: Box<toml::de::Error> },
    #[error("the rule `{code}` in {file}.toml: {problem}")]
    Wrong { file: String, code: String, problem: String },
}

/// A rule file, with its phrases as text or parsed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Locale<P = Phrase> {
    /// As [`normalize`] spells them.
    pub(super) months: Vec<String>,
    /// What stands in brackets before a subject, as in `[Test]`.
    pub(super) marks: Vec<String>,
    /// How a letter says that a reply stops the letters.
    pub(super) opt_out_by_reply: Vec<P>,
    sources: BTreeMap<String, String>,
    #[serde(default = "Vec::new")]
    pub(super) forbidden: Vec<Rule<P>>,
    #[serde(default = "Vec::new")]
    pub(super) required: Vec<Rule<P>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule<P = Phrase> {
    pub(super) code: String,
    #[serde(default = "Vec::new")]
    pub(super) phrases: Vec<P>,
    /// Phrases of which the forbidden one may be a part.
    #[serde(default = "Vec::new")]
    pub(super) except: Vec<P>,
    /// Phrases that excuse the forbidden one, no more than `within` words away.
    #[serde(default = "Vec::new")]
    pub(super) unless_near: Vec<P>,
    #[serde(default = "near")]
    pub(super) within: usize,
    /// None: all.
    #[serde(default)]
    financing: Vec<Contract>,
    #[serde(default)]
    severity: Severity,
    instead: String,
    /// In the file a key of `sources`, then what stands there.
    source: String,
}

/// Two or three sentences.
const fn near() -> usize {
    40
}

impl<P> Rule<P> {
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

impl Rules {
    /// The rules that are compiled in.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::read(FILES)
    }

    /// Parses rule files: pairs of a locale and TOML.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesError> {
        let read = |(locale, toml)| Ok((String::from(locale), read_file(locale, toml)?));
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

fn read_file(locale: &str, toml: &str) -> Result<Locale, RulesError> {
    let file: Locale<String> = toml::from_str(toml).map_err(|source| RulesError::Unreadable {
        file: locale.to_owned(),
        source: Box::new(source),
    })?;
    let wrong = |code: &str, problem: String| RulesError::Wrong {
        file: locale.to_owned(),
        code: code.to_owned(),
        problem,
    };
    if file.months.len() != 12 {
        return Err(wrong("months", "a year has twelve".to_owned()));
    }
    let mut codes: HashSet<&str> = CODES.iter().copied().collect();
    for rule in file.forbidden.iter().chain(&file.required) {
        if !codes.insert(&rule.code) {
            return Err(wrong(&rule.code, "another rule has this code".to_owned()));
        }
    }
    let german = locale == "de";
    let parse_all = |rules: &[Rule<String>]| -> Result<Vec<Rule>, RulesError> {
        let parse = |rule: &Rule<String>| {
            rule.parse(&file.sources, german).map_err(|problem| wrong(&rule.code, problem))
        };
        rules.iter().map(parse).collect()
    };
    let opt_out_by_reply = parse_phrases(&file.opt_out_by_reply, german);
    Ok(Locale {
        months: file.months.iter().map(|month| normalize(month, german)).collect(),
        opt_out_by_reply: opt_out_by_reply.map_err(|problem| wrong("opt_out_by_reply", problem))?,
        forbidden: parse_all(&file.forbidden)?,
        required: parse_all(&file.required)?,
        marks: file.marks,
        sources: file.sources,
    })
}

impl Rule<String> {
    fn parse(&self, sources: &BTreeMap<String, String>, german: bool) -> Result<Rule, String> {
        let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.code.is_empty() || !self.code.chars().all(is_kebab) {
            return Err("a code consists of small letters, digits and hyphens".to_owned());
        }
        if self.instead.trim().is_empty() {
            return Err("it does not say what to say instead".to_owned());
        }
        if self.phrases.is_empty() {
            return Err("it has no phrases".to_owned());
        }
        let source = sources.get(&self.source);
        Ok(Rule {
            code: self.code.clone(),
            phrases: parse_phrases(&self.phrases, german)?,
            except: parse_phrases(&self.except, german)?,
            unless_near: parse_phrases(&self.unless_near, german)?,
            within: self.within,
            financing: self.financing.clone(),
            severity: self.severity,
            instead: self.instead.clone(),
            source: source.ok_or_else(|| format!("there is no source `{}`", self.source))?.clone(),
        })
    }
}

fn parse_phrases(phrases: &[String], german: bool) -> Result<Vec<Phrase>, String> {
    let parse = |phrase: &String| {
        let problem = |problem| format!("the phrase `{phrase}`: {problem}");
        Phrase::parse(phrase, german).map_err(problem)
    };
    phrases.iter().map(parse).collect()
}
