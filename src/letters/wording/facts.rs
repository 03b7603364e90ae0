//! The input of a letter.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use url::Url;

use crate::format::locale::Language;
use crate::format::money::Money;
use crate::letters::Kind;
use crate::stripe::{Contract, RepaymentInterval};

/// Everything that a letter may state about an offer and its account.
#[derive(Clone, Debug)]
pub struct Facts {
    pub kind: Kind,
    /// The account has a running financing, and the letter says what happens to it.
    pub is_refill: bool,
    pub language: Language,
    /// Two letters. Determines the formats of amounts and dates, and what a refill does.
    pub country: Option<String>,
    /// For dates.
    pub time_zone: Tz,
    /// As entered by the account's owner: untrusted.
    pub account_name: Option<String>,
    /// Of the person who reads the letter, if Stripe knows who that is. Untrusted.
    pub first_name: Option<String>,
    /// The bare address.
    pub recipient: String,
    /// The maximum amount of the offer.
    pub advance: Money,
    /// The flat fee.
    pub fee: Money,
    /// The share of daily sales that is withheld: 0.15 is 15 %.
    pub withhold_rate: f64,
    /// The last moment to apply.
    pub expires_at: DateTime<Utc>,
    /// Determines whom the merchant can ask: the disclaimer's market, or `country`.
    pub market: Option<String>,
    /// Determines the permitted vocabulary and, with the country, the terms of the product.
    pub financing_type: Contract,
    /// If Stripe sent it.
    pub repayment_interval: Option<RepaymentInterval>,
    /// The discount on what remains of the running financing's fee: 0.1 is 10 %.
    pub fee_discount: Option<f64>,
    /// Paragraphs.
    pub disclaimer: Vec<String>,
    /// `None` if merchants can unsubscribe by email only.
    pub unsubscribe_url: Option<Url>,
    /// False for test data.
    pub livemode: bool,
}
