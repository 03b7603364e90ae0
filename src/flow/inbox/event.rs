//! The envelope of an event: what is true of every type, shape and API version.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::envelope::{Envelope, Scalar};
use crate::telemetry::traces;

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
    /// Of the span in which it was parsed.
    pub traceparent: Option<String>,
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
        let body = std::str::from_utf8(&payload).map_err(|error| format!("not JSON: {error}"))?;
        let Envelope { id, event_type, account, api_version, livemode, created, data } =
            serde_json::from_str(body).map_err(|error| format!("not JSON: {error}"))?;
        let event_id = text(id).ok_or("no `id`, or one that is not text")?;
        if event_id.is_empty() || event_id.len() > MAX_ID_LENGTH {
            return Err(format!("an `id` of {} bytes", event_id.len()));
        }
        let event_type = short_text("type", event_type)?;
        let object_id = short_text("data/object/id", data.object.id)?;
        let object_account = short_text("data/object/account", data.object.account)?;
        let account = short_text("account", account)?;
        Ok(Self {
            event_id,
            event_type: event_type.unwrap_or_default(),
            object_id,
            account_id: object_account.or(account),
            livemode: if let Scalar::Bool(livemode) = livemode { Some(livemode) } else { None },
            api_version: short_text("api_version", api_version)?,
            created_at: time(created),
            payload,
            received_at,
            signed_with: None,
            traceparent: traces::traceparent(),
        })
    }
}

/// Text without NUL, which Postgres cannot store.
fn text(value: Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) => Some(text).filter(|text| !text.contains('\0')),
        Scalar::Integer(_) | Scalar::Bool(_) | Scalar::Other => None,
    }
}

/// As [`text`], of at most [`MAX_ID_LENGTH`].
fn short_text(name: &str, value: Scalar) -> Result<Option<String>, String> {
    let text = text(value);
    match &text {
        Some(long) if long.len() > MAX_ID_LENGTH => {
            Err(format!("`{name}` of {} bytes", long.len()))
        }
        Some(_) | None => Ok(text),
    }
}

/// Unix seconds in version 1 events, RFC 3339 in version 2.
fn time(value: Scalar) -> Option<DateTime<Utc>> {
    match value {
        Scalar::Integer(seconds) => DateTime::from_timestamp(seconds, 0),
        Scalar::Text(text) => DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc()),
        Scalar::Bool(_) | Scalar::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

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

    /// The same by way of a [`Value`].
    fn parse_tree(body: &str) -> Result<Arrival, String> {
        let event: Value =
            serde_json::from_str(body).map_err(|error| format!("not JSON: {error}"))?;
        let text = |pointer: &str| {
            let text = event.pointer(pointer)?.as_str().filter(|text| !text.contains('\0'));
            text.map(str::to_owned)
        };
        let event_id = text("/id").ok_or("no `id`, or one that is not text")?;
        if event_id.is_empty() || event_id.len() > MAX_ID_LENGTH {
            return Err(format!("an `id` of {} bytes", event_id.len()));
        }
        for name in ["/type", "/data/object/id", "/data/object/account", "/account", "/api_version"]
        {
            if let Some(long) = text(name).filter(|text| text.len() > MAX_ID_LENGTH) {
                return Err(format!("`{}` of {} bytes", &name[1..], long.len()));
            }
        }
        let created = event.pointer("/created");
        let textual_time = |text: &str| DateTime::parse_from_rfc3339(text).ok();
        Ok(Arrival {
            event_id,
            event_type: text("/type").unwrap_or_default(),
            object_id: text("/data/object/id"),
            account_id: text("/data/object/account").or_else(|| text("/account")),
            livemode: event.pointer("/livemode").and_then(Value::as_bool),
            api_version: text("/api_version"),
            created_at: match created.and_then(Value::as_i64) {
                Some(seconds) => DateTime::from_timestamp(seconds, 0),
                None => created.and_then(Value::as_str).and_then(textual_time).map(Into::into),
            },
            payload: Bytes::copy_from_slice(body.as_bytes()),
            received_at: DateTime::UNIX_EPOCH,
            signed_with: None,
            traceparent: None,
        })
    }

    /// JSON text with the keys of an envelope, often at the wrong place, repeated, or nearly valid.
    fn json() -> impl Strategy<Value = String> {
        let scalars = [
            "1795521600",
            "-1",
            "9223372036854775808",
            "1.0e3",
            "1e999",
            "01",
            "true",
            "false",
            "null",
            r#""evt_1""#,
            r#""acct_1""#,
            r#""""#,
            r#""2026-11-24T12:00:00.5Z""#,
            r#""a\u0000b""#,
            r#""\u00e9\n""#,
            r#""\ud800""#,
            r#""\ud83d\ude00""#,
            "\"\t\"",
            "\"é\"",
            r#""unfinished"#,
            "nul",
        ];
        let long = [250, 256].map(|length| format!("\"{}\"", "x".repeat(length)));
        let scalar = prop_oneof![
            20 => proptest::sample::select(scalars.map(str::to_owned).to_vec()),
            1 => proptest::sample::select(long.to_vec()),
        ];
        let key = proptest::sample::select(vec![
            "id",
            "type",
            "data",
            "object",
            "account",
            "livemode",
            "created",
            "api_version",
            "\\u0069d",
            "other",
        ]);
        scalar.prop_recursive(5, 40, 8, move |inner| {
            let entry = (key.clone(), inner.clone());
            prop_oneof![
                4 => proptest::collection::vec(entry, 0..8).prop_map(|entries| {
                    let entries = entries.iter().map(|(key, value)| format!("\"{key}\": {value}"));
                    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
                }),
                1 => proptest::collection::vec(inner, 0..3)
                    .prop_map(|list| format!("[{}]", list.join(" , "))),
            ]
        })
    }

    #[test]
    fn a_body_that_a_tree_cannot_hold_is_malformed_wherever_the_fault_is() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for skipped in ["1e999", r#""\ud800""#, &deep, "[1,]", r#"{"a":1,}"#, "\"\u{1}\""] {
            let body = format!(r#"{{"id":"evt_1","other":{skipped}}}"#);
            assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
            assert!(parse(&body).is_err(), "{body}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn an_envelope_means_the_same_as_its_tree(
            json in json(),
            place in 0..4,
            inserted in proptest::option::weighted(0.2, (any::<proptest::sample::Index>(), ".")),
        ) {
            let mut body = match place {
                0 => json,
                1 => json.replacen('{', "{\"id\":\"evt_0\",", 1),
                2 => format!("{{\"id\":\"evt_0\",\"data\":{json}}}"),
                _ => format!("{{\"data\":{{\"object\":{json}}},\"id\":\"evt_0\"}}"),
            };
            if let Some((at, text)) = inserted
                && body.is_char_boundary(at.index(body.len()))
            {
                body.insert_str(at.index(body.len()), &text);
            }
            prop_assert_eq!(format!("{:?}", parse(&body)), format!("{:?}", parse_tree(&body)));
        }

        #[test]
        fn parsing_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Arrival::parse(Bytes::from(body), DateTime::UNIX_EPOCH);
        }
    }
}
