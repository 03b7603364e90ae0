//! The rules: one file for each locale in `templates/emails/rules`, compiled in. `docs/copy-rules.md` says how they are written.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::phrase::Phrase;
use super::{FinancingType, Severity, ours};

const FILES: [(&str, &str); 3] = [
    ("en", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/en.toml"))),
    ("de", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/de.toml"))),
    ("fr", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/emails/rules/fr.toml"))),
];

/// Phrases that are no further apart than this stand together: two or three sentences.
const NEAR_WORDS: usize = 40;

/// All rules, by locale.
#[derive(Clone, Debug)]
pub struct Rules(BTreeMap<String, Locale>);

/// Why a file has no rules that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is not TOML, or has a key that no rule has.
    #[error("cannot read the copy rules {file}.toml")]
    Unreadable {
        /// The locale that the file is for.
        file: String,
        /// What the parser says, with the line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// One of its rules means nothing.
    #[error("the rule `{code}` in {file}.toml: {problem}")]
    Wrong {
        /// The locale that the file is for.
        file: String,
        /// Which rule.
        code: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The rules of one locale.
#[derive(Clone, Debug)]
pub(super) struct Locale {
    pub(super) months: Vec<String>,
    pub(super) negations: Vec<String>,
    pub(super) marks: Vec<String>,
    pub(super) opt_out: OptOut,
    pub(super) forbidden: Vec<Rule>,
    pub(super) required: Vec<Rule>,
}

/// How a letter speaks of stopping the letters.
#[derive(Clone, Debug)]
pub(super) struct OptOut {
    pub(super) words: Vec<Phrase>,
    pub(super) by_reply: Vec<Phrase>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) code: String,
    pub(super) severity: Severity,
    pub(super) phrases: Vec<Phrase>,
    /// Phrases that make the words in them innocent.
    pub(super) except: Vec<Phrase>,
    /// Phrases of which one within so many words makes them innocent too.
    pub(super) unless_near: Vec<Phrase>,
    pub(super) within: usize,
    pub(super) instead: String,
    pub(super) source: String,
    financing: Vec<Financing>,
}

impl Rule {
    /// Is it for letters about this kind of contract?
    pub(super) fn is_for(&self, financing: FinancingType) -> bool {
        let kind = match financing {
            FinancingType::Loan => Financing::Loan,
            FinancingType::CashAdvance => Financing::CashAdvance,
            FinancingType::Unspecified => Financing::Unspecified,
        };
        self.financing.is_empty() || self.financing.contains(&kind)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Financing {
    Loan,
    CashAdvance,
    Unspecified,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    months: Vec<String>,
    negations: Vec<String>,
    marks: Vec<String>,
    sources: BTreeMap<String, String>,
    opt_out: OptOutEntry,
    #[serde(default)]
    forbidden: Vec<Entry>,
    #[serde(default)]
    required: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptOutEntry {
    words: Vec<String>,
    by_reply: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    code: String,
    phrases: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    unless_near: Vec<String>,
    #[serde(default = "near")]
    within: usize,
    #[serde(default)]
    financing: Vec<Financing>,
    #[serde(default)]
    severity: Severity,
    instead: String,
    source: String,
}

const fn near() -> usize {
    NEAR_WORDS
}

impl Rules {
    /// The rules of this version.
    pub fn built_in() -> Result<Self, RulesError> {
        Self::read(FILES)
    }

    /// Reads rules from TOML, by locale.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RulesError> {
        let read = |(locale, text)| Ok((String::from(locale), read_file(locale, text)?));
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The locales that there are rules for.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The codes of a locale's rules, in the order of its file.
    pub fn codes(&self, locale: &str) -> impl Iterator<Item = &str> {
        self.0.get(locale).into_iter().flat_map(Locale::rules).map(|rule| rule.code.as_str())
    }

    pub(super) fn get(&self, locale: &str) -> Option<&Locale> {
        self.0.get(locale)
    }
}

impl Locale {
    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.forbidden.iter().chain(&self.required)
    }
}

fn read_file(locale: &str, text: &str) -> Result<Locale, RulesError> {
    let file: File = toml::from_str(text).map_err(|error| RulesError::Unreadable {
        file: locale.to_owned(),
        source: Box::new(error),
    })?;
    let reader = FileReader { locale, sources: &file.sources };
    let read = Locale {
        months: file.months.iter().map(|month| super::fold::fold(month, locale == "de")).collect(),
        negations: file
            .negations
            .iter()
            .map(|word| super::fold::fold(word, locale == "de"))
            .collect(),
        marks: file.marks,
        opt_out: OptOut {
            words: reader.phrases("opt_out", &file.opt_out.words)?,
            by_reply: reader.phrases("opt_out", &file.opt_out.by_reply)?,
        },
        forbidden: reader.rules(file.forbidden)?,
        required: reader.rules(file.required)?,
    };
    if read.months.len() != 12 {
        return Err(reader.wrong("months", "a year has twelve"));
    }
    let mut codes: HashSet<&str> = ours::CODES.iter().copied().collect();
    let again = read.rules().find(|rule| !codes.insert(&rule.code)).map(|rule| rule.code.clone());
    match again {
        Some(code) => Err(reader.wrong(&code, "there is another of this code")),
        None => Ok(read),
    }
}

struct FileReader<'a> {
    locale: &'a str,
    sources: &'a BTreeMap<String, String>,
}

impl FileReader<'_> {
    fn rules(&self, entries: Vec<Entry>) -> Result<Vec<Rule>, RulesError> {
        entries.into_iter().map(|entry| self.rule(entry)).collect()
    }

    fn rule(&self, entry: Entry) -> Result<Rule, RulesError> {
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let code = entry.code;
        if code.is_empty() || !code.chars().all(kebab) {
            return Err(self.wrong(&code, "a code is made of small letters and hyphens"));
        }
        if entry.instead.trim().is_empty() {
            return Err(self.wrong(&code, "it does not say what to say instead"));
        }
        let Some(source) = self.sources.get(&entry.source) else {
            return Err(self.wrong(&code, &format!("there is no source `{}`", entry.source)));
        };
        Ok(Rule {
            severity: entry.severity,
            phrases: self.phrases(&code, &entry.phrases)?,
            except: self.some_phrases(&code, &entry.except)?,
            unless_near: self.some_phrases(&code, &entry.unless_near)?,
            within: entry.within,
            instead: entry.instead,
            source: source.clone(),
            financing: entry.financing,
            code,
        })
    }

    fn phrases(&self, code: &str, sources: &[String]) -> Result<Vec<Phrase>, RulesError> {
        if sources.is_empty() {
            Err(self.wrong(code, "it has no phrases"))
        } else {
            self.some_phrases(code, sources)
        }
    }

    fn some_phrases(&self, code: &str, sources: &[String]) -> Result<Vec<Phrase>, RulesError> {
        let read = |source: &String| {
            Phrase::read(source, self.locale)
                .map_err(|problem| self.wrong(code, &format!("the phrase `{source}`: {problem}")))
        };
        sources.iter().map(read).collect()
    }

    fn wrong(&self, code: &str, problem: &str) -> RulesError {
        RulesError::Wrong {
            file: self.locale.to_owned(),
            code: code.to_owned(),
            problem: problem.to_owned(),
        }
    }
}
