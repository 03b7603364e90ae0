//! Reads the fields of an event's envelope in one pass, without a tree of its JSON.
//!
//! Accepts the same bodies as a `serde_json::Value`, into which the reader of the inbox parses them
//! later, and finds the same in them: what is skipped is parsed too, a value of an unexpected type
//! counts as absent, and of a repeated key the last value counts.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::stripe::Readable;

/// The top level of an event. Empty if the body is not an object.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) id: Scalar,
    pub(super) event_type: Scalar,
    pub(super) account: Scalar,
    pub(super) api_version: Scalar,
    pub(super) livemode: Scalar,
    pub(super) created: Scalar,
    pub(super) data: Data,
}

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) object: Object,
}

#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) id: Scalar,
    pub(super) account: Scalar,
}

#[derive(Debug, Default)]
pub(super) enum Scalar {
    Text(String),
    Integer(i64),
    Bool(bool),
    /// Absent, or of another type.
    #[default]
    Other,
}

/// What a JSON value becomes. Whatever a type does not care for becomes its default.
trait Lenient: Default {
    fn text(_: &str) -> Self {
        Self::default()
    }

    fn integer(_: i64) -> Self {
        Self::default()
    }

    fn boolean(_: bool) -> Self {
        Self::default()
    }

    /// Reads the value of a key of an object. It must read one.
    fn field<'de, A: MapAccess<'de>>(&mut self, _key: &str, map: &mut A) -> Result<(), A::Error> {
        map.next_value::<Readable>().map(drop)
    }
}

impl Lenient for Scalar {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn integer(number: i64) -> Self {
        Self::Integer(number)
    }

    fn boolean(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Names the fields of an object and their keys.
macro_rules! fields {
    ($name:ty { $($field:ident: $key:literal),+ }) => {
        impl Lenient for $name {
            fn field<'de, A: MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)+
                    _ => {
                        map.next_value::<Readable>()?;
                    }
                }
                Ok(())
            }
        }
    };
}

fields!(Envelope {
    id: "id",
    event_type: "type",
    account: "account",
    api_version: "api_version",
    livemode: "livemode",
    created: "created",
    data: "data"
});
fields!(Data { object: "object" });
fields!(Object { id: "id", account: "account" });

macro_rules! deserialize {
    ($($name:ty),+) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                json.deserialize_any(Json(PhantomData))
            }
        }
    )+ };
}

deserialize!(Envelope, Data, Object, Scalar);

struct Json<T>(PhantomData<T>);

impl<'de, T: Lenient> Visitor<'de> for Json<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(Key(key)) = map.next_key()? {
            value.field(&key, &mut map)?;
        }
        Ok(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<Readable>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::boolean(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(i64::try_from(number).map_or_else(|_| T::default(), T::integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
}

/// The key of an object, which is borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}
