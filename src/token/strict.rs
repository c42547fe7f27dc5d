//! JSON objects of a token, read strictly: a member that stands twice, another type than the standard's or
//! too long a text refuses the object, because two readers could disagree on it.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

/// Bytes of a text that stands for somebody or something.
pub(super) const LONGEST_TEXT: usize = 1024;

/// An object that takes its members one by one.
pub(super) trait Members: Sized {
    /// Takes the value of a member; [`skip`] for one without meaning.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads past a value. It is parsed rather than ignored: what nests without bounds is refused too.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<serde_json::Value>().map(drop)
}

/// Reads an object that begins as `empty`, and nothing after it.
pub(super) fn read<T: Members>(json: &[u8], empty: T) -> Option<T> {
    let text = std::str::from_utf8(json).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = Object(empty).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(object)
}

/// An object within another one.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Members> DeserializeSeed<'de> for Object<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Members> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            self.0.take(&name, &mut map)?;
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(self.0)
    }
}

/// A text of bounded length.
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() <= LONGEST_TEXT {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("too long a text"))
        }
    }
}

/// The value of a member that must be a text.
pub(super) fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(Some(map.next_value::<Text>()?.0))
}
