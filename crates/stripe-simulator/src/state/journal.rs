//! What moved an account's money, in order. Nothing in the simulator is computed from the journal:
//! it is an account of the same facts that a test can add up for itself and compare with what the
//! API shows.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::balance::Fund;
use super::ledger::{PaymentSource, Reason, reason};

/// One movement. Amounts are minor units of the account's currency, without a sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Movement {
    /// A financing begins: the advance reaches the account.
    Advance {
        offer: String,
        currency: String,
        advance_minor: i64,
        fee_minor: i64,
    },
    /// Money goes to a financing.
    Payment {
        offer: String,
        minor: i64,
        /// Stripe's `details.reason`.
        #[serde(deserialize_with = "reason")]
        reason: Reason,
        from: PaymentSource,
        /// The charge that it was withheld from.
        charge: Option<String>,
        /// In the account's time zone.
        date: NaiveDate,
    },
    /// A payment is undone, and its money goes back to where it came from.
    Reversal {
        offer: String,
        minor: i64,
        to: PaymentSource,
        date: NaiveDate,
    },
    /// A refill lowers the fee of the financing before it.
    Discount {
        offer: String,
        minor: i64,
    },
    /// A financing is taken back after all its payments were undone.
    Cancellation {
        offer: String,
        advance_minor: i64,
    },
    /// A sale, less fees.
    Sale {
        net_minor: i64,
    },
    Refund {
        minor: i64,
    },
    /// Money goes to the bank.
    Payout {
        id: String,
        fund: Fund,
        minor: i64,
    },
}
