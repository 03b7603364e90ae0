//! Charges and transfers, reduced to the links between them
//! (<https://docs.stripe.com/api/charges/object>, <https://docs.stripe.com/api/transfers/object>).
//!
//! A destination charge consists of a charge on the platform, a transfer, and a payment on the
//! connected account.

use serde::{Deserialize, Deserializer};

/// A charge on a connected account.
#[derive(Clone, Debug, Deserialize)]
pub struct Charge {
    /// `tr_…` that funded it, if the charge was made on the platform.
    #[serde(default, deserialize_with = "maybe_expanded")]
    pub source_transfer: Option<String>,
}

/// A transfer from the platform to an account.
#[derive(Clone, Debug, Deserialize)]
pub struct Transfer {
    /// The platform's charge (`ch_…`) that it passes on.
    #[serde(default, deserialize_with = "maybe_expanded")]
    pub source_transaction: Option<String>,
}

/// An id, or the expanded object (<https://docs.stripe.com/api/expanding_objects>).
fn maybe_expanded<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Expanded {
        Id(String),
        Object { id: String },
    }
    let given = Option::<Expanded>::deserialize(from)?;
    Ok(given.map(|given| match given {
        Expanded::Id(id) | Expanded::Object { id } => id,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_transfer_may_be_an_id_an_object_or_absent() {
        let transfer = |charge| serde_json::from_value::<Charge>(charge).unwrap().source_transfer;
        assert_eq!(
            transfer(json!({"id": "py_1", "source_transfer": "tr_1"})).as_deref(),
            Some("tr_1")
        );
        assert_eq!(
            transfer(json!({"source_transfer": {"id": "tr_1", "amount": 5}})).as_deref(),
            Some("tr_1")
        );
        assert_eq!(transfer(json!({"source_transfer": null})), None);
        assert_eq!(transfer(json!({})), None);
    }
}
