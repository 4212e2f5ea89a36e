//! The keys of settings, those without a value included: the fields of their structs, which are declared nowhere else.

use super::settings::Settings;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::cell::Cell;

/// Every key of a kind of settings: `model.depth`, ….
#[must_use]
pub fn keys<S: Settings>() -> Vec<String> {
    let fields = Cell::new(&[][..]);
    let asked = Asked(&fields);
    let _ = S::deserialize(asked);
    let in_section = |section: &'static str| {
        fields.set(&[]);
        let _ = S::deserialize(MapDeserializer::new([(section, asked)].into_iter()));
        fields.get().iter().map(move |key| format!("{section}.{key}"))
    };
    fields.get().iter().copied().flat_map(in_section).collect()
}

/// Has no value for anything, and notes the fields of the last struct that was to be read: serde tells them its source.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl IntoDeserializer<'_> for Asked<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
