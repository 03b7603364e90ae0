//! What a letter is written from.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use url::Url;

use crate::format::locale::Language;
use crate::format::money::Money;
use crate::letters::Kind;
use crate::stripe::Contract;

/// All that a letter may say about an offer and the account that it is made to.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the letter is for.
    pub kind: Kind,
    /// The account has a financing that runs: the letter says what becomes of it.
    pub is_refill: bool,
    /// In which words.
    pub language: Language,
    /// Where the merchant is, by two letters: decides how amounts and days are written, and what a refill does.
    pub country: Option<String>,
    /// In which days are told.
    pub time_zone: Tz,
    /// The business's name, as somebody typed it.
    pub account_name: Option<String>,
    /// The bare address that the letter goes to.
    pub recipient: String,
    /// What the merchant can get, at most.
    pub advance: Money,
    /// The flat fee for it.
    pub fee: Money,
    /// The share of daily sales that goes to it: 0.15 is 15 %.
    pub withhold_rate: f64,
    /// After this moment nobody can apply.
    pub expires_at: DateTime<Utc>,
    /// Which words may be used.
    pub financing_type: Contract,
    /// The mandatory disclaimer, by its paragraphs.
    pub disclaimer: Vec<String>,
    /// By which the merchant stops the letters.
    pub unsubscribe_url: Option<Url>,
    /// False for test data.
    pub livemode: bool,
}
