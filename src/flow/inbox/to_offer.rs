//! The arrow from the inbox to the offers: an event about Capital becomes a line of the timeline and, where it carries an
//! offer, the offer's new state.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::store::{Outcome, Unread};
use crate::flow::offer::{self, Source, Told};
use crate::telemetry::chain;
use crate::timeline::{self, Entry};

/// What an operator has to change where a Connect endpoint was registered (<https://docs.stripe.com/capital/api-integration>:
/// Capital's events are the platform's own).
const CONNECT_ENDPOINT: &str =
    "arrived through a Connect endpoint: register the webhook for events of your own account instead";

/// Projects one event of type `capital.…`, in the transaction that marks it read.
pub(super) async fn hand_over(
    tx: &mut PgConnection,
    event: &Unread,
    message_id_domain: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Outcome> {
    let body: Value = match serde_json::from_slice(&event.payload) {
        Ok(body) => body,
        Err(error) => return Ok(Outcome::Unreadable(chain(&error))),
    };
    if event.event_type.starts_with("capital.financing_offer.") {
        let Some(object) = body.pointer("/data/object") else {
            return Ok(Outcome::Unreadable("no `data.object`".to_owned()));
        };
        let offer = match serde_json::from_value(object.clone()) {
            Ok(offer) => offer,
            Err(error) => {
                return Ok(Outcome::Unreadable(format!("data.object is no offer that we know: {error}")));
            }
        };
        let told = Told {
            offer,
            object,
            source: Source::Event { id: &event.event_id, event_type: &event.event_type },
            as_of: event.happened_at,
        };
        offer::take_in(tx, &told, message_id_domain, now).await?;
    } else {
        // A financing transaction, a change of a credit line, or something newer: kept in the timeline of its account.
        let offer_id = body.pointer("/data/object/financing_offer").and_then(Value::as_str);
        let entry = Entry {
            offer_id,
            account_id: event.account_id.as_deref(),
            event_id: Some(&event.event_id),
            what: &event.event_type,
            status_before: None,
            status_after: None,
            note: event.object_id.as_deref(),
            happened_at: event.happened_at,
        };
        timeline::add(tx, &entry, now).await?;
    }
    let through_connect = body.get("account").is_some_and(Value::is_string);
    Ok(Outcome::Read(through_connect.then_some(CONNECT_ENDPOINT)))
}
