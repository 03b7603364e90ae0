//! An object that Stripe sent, with its text.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object and the JSON that it was read from.
#[derive(Clone, Debug)]
pub struct Received<T> {
    pub object: T,
    /// The complete object, also what `object` leaves out, without white space between its tokens.
    pub json: String,
}

impl<T: DeserializeOwned> Received<T> {
    /// Fails as well if a part that `T` leaves out could not be read later, such as a lone
    /// surrogate or a number out of range: the text is stored and read as a whole.
    pub fn read(json: &RawValue) -> serde_json::Result<Self> {
        serde_json::from_str::<Readable>(json.get())?;
        Ok(Self { object: serde_json::from_str(json.get())?, json: compact(json.get()) })
    }
}

/// Removes the white space between the tokens of valid JSON. Stripe indents the bodies of events.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut in_text, mut is_escaped, mut kept) = (false, false, 0);
    for (at, byte) in json.bytes().enumerate() {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            compact.push_str(&json[kept..at]);
            kept = at + 1;
        } else {
            in_text = byte == b'"';
        }
    }
    compact.push_str(&json[kept..]);
    compact
}

/// Any JSON that `serde_json::Value` can represent, read without keeping it.
/// `serde::de::IgnoredAny` accepts more: any depth, numbers out of range, lone surrogates.
#[derive(Clone, Copy, Debug)]
pub struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn read(json: &str) -> serde_json::Result<Received<Value>> {
        Received::read(serde_json::from_str(json)?)
    }

    #[test]
    fn the_text_loses_only_white_space_between_tokens() {
        let received =
            read(" {\n \"a b\" : [1.50,\t{} , \"c\\\" \\\\\" , \"\\u0000\" ] } ").unwrap();
        assert_eq!(received.json, r#"{"a b":[1.50,{},"c\" \\","\u0000"]}"#);
    }

    #[test]
    fn what_no_reader_could_decode_is_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, r#"{"\udc00":1}"#, &deep] {
            let typed = serde_json::from_str::<&RawValue>(bad)
                .and_then(Received::<serde::de::IgnoredAny>::read);
            assert!(serde_json::from_str::<Value>(bad).is_err() && typed.is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn compact_text_is_the_same_value(
            texts in proptest::collection::vec(any::<String>(), 0..8),
            number in any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()),
        ) {
            let value = serde_json::json!({"texts": texts, "number": number, "of": {"a": [null, true]}});
            let json = serde_json::to_string_pretty(&value).unwrap();
            let received = read(&json).unwrap();
            prop_assert_eq!(&received.json, &value.to_string());
        }
    }
}
