//! JSON that decides (tokens, key sets, answers about consents, events), read strictly: a member that stands
//! twice, another type than the standard's or too long a text refuses the object, because two readers could
//! disagree on it. serde_json by itself takes the last of two members.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Bytes of a text that stands for somebody or something.
pub const LONGEST_TEXT: usize = 1024;

/// An object that takes its members one by one.
pub trait Members: Sized {
    /// Takes the value of a member; [`skip`] for one without meaning.
    ///
    /// # Errors
    ///
    /// A value of another type than its name asks for, too long a text, or a name that must not stand there:
    /// it refuses the whole object.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads past a value. It is parsed rather than ignored: what nests without bounds is refused too.
///
/// # Errors
///
/// A value that is no JSON, or nests deeper than the library's 128 levels: it refuses the object that it
/// stands in.
pub fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    // serde's IgnoredAny would skip it without the library's bound of 128 levels.
    map.next_value::<Value>().map(drop)
}

/// Reads a value whole, in which no member stands twice either.
///
/// # Errors
///
/// As [`skip`], or a member that stands twice in the value, at any depth.
pub fn whole<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Value, A::Error> {
    map.next_value::<Whole>().map(|whole| whole.0)
}

struct Whole(Value);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Whole(element)) = seq.next_element()? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Whole(value))) = map.next_entry()? {
            // serde_json's own `Value` takes the last of two without a word.
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(members.into())
    }
}

/// Reads a value whole, and nothing after it.
///
/// # Errors
///
/// Bytes that are no JSON or nest deeper than the library's 128 levels, a member that stands twice, at any
/// depth, and anything behind the value.
pub fn value(json: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Whole>(json).map(|whole| whole.0)
}

/// Reads an object that begins as `empty`, and nothing after it.
pub fn read<T: Members>(json: &[u8], empty: T) -> Option<T> {
    let text = std::str::from_utf8(json).ok()?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let object = Object(empty).deserialize(&mut deserializer).ok()?;
    // The library stops behind the object: what follows would be for another reader.
    deserializer.end().ok()?;
    Some(object)
}

/// An object within another one.
pub struct Object<T>(pub T);

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
        // Owned, since an escaped name (`\u0061ud`) is the same name, and is compared as it reads.
        while let Some(name) = map.next_key::<String>()? {
            // Before the name is noted: the value must be read off anyway, and a second one refuses all of
            // it.
            self.0.take(&name, &mut map)?;
            if !seen.insert(name) {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(self.0)
    }
}

/// A text of bounded length.
pub struct BoundedText(pub String);

impl<'de> Deserialize<'de> for BoundedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Bounded after it is read, for what is read is bounded as a whole (a token, an answer).
        let text = String::deserialize(deserializer)?;
        if text.len() <= LONGEST_TEXT {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("too long a text"))
        }
    }
}

/// The value of a member that must be a text.
///
/// # Errors
///
/// Another type, `null` among them, or more than [`LONGEST_TEXT`] bytes: it refuses the object that it stands
/// in.
pub fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(Some(map.next_value::<BoundedText>()?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_member_stands_twice_at_any_depth() {
        let read = |json: &str| serde_json::from_str::<Whole>(json).map(|whole| whole.0);
        for good in [
            r#"{"a":[1,-1,1.5,true,null,"x"],"b":{"a":1}}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#""a""#,
            "null",
        ] {
            let expected: Value = serde_json::from_str(good).unwrap();
            assert_eq!(read(good).unwrap(), expected, "{good}");
        }
        for bad in [r#"{"a":1,"a":1}"#, r#"{"b":{"a":1,"a":2}}"#, r#"[[{"a":null,"\u0061":null}]]"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
