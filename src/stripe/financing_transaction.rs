//! `capital.financing_transaction`
//! (<https://docs.stripe.com/api/capital/financing_transactions>).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de};

use super::deserialize::{maybe_id, open_enum, seconds};
use super::{AccountId, OfferId, TransactionId};
use crate::format::money::is_currency;

/// A payout to the merchant, a payment by the merchant, or the reversal of either. These are the
/// fields that this service uses; the complete object is stored next to them.
#[derive(Clone, Debug, Deserialize)]
pub struct FinancingTransaction {
    /// `cptxn_…`
    pub id: TransactionId,
    pub account: AccountId,
    /// Stripe calls it `created_at` in this object only.
    #[serde(alias = "created", deserialize_with = "seconds")]
    pub created_at: DateTime<Utc>,
    pub livemode: bool,
    #[serde(default, deserialize_with = "maybe_id")]
    pub financing_offer: Option<OfferId>,
    /// The direction of the money, unless it is a reversal.
    #[serde(rename = "type")]
    pub type_: TransactionType,
    pub details: Details,
}

/// `details`. Amounts are unsigned, in minor units of `currency`.
#[derive(Clone, Debug, Deserialize)]
pub struct Details {
    pub advance_amount: Option<i64>,
    pub fee_amount: Option<i64>,
    /// Advance plus fee.
    pub total_amount: i64,
    /// ISO 4217 code.
    #[serde(deserialize_with = "currency")]
    pub currency: String,
    pub reason: Option<Reason>,
    /// The transaction that a reversal undoes.
    #[serde(default, deserialize_with = "maybe_id")]
    pub reversed_transaction: Option<TransactionId>,
    /// The payment from which a share was withheld.
    pub linked_payment: Option<String>,
    /// The Stripe object that moved the money.
    pub transaction: Option<MovedBy>,
}

/// `details.transaction`.
#[derive(Clone, Debug, Deserialize)]
pub struct MovedBy {
    /// On the connected account.
    pub charge: Option<String>,
    pub treasury_transaction: Option<String>,
}

open_enum! {
    /// `type`.
    TransactionType {
        /// Money to the merchant.
        Payout = "payout",
        /// Money from the merchant to the financing.
        Payment = "payment",
        /// Undoes another transaction.
        Reversal = "reversal",
    }
}

open_enum! {
    /// `details.reason`.
    Reason {
        /// A share withheld from a sale.
        AutomaticWithholding = "automatic_withholding",
        /// The refund of such a share.
        AutomaticWithholdingRefund = "automatic_withholding_refund",
        /// The missing part of a period's minimum, debited from the bank account or the balance;
        /// Stripe does not say which.
        Collection = "collection",
        /// A collection that failed after it was reported.
        CollectionFailure = "collection_failure",
        /// The merchant canceled the financing.
        FinancingCancellation = "financing_cancellation",
        /// A refill settled the previous financing.
        Refill = "refill",
        RequestedByUser = "requested_by_user",
        /// A manual payment by the merchant.
        UserInitiated = "user_initiated",
    }
}

/// Totals are kept per currency, so an invalid code would create totals of its own.
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
    fn optional_fields_may_be_absent_null_or_unknown() {
        let least = json!({
            "id": "cptxn_1", "account": "acct_1", "created_at": 1_700_000_000, "livemode": false,
            "type": "payment", "details": {"total_amount": 1_500, "currency": "usd"},
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
            "id": "cptxn_2", "account": "acct_1", "created": 1_700_000_000.5, "livemode": true,
            "type": "adjustment", "financing_offer": "financingoffer_1", "something": [1],
            "details": {"advance_amount": 1, "fee_amount": 2, "total_amount": 4, "currency": "usd",
                        "reason": "goodwill", "transaction": {"charge": "py_1"}},
        }))
        .unwrap();
        assert_eq!(newer.type_, TransactionType::Other("adjustment".into()));
        assert_eq!(newer.details.reason, Some(Reason::Other("goodwill".into())));
        assert_eq!(newer.details.transaction.unwrap().charge.as_deref(), Some("py_1"));
    }
}
