//! The mandatory disclaimer of a letter (<https://docs.stripe.com/capital/marketing>): which one, and in whose words.
//!
//! Its wording is the operator's, as Stripe approved it: `<disclaimers_dir>/<variant>/<locale>.txt`. Without a file there is a sample that
//! says that it is one, for test mode only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Stripe's variants, the market that each is for, and the country whose accounts get it where Stripe names none.
const VARIANTS: [(&str, &str, bool); 7] = [
    ("celtic_us_loan", "US", true),
    ("youlend_us_mca", "US", false),
    ("youlend_uk_mca", "GB", true),
    ("youlend_de_financing", "DE", true),
    ("youlend_fr_financing", "FR", true),
    ("fundbox_au_financing", "AU", true),
    ("fundbox_ca_financing", "CA", true),
];

/// A disclaimer is a few sentences; a file of this size is something else.
const MOST_BYTES: u64 = 16 * 1024;

/// All disclaimers that may be needed.
#[derive(Clone, Debug, Default)]
pub struct Disclaimers(HashMap<String, Disclaimer>);

/// One disclaimer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclaimer {
    /// Stripe's name for it.
    pub variant: String,
    /// The market that it is for, where that is known.
    pub market: Option<String>,
    /// Its paragraphs.
    pub paragraphs: Vec<String>,
    /// Nobody's wording but ours: not for real merchants.
    pub is_sample: bool,
}

/// Why the operator's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DisclaimerError {
    /// One of them cannot be read.
    #[error("cannot read the disclaimer {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// One of them is none.
    #[error("the disclaimer {} is {what}", path.display())]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Disclaimers {
    /// Reads the operator's files for `locale`; none where there is no folder.
    pub fn load(dir: Option<&Path>, locale: &str) -> Result<Self, DisclaimerError> {
        let mut all = HashMap::new();
        let Some(dir) = dir else { return Ok(Self(all)) };
        let unreadable = |path: &Path, source| DisclaimerError::Unreadable { path: path.to_owned(), source };
        for entry in std::fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
            let path = entry.map_err(|error| unreadable(dir, error))?.path().join(format!("{locale}.txt"));
            let Some(variant) = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()) else {
                continue;
            };
            if !path.is_file() {
                continue;
            }
            let paragraphs = read(&path)?;
            let disclaimer = Disclaimer {
                variant: variant.to_owned(),
                market: market_of(variant).map(str::to_owned),
                paragraphs,
                is_sample: false,
            };
            all.insert(variant.to_owned(), disclaimer);
        }
        Ok(Self(all))
    }

    /// The disclaimer for an offer: the one that Stripe names, else the one of the account's country; a sample where the operator has
    /// no file for it. None where nobody can tell which.
    pub fn find(&self, variant: Option<&str>, country: Option<&str>) -> Option<Disclaimer> {
        let by_country = || {
            let usual = VARIANTS.iter().find(|(_, market, usual)| *usual && Some(*market) == country)?;
            Some(usual.0)
        };
        let variant = variant.filter(|variant| !variant.is_empty()).or_else(by_country)?;
        Some(self.0.get(variant).cloned().unwrap_or_else(|| sample(variant)))
    }

    /// One for each variant that Stripe has or the operator wrote: for previews and approvals.
    pub fn all(&self) -> Vec<Disclaimer> {
        let known = VARIANTS.iter().map(|(variant, ..)| (*variant).to_owned());
        let mut variants: Vec<String> = known.chain(self.0.keys().cloned()).collect();
        variants.sort();
        variants.dedup();
        variants.iter().filter_map(|variant| self.find(Some(variant), None)).collect()
    }
}

fn market_of(variant: &str) -> Option<&'static str> {
    VARIANTS.iter().find(|(known, ..)| *known == variant).map(|(_, market, _)| *market)
}

fn sample(variant: &str) -> Disclaimer {
    let text = format!(
        "Sample for test mode. The wording of the disclaimer {variant} that Stripe approved for your program goes here."
    );
    Disclaimer {
        variant: variant.to_owned(),
        market: market_of(variant).map(str::to_owned),
        paragraphs: vec![text],
        is_sample: true,
    }
}

fn read(path: &Path) -> Result<Vec<String>, DisclaimerError> {
    let unreadable = |source| DisclaimerError::Unreadable { path: path.to_owned(), source };
    let wrong = |what| DisclaimerError::Wrong { path: path.to_owned(), what };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MOST_BYTES {
        return Err(wrong("longer than any disclaimer"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    // As any editor saves it: with a byte order mark, with carriage returns, with blanks in lines that look empty.
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

    #[test]
    fn stripes_word_decides_and_else_the_country() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("youlend_us_mca")).unwrap();
        std::fs::write(
            dir.path().join("youlend_us_mca/en.txt"),
            "\u{feff}One\r\nsentence.\r\n \r\n\n  Another. \n",
        )
        .unwrap();
        let all = Disclaimers::load(Some(dir.path()), "en").unwrap();
        let found = all.find(Some("youlend_us_mca"), Some("DE")).unwrap();
        assert_eq!(found.paragraphs, ["One sentence.", "Another."]);
        assert_eq!((found.market.as_deref(), found.is_sample), (Some("US"), false));
        let by_country = all.find(None, Some("US")).unwrap();
        assert_eq!((by_country.variant.as_str(), by_country.is_sample), ("celtic_us_loan", true));
        assert_eq!(all.find(Some("something_new"), Some("US")).unwrap().market, None);
        assert_eq!(all.find(None, Some("BR")), None);
        assert_eq!(all.find(None, None), None);
        assert_eq!(all.all().len(), 7);
    }

    #[test]
    fn a_file_that_is_no_disclaimer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("celtic_us_loan")).unwrap();
        let file = dir.path().join("celtic_us_loan/en.txt");
        std::fs::write(&file, " \n\n").unwrap();
        let error = Disclaimers::load(Some(dir.path()), "en").unwrap_err().to_string();
        assert!(error.contains("celtic_us_loan") && error.contains("empty"), "{error}");
        std::fs::write(&file, b"\xff").unwrap();
        assert!(Disclaimers::load(Some(dir.path()), "en").is_err());
        assert!(Disclaimers::load(Some(Path::new("/nowhere")), "en").is_err());
        assert!(Disclaimers::load(None, "en").unwrap().find(None, Some("US")).unwrap().is_sample);
    }
}
