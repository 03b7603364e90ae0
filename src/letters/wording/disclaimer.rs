//! The mandatory disclaimer of a letter (<https://docs.stripe.com/capital/marketing>): its variant,
//! language and wording.
//!
//! The operator supplies the wording as Stripe approved it, in
//! `<disclaimers_dir>/<variant>/<locale>.txt`. Without a file there is a sample, marked as such,
//! for test mode only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::format::locale::Language::{self, English, French, German};
use crate::stripe::{DISCLAIMER_VARIANTS as VARIANTS, market_of_disclaimer};

/// A disclaimer has a few sentences; a larger file is a mistake.
const MAX_BYTES: u64 = 16 * 1024;

/// The operator's disclaimers.
#[derive(Clone, Debug, Default)]
pub struct Disclaimers(BTreeMap<(String, Language), Disclaimer>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclaimer {
    /// Stripe's name for it.
    pub variant: String,
    /// Also the language of the letter.
    pub language: Language,
    /// `None` if the variant is unknown.
    pub market: Option<String>,
    pub paragraphs: Vec<String>,
    /// Our placeholder text: not for real merchants.
    pub is_sample: bool,
}

/// Why the operator's disclaimers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DisclaimerError {
    #[error("cannot read the disclaimer {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the disclaimer {} is {what}", path.display())]
    Invalid { path: PathBuf, what: &'static str },
    #[error(
        "the disclaimer {} is in an unknown language (known are {})",
        path.display(),
        Language::ALL.map(|language| format!("{language}.txt")).join(", ")
    )]
    UnknownLanguage { path: PathBuf },
}

impl Disclaimer {
    /// The market of what it accompanies: its own, else the account's country.
    pub fn market_in(&self, country: Option<&str>) -> Option<String> {
        self.market.as_deref().or(country).map(str::to_owned)
    }
}

impl Disclaimers {
    /// Reads the operator's files. Empty if `dir` is `None`.
    pub fn load(dir: Option<&Path>) -> Result<Self, DisclaimerError> {
        let mut all = BTreeMap::new();
        let Some(dir) = dir else { return Ok(Self(all)) };
        for folder in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
            let Some(variant) = folder.file_name().and_then(|name| name.to_str()) else { continue };
            for path in entries(&folder)?
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == "txt"))
            {
                let code = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                let language = code
                    .parse()
                    .map_err(|_| DisclaimerError::UnknownLanguage { path: path.clone() })?;
                let disclaimer = Disclaimer {
                    variant: variant.to_owned(),
                    language,
                    market: market_of_disclaimer(variant).map(str::to_owned),
                    paragraphs: read(&path)?,
                    is_sample: false,
                };
                all.insert((variant.to_owned(), language), disclaimer);
            }
        }
        Ok(Self(all))
    }

    /// The disclaimer of the variant that Stripe names, else of the country's default variant. In
    /// the first of `languages` that the operator has, else in the market's language, else as a
    /// sample. `None` if neither variant nor country determines one.
    pub fn find(
        &self,
        variant: Option<&str>,
        country: Option<&str>,
        languages: &[Language],
    ) -> Option<Disclaimer> {
        let by_country = || {
            let is_default = |(_, market, _, by_country): &&(&str, &str, Language, bool)| {
                *by_country && country == Some(market)
            };
            VARIANTS.iter().find(is_default).map(|(variant, ..)| *variant)
        };
        let variant = variant.filter(|variant| !variant.is_empty()).or_else(by_country)?;
        let market_language = VARIANTS
            .iter()
            .find(|(known, ..)| *known == variant)
            .map(|(_, _, language, _)| *language);
        let own = languages
            .iter()
            .chain(&market_language)
            .find_map(|language| self.0.get(&(variant.to_owned(), *language)).cloned());
        Some(own.unwrap_or_else(|| sample(variant, languages.first().copied().unwrap_or(English))))
    }

    /// The operator's disclaimers, and a sample of every variant without one. For previews and
    /// approvals.
    pub fn all(&self) -> Vec<Disclaimer> {
        let is_missing = |variant: &str| !self.0.keys().any(|(known, _)| known == variant);
        let samples = VARIANTS
            .iter()
            .filter(|(variant, ..)| is_missing(variant))
            .map(|(variant, _, language, _)| sample(variant, *language));
        let mut all: Vec<Disclaimer> = self.0.values().cloned().chain(samples).collect();
        all.sort_by(|one, other| {
            (&one.variant, one.language).cmp(&(&other.variant, other.language))
        });
        all
    }
}

fn sample(variant: &str, language: Language) -> Disclaimer {
    let text = match language {
        English => format!(
            "Sample for test mode. The wording of the disclaimer {variant} that Stripe approved for your program goes here."
        ),
        German => format!(
            "Muster für den Testmodus. Hier steht der Hinweis {variant}, wie Stripe ihn für Ihr Programm freigegeben hat."
        ),
        French => format!(
            "Exemple pour le mode test. Ici figure la mention {variant} que Stripe a approuvée pour votre programme."
        ),
    };
    Disclaimer {
        variant: variant.to_owned(),
        language,
        market: market_of_disclaimer(variant).map(str::to_owned),
        paragraphs: vec![text],
        is_sample: true,
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, DisclaimerError> {
    let unreadable = |source| DisclaimerError::Unreadable { path: dir.to_owned(), source };
    let entries = std::fs::read_dir(dir).map_err(unreadable)?;
    entries.map(|entry| Ok(entry.map_err(unreadable)?.path())).collect()
}

fn read(path: &Path) -> Result<Vec<String>, DisclaimerError> {
    let unreadable = |source| DisclaimerError::Unreadable { path: path.to_owned(), source };
    let wrong = |what| DisclaimerError::Invalid { path: path.to_owned(), what };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(wrong("too large"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    // Tolerates what editors leave: a byte order mark, carriage returns, spaces in blank lines.
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim).collect();
    let paragraphs: Vec<String> = lines
        .split(|line| line.is_empty())
        .filter(|paragraph| !paragraph.is_empty())
        .map(|paragraph| paragraph.join(" ").split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if paragraphs.is_empty() { Err(wrong("empty")) } else { Ok(paragraphs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &[Language] = &[English];

    #[test]
    fn stripes_word_decides_and_else_the_country() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("youlend_us_mca")).unwrap();
        std::fs::write(
            dir.path().join("youlend_us_mca/en.txt"),
            "\u{feff}One\r\nsentence.\r\n \r\n\n  Another. \n",
        )
        .unwrap();
        let all = Disclaimers::load(Some(dir.path())).unwrap();
        let found = all.find(Some("youlend_us_mca"), Some("DE"), ENGLISH).unwrap();
        assert_eq!(found.paragraphs, ["One sentence.", "Another."]);
        assert_eq!((found.market.as_deref(), found.is_sample), (Some("US"), false));
        let by_country = all.find(None, Some("US"), ENGLISH).unwrap();
        assert_eq!((by_country.variant.as_str(), by_country.is_sample), ("celtic_us_loan", true));
        assert_eq!(all.find(Some("something_new"), Some("US"), ENGLISH).unwrap().market, None);
        assert_eq!(all.find(None, Some("BR"), ENGLISH), None);
        assert_eq!(all.find(None, None, ENGLISH), None);
        assert_eq!(all.all().len(), 7);
    }

    #[test]
    fn the_language_is_the_first_one_that_there_is_a_wording_in() {
        let dir = tempfile::tempdir().unwrap();
        let variant = dir.path().join("youlend_de_financing");
        std::fs::create_dir(&variant).unwrap();
        std::fs::write(variant.join("en.txt"), "In English.").unwrap();
        let find = |languages: &[Language]| {
            let found = Disclaimers::load(Some(dir.path())).unwrap().find(
                Some("youlend_de_financing"),
                None,
                languages,
            );
            found.map(|found| (found.language, found.is_sample)).unwrap()
        };
        assert_eq!(find(&[German, English]), (English, false));
        assert_eq!(find(&[French]), (French, true));
        std::fs::write(variant.join("de.txt"), "Auf Deutsch.").unwrap();
        assert_eq!(find(&[German, English]), (German, false));
    }

    #[test]
    fn a_file_that_is_no_disclaimer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("celtic_us_loan")).unwrap();
        let file = dir.path().join("celtic_us_loan/en.txt");
        std::fs::write(&file, " \n\n").unwrap();
        let error = Disclaimers::load(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("celtic_us_loan") && error.contains("empty"), "{error}");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(Disclaimers::load(Some(dir.path())).is_err());
        std::fs::remove_file(&file).unwrap();
        std::fs::write(file.with_file_name("nl.txt"), "In het Nederlands.").unwrap();
        let error = Disclaimers::load(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("nl.txt") && error.contains("fr.txt"), "{error}");
        assert!(Disclaimers::load(Some(Path::new("/nowhere"))).is_err());
        assert!(
            Disclaimers::load(None).unwrap().find(None, Some("US"), ENGLISH).unwrap().is_sample
        );
    }
}
