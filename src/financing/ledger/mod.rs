//! The effect of each transaction, and the totals of a financing.
//!
//! The view `financing_ledger` alone decides the effect of a transaction; this module only reads.

pub mod store;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::database::Cursor;
use crate::stripe::{IdError, OfferId, TransactionId};

// The API serializes the two types below: their fields and descriptions are public.

/// The ledger totals of a financing, in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Sums)]
pub struct Totals {
    /// The financing; null for transactions that name none.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    pub offer_id: Option<String>,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    /// Advance and fee paid out, less what was taken back.
    pub advanced_minor: i64,
    /// Paid, less reversals.
    pub paid_minor: i64,
    /// The part of `paid_minor` that was withheld from sales, less reversals.
    pub withheld_minor: i64,
    /// Discounts on its fee, because of a refill: they need not be paid.
    pub discounted_minor: i64,
    /// Still to be paid; zero for a canceled financing, even before all reversals have arrived.
    pub remaining_minor: i64,
    /// Number of transactions of unknown effect, which the totals leave out.
    pub unclear: i64,
    /// Everything that was paid out has been reversed.
    #[serde(skip)]
    pub is_taken_back: bool,
    /// The time of the first transaction.
    pub first_at: DateTime<Utc>,
    /// The time of the last transaction.
    pub last_at: DateTime<Utc>,
}

impl Totals {
    /// What was paid out less what was paid and what need not be paid. Unlike `remaining_minor`,
    /// of a canceled financing too, whose reversals may still be to come.
    pub fn delta_minor(&self) -> i64 {
        let paid = self.paid_minor.saturating_add(self.discounted_minor);
        self.advanced_minor.saturating_sub(paid)
    }
}

/// A financing transaction, or the discount on a financing's fee because of a refill, which is no
/// transaction at Stripe. Amounts are in minor units of `currency` and signed as they count towards
/// the total: a reversal is negative.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Transaction)]
pub struct Movement {
    /// Its place in lists, as [`EntryId`].
    #[serde(skip)]
    pub entry_id: String,
    /// Null for a discount.
    #[schema(example = "cptxn_1Q2w3E4r5T6y7U8i")]
    pub transaction_id: Option<String>,
    pub created_at: DateTime<Utc>,
    /// `acct_…`
    #[serde(skip)]
    pub account_id: String,
    /// The financing; null if Stripe names none.
    #[schema(example = "financingoffer_1Q2w3E4r5T6y7U8i")]
    pub offer_id: Option<String>,
    /// As Stripe names it: `payment`, `payout`, `reversal`; or `discount`. More values may be
    /// added.
    #[schema(example = "payment")]
    pub r#type: String,
    /// As Stripe names it, such as `automatic_withholding`. More values may be added.
    #[schema(example = "automatic_withholding")]
    pub reason: Option<String>,
    /// The total that it counts towards: `advanced`, `paid`, `discounted`, or `unclear` if that is
    /// unknown.
    #[schema(example = "paid")]
    pub effect: String,
    /// Whether it is a withheld share of sales, or the return of one.
    #[schema(example = true)]
    pub is_withholding: bool,
    /// Lower-case ISO 4217 code.
    #[schema(example = "usd")]
    pub currency: String,
    #[schema(example = 1_500)]
    pub total_minor: i64,
    /// The part that is advance.
    #[schema(example = 1_364)]
    pub advance_minor: Option<i64>,
    /// The part that is fee.
    #[schema(example = 136)]
    pub fee_minor: Option<i64>,
    /// The transaction that a reversal reverses.
    pub reversed_transaction_id: Option<String>,
    /// The charge on the account from which a share was withheld: `py_…` or `ch_…`.
    #[schema(example = "py_1Q2w3E4r5T6y7U8i")]
    pub charge_id: Option<String>,
    /// Of a discount: the offer of the refill that gives it. Otherwise null.
    pub refill_offer_id: Option<String>,
}

/// The id of an entry in lists of movements: of the transaction or, for a discount, of the refill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryId(String);

impl EntryId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EntryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse::<TransactionId>()
            .map(drop)
            .or_else(|_| text.parse::<OfferId>().map(drop))
            .map(|()| Self(text.to_owned()))
    }
}

/// The movements of a report: half-open, `from <= created_at < until`.
#[derive(Clone, Copy, Debug)]
pub struct MovementRange<'a> {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// None for all accounts.
    pub account_id: Option<&'a str>,
}

/// The movements of a page; none in a field does not restrict.
#[derive(Clone, Debug, Default)]
pub struct MovementFilter {
    pub offer_id: Option<String>,
    /// Stripe's `type`, or `discount`.
    pub kind: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub until: Option<DateTime<Utc>>,
    /// Leaves out the withheld shares of sales and their returns.
    pub without_sales: bool,
    /// The last movement of the previous page.
    pub after: Option<Cursor<EntryId>>,
}

impl Movement {
    /// By how much it changes what remains to be paid.
    pub fn delta_minor(&self) -> i64 {
        match self.effect.as_str() {
            "advanced" => self.total_minor,
            "paid" | "discounted" => self.total_minor.saturating_neg(),
            _ => 0,
        }
    }

    /// The cursor of the page that begins after this movement.
    pub fn cursor(&self) -> Cursor<&str> {
        Cursor { created_at: self.created_at, id: &self.entry_id }
    }
}
