//! `capital.financing_transaction` as Stripe sends it (<https://docs.stripe.com/api/capital/financing_transactions>).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de};

use super::deserialize::{maybe_id, open_enum, seconds};
use super::{AccountId, OfferId, TransactionId};
use crate::format::money::is_currency;

/// One movement of a financing: money to the merchant, money from it, or the undoing of one of these. Only what decides or is
/// shown is read; the whole object is kept beside it as it came.
#[derive(Clone, Debug, Deserialize)]
pub struct FinancingTransaction {
    /// `cptxn_…`
    pub id: TransactionId,
    /// The connected account.
    pub account: AccountId,
    /// When it happened. Stripe calls it `created_at` here, and nowhere else.
    #[serde(alias = "created", deserialize_with = "seconds")]
    pub created_at: DateTime<Utc>,
    /// False for test data.
    pub livemode: bool,
    /// The financing that it belongs to.
    #[serde(default, deserialize_with = "maybe_id")]
    pub financing_offer: Option<OfferId>,
    /// Says which way the money is meant to go, and not through which account it went.
    #[serde(rename = "type")]
    pub type_: TransactionType,
    /// Amounts and reasons.
    pub details: Details,
}

/// `details`. Amounts are minor units of `currency`, without a sign.
#[derive(Clone, Debug, Deserialize)]
pub struct Details {
    /// The part of the advance.
    #[serde(default)]
    pub advance_amount: Option<i64>,
    /// The part of the fee.
    #[serde(default)]
    pub fee_amount: Option<i64>,
    /// Both.
    pub total_amount: i64,
    /// Lower-case ISO code.
    #[serde(deserialize_with = "currency")]
    pub currency: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// What a reversal undoes.
    #[serde(default, deserialize_with = "maybe_id")]
    pub reversed_transaction: Option<TransactionId>,
    /// The payment that a part was withheld from.
    #[serde(default)]
    pub linked_payment: Option<String>,
    /// What moved the money at Stripe.
    #[serde(default)]
    pub transaction: Option<MovedBy>,
}

/// `details.transaction`.
#[derive(Clone, Debug, Deserialize)]
pub struct MovedBy {
    /// A charge on the connected account.
    #[serde(default)]
    pub charge: Option<String>,
    /// A movement of a Treasury account.
    #[serde(default)]
    pub treasury_transaction: Option<String>,
}

open_enum! {
    /// `type`.
    TransactionType {
        /// Money to the merchant.
        Payout = "payout",
        /// Money from the merchant to the financing.
        Payment = "payment",
        /// Another one undone.
        Reversal = "reversal",
    }
}

open_enum! {
    /// `details.reason`.
    Reason {
        /// A share of a sale.
        AutomaticWithholding = "automatic_withholding",
        /// Such a share given back.
        AutomaticWithholdingRefund = "automatic_withholding_refund",
        /// What a period's minimum lacked, from a bank account or from the balance: Stripe does not say which.
        Collection = "collection",
        /// A collection that failed afterwards.
        CollectionFailure = "collection_failure",
        /// The merchant took the financing back.
        FinancingCancellation = "financing_cancellation",
        /// A refill settled the financing before it.
        Refill = "refill",
        /// The merchant asked for it.
        RequestedByUser = "requested_by_user",
        /// The merchant paid by itself.
        UserInitiated = "user_initiated",
    }
}

/// Currencies are never added up together, so one that is none would make sums of its own.
fn currency<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let code = String::deserialize(from)?;
    if is_currency(&code) {
        Ok(code)
    } else {
        Err(de::Error::custom("`currency` is not three letters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_transaction_is_read_with_all_that_is_optional_absent_null_or_new() {
        let least = json!({
            "id": "cptxn_1", "account": "acct_1", "created_at": 1_700_000_000, "livemode": false, "type": "payment",
            "details": {"total_amount": 1_500, "currency": "usd"},
        });
        let mut nulls = least.clone();
        nulls["financing_offer"] = json!(null);
        for field in [
            "advance_amount",
            "fee_amount",
            "reason",
            "reversed_transaction",
            "linked_payment",
            "transaction",
        ] {
            nulls["details"][field] = json!(null);
        }
        for value in [least, nulls] {
            let read: FinancingTransaction = serde_json::from_value(value).unwrap();
            assert_eq!((read.type_, read.details.total_amount), (TransactionType::Payment, 1_500));
            assert!(read.financing_offer.is_none() && read.details.reason.is_none());
        }
        let newer: FinancingTransaction = serde_json::from_value(json!({
            "id": "cptxn_2", "account": "acct_1", "created": 1_700_000_000.5, "livemode": true, "type": "adjustment",
            "financing_offer": "financingoffer_1", "something": [1],
            "details": {"advance_amount": 1, "fee_amount": 2, "total_amount": 4, "currency": "usd", "reason": "goodwill",
                        "transaction": {"charge": "py_1"}},
        }))
        .unwrap();
        assert_eq!(newer.type_, TransactionType::Other("adjustment".into()));
        assert_eq!(newer.details.reason, Some(Reason::Other("goodwill".into())));
        assert_eq!(newer.details.transaction.unwrap().charge.as_deref(), Some("py_1"));
    }
}
