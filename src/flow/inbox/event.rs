//! The envelope of an event: what is true of every type, shape and API version.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// An event as received. Only the id is required; the other fields are extracted for search if they
/// have the known form. The payload is authoritative.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// `evt_…`
    pub event_id: String,
    /// Empty if the event has none.
    pub event_type: String,
    /// `data.object.id`.
    pub object_id: Option<String>,
    /// The connected account that the event is about. Capital's events belong to the platform, so
    /// this is `data.object.account`; a Connect endpoint would send the top-level `account`.
    pub account_id: Option<String>,
    pub livemode: Option<bool>,
    /// The API version that rendered the object.
    pub api_version: Option<String>,
    /// Stripe's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// The request body, unchanged.
    pub payload: Bytes,
    /// Our clock.
    pub received_at: DateTime<Utc>,
    /// Names the secret that signed the request; none if reconciliation found the event.
    pub signed_with: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreResult {
    Inserted,
    /// The event was stored before; nothing changed.
    Duplicate,
}

/// These columns are indexed, and Postgres limits an index entry to 2.7 KB. Stripe's ids have at
/// most 255 characters
/// (<https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-backwards-compatible>).
const MAX_ID_LENGTH: usize = 255;

impl Arrival {
    /// Parses the envelope. Fails with a readable reason if the body is not a JSON object with a
    /// usable id: without one, a duplicate cannot be recognized.
    pub fn parse(payload: Bytes, received_at: DateTime<Utc>) -> Result<Self, String> {
        let event: Value =
            serde_json::from_slice(&payload).map_err(|error| format!("not JSON: {error}"))?;
        let event_id = text(&event, "/id").ok_or("no `id`, or one that is not text")?;
        if event_id.is_empty() || event_id.len() > MAX_ID_LENGTH {
            return Err(format!("an `id` of {} bytes", event_id.len()));
        }
        for name in ["/type", "/data/object/id", "/data/object/account", "/account", "/api_version"]
        {
            if let Some(long) = text(&event, name).filter(|text| text.len() > MAX_ID_LENGTH) {
                return Err(format!("`{}` of {} bytes", &name[1..], long.len()));
            }
        }
        let about = text(&event, "/data/object/account").or_else(|| text(&event, "/account"));
        Ok(Self {
            event_id,
            event_type: text(&event, "/type").unwrap_or_default(),
            object_id: text(&event, "/data/object/id"),
            account_id: about,
            livemode: event.pointer("/livemode").and_then(Value::as_bool),
            api_version: text(&event, "/api_version"),
            created_at: event.pointer("/created").and_then(time),
            payload,
            received_at,
            signed_with: None,
        })
    }
}

/// Text without NUL, which Postgres cannot store.
fn text(event: &Value, pointer: &str) -> Option<String> {
    event.pointer(pointer)?.as_str().filter(|text| !text.contains('\0')).map(str::to_owned)
}

/// Unix seconds in version 1 events, RFC 3339 in version 2.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(seconds) = value.as_i64() {
        return DateTime::from_timestamp(seconds, 0);
    }
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(body: &str) -> Result<Arrival, String> {
        Arrival::parse(Bytes::copy_from_slice(body.as_bytes()), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn an_event_needs_only_an_id() {
        let least = parse(r#"{"id":"evt_1"}"#).unwrap();
        assert_eq!((least.event_id.as_str(), least.event_type.as_str()), ("evt_1", ""));

        let odd = parse(
            r#"{"id":"evt_1","type":7,"created":"soon","livemode":"no","request":"req_1",
                "data":[]}"#,
        )
        .unwrap();
        assert_eq!((odd.created_at, odd.livemode, odd.object_id), (None, None, None));
    }

    #[test]
    fn the_account_is_that_of_the_object() {
        let event = parse(
            r#"{"id":"evt_1","account":"acct_connect",
                "data":{"object":{"account":"acct_merchant"}}}"#,
        );
        assert_eq!(event.unwrap().account_id.as_deref(), Some("acct_merchant"));
    }

    #[test]
    fn a_version_2_event_has_a_textual_time() {
        let event =
            parse(r#"{"id":"evt_1","object":"v2.core.event","created":"2026-11-24T12:00:00.5Z"}"#)
                .unwrap();
        assert_eq!(event.created_at.unwrap().timestamp_millis(), 1_795_521_600_500);
    }

    #[test]
    fn a_body_without_a_usable_id_is_malformed() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"id":7}"#,
            r#"{"id":""}"#,
            "{\"id\":\"a\\u0000b\"}",
            "{\"id\":\"evt_1\"",
        ] {
            assert!(parse(body).is_err(), "{body} was taken for an event");
        }
        let long = "x".repeat(256);
        for body in [
            format!(r#"{{"id":"{long}"}}"#),
            format!(r#"{{"id":"evt_1","type":"{long}"}}"#),
            format!(r#"{{"id":"evt_1","account":"{long}"}}"#),
            format!(r#"{{"id":"evt_1","data":{{"object":{{"id":"{long}"}}}}}}"#),
            format!(r#"{{"id":"evt_1","data":{{"object":{{"account":"{long}"}}}}}}"#),
        ] {
            assert!(parse(&body).is_err(), "{body} was taken for an event");
        }
        assert!(
            Arrival::parse(Bytes::from_static(b"{\"id\":\"\xff\"}"), DateTime::UNIX_EPOCH).is_err()
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Arrival::parse(Bytes::from(body), DateTime::UNIX_EPOCH);
        }
    }
}
