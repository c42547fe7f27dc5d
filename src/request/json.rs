//! A body of JSON, judged as it passes.
//!
//! Takes the bytes of a body in pieces of any size; refuses what is no JSON (RFC 8259, strictly: a backend
//! that reads more leniently must not see another structure than the one that was bounded here), nesting
//! beyond a depth and more members and items than a bound, and a name that stands twice in an object (`names`):
//! of two values one reader takes the first, another the last. Keeps no byte of a body, and a hash for each name of
//! the objects that are open, of which there may be so many. Of values it knows no more than where they end.
//! The tests hold the verdict after each piece against a reader that is written for nothing but clarity (`reference`).
//!
//! Source: technical security controls 3.2 page 27 (limits of depth and entries); OPIN portal, response
//! codes (malformed JSON is 400); RFC 8259 section 4 and RFC 7493 (I-JSON) section 2.3 on names.

mod names;
#[cfg(test)]
mod reference;

use super::RequestError;
use names::Names;

/// The most that a body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonBounds {
    /// Objects and arrays within each other, up to [`JsonBounds::DEEPEST`].
    pub depth: u32,
    /// Members of objects and items of arrays, all together.
    pub members: u32,
}

impl JsonBounds {
    /// The most that `depth` may be: a bit for each.
    pub const DEEPEST: u32 = 128;
}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must begin.
    Value,
    /// After `[`: a value, or the end.
    FirstItem,
    /// After `{`: a name, or the end.
    FirstName,
    /// After a comma in an object.
    Name,
    /// After a name.
    Colon,
    /// After a value.
    After,
    /// In a string: whether it is a name.
    Text(bool),
    /// After a backslash.
    Escape(bool),
    /// After `\u`: digits to come.
    Hex(bool, u8),
    /// In a character of several bytes: how many are to come, and the bounds of the next.
    Utf8(bool, u8, u8, u8),
    /// In `true`, `false` or `null`: what is to come.
    Literal(&'static [u8]),
    /// In a number.
    Number(Number),
}

/// Where in a number the last byte stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Minus, b'1'..=b'9') | (Self::Whole, b'0'..=b'9') => Some(Self::Whole),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// One body.
#[derive(Clone, Debug)]
pub struct JsonCheck {
    bounds: JsonBounds,
    state: State,
    depth: u32,
    members: u32,
    /// Which of the open containers are objects, the innermost in the lowest bit.
    objects: u128,
    names: Names,
}

impl JsonCheck {
    /// Nothing of a body yet.
    pub fn new(bounds: JsonBounds) -> Self {
        Self {
            bounds,
            state: State::Value,
            depth: 0,
            members: 0,
            objects: 0,
            names: Names::default(),
        }
    }

    /// Judges the next piece.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        piece.iter().try_for_each(|byte| self.step(*byte))
    }

    /// Requires that all is here.
    pub fn finish(&self) -> Result<(), RequestError> {
        let may_end = match self.state {
            State::After => true,
            State::Number(number) => number.may_end(),
            _ => false,
        };
        if may_end && self.depth == 0 { Ok(()) } else { Err(RequestError::JsonMalformed) }
    }

    fn step(&mut self, byte: u8) -> Result<(), RequestError> {
        self.state = match (self.state, byte) {
            (State::Text(is_name), _) => {
                match byte {
                    b'"' if is_name => self.names.end()?,
                    b'\\' => {}
                    _ if is_name => self.names.byte(byte),
                    _ => {}
                }
                in_text(is_name, byte)?
            }
            (State::Number(number), _) => match number.next(byte) {
                Some(next) => State::Number(next),
                None if number.may_end() => {
                    self.state = State::After;
                    return self.step(byte);
                }
                None => return Err(RequestError::JsonMalformed),
            },
            (State::Escape(_) | State::Hex(..) | State::Utf8(..) | State::Literal(_), _) => {
                self.spell(byte);
                in_sequence(self.state, byte)?
            }
            (state, b' ' | b'\t' | b'\n' | b'\r') => state,
            (State::Value, _) => self.value(byte)?,
            (State::FirstItem, b']') | (State::FirstName, b'}') => self.close(),
            (State::FirstItem, _) => self.value(byte)?,
            (State::FirstName | State::Name, b'"') => {
                self.count()?;
                self.names.begin();
                State::Text(true)
            }
            (State::Colon, b':') => State::Value,
            (State::After, _) => self.after(byte)?,
            _ => return Err(RequestError::JsonMalformed),
        };
        Ok(())
    }

    /// A value begins. An item of an array is counted here, a member of an object by its name.
    fn value(&mut self, byte: u8) -> Result<State, RequestError> {
        if self.depth > 0 && !self.is_in_object() {
            self.count()?;
        }
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => Ok(State::Text(false)),
            b'-' => Ok(State::Number(Number::Minus)),
            b'0' => Ok(State::Number(Number::Zero)),
            b'1'..=b'9' => Ok(State::Number(Number::Whole)),
            b't' => Ok(State::Literal(b"rue")),
            b'f' => Ok(State::Literal(b"alse")),
            b'n' => Ok(State::Literal(b"ull")),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    fn after(&mut self, byte: u8) -> Result<State, RequestError> {
        match (byte, self.depth > 0, self.is_in_object()) {
            (b',', true, true) => Ok(State::Name),
            (b',', true, false) => Ok(State::Value),
            (b'}', true, true) | (b']', true, false) => Ok(self.close()),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<State, RequestError> {
        if self.depth >= self.bounds.depth.min(JsonBounds::DEEPEST) {
            return Err(RequestError::JsonDepth);
        }
        self.depth += 1;
        self.objects = (self.objects << 1) | u128::from(is_object);
        if is_object {
            self.names.open();
        }
        Ok(if is_object { State::FirstName } else { State::FirstItem })
    }

    fn close(&mut self) -> State {
        if self.is_in_object() {
            self.names.close();
        }
        self.depth -= 1;
        self.objects >>= 1;
        State::After
    }

    /// Takes what a byte inside an escape or a character of several bytes says of a name.
    fn spell(&mut self, byte: u8) {
        match self.state {
            State::Escape(true) => self.names.escape(byte),
            State::Hex(true, left) => self.names.digit(byte, left == 1),
            State::Utf8(true, ..) => self.names.byte(byte),
            _ => {}
        }
    }

    fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn count(&mut self) -> Result<(), RequestError> {
        self.members += 1;
        if self.members > self.bounds.members { Err(RequestError::JsonMembers) } else { Ok(()) }
    }
}

fn in_text(is_name: bool, byte: u8) -> Result<State, RequestError> {
    match byte {
        b'"' if is_name => Ok(State::Colon),
        b'"' => Ok(State::After),
        b'\\' => Ok(State::Escape(is_name)),
        0x20..=0x7F => Ok(State::Text(is_name)),
        // The well-formed sequences of RFC 3629 section 4.
        0xC2..=0xDF => Ok(State::Utf8(is_name, 1, 0x80, 0xBF)),
        0xE0 => Ok(State::Utf8(is_name, 2, 0xA0, 0xBF)),
        0xED => Ok(State::Utf8(is_name, 2, 0x80, 0x9F)),
        0xE1..=0xEF => Ok(State::Utf8(is_name, 2, 0x80, 0xBF)),
        0xF0 => Ok(State::Utf8(is_name, 3, 0x90, 0xBF)),
        0xF1..=0xF3 => Ok(State::Utf8(is_name, 3, 0x80, 0xBF)),
        0xF4 => Ok(State::Utf8(is_name, 3, 0x80, 0x8F)),
        _ => Err(RequestError::JsonMalformed),
    }
}

/// The inside of an escape, of a character of several bytes, of a literal.
fn in_sequence(state: State, byte: u8) -> Result<State, RequestError> {
    match (state, byte) {
        (State::Escape(is_name), b'u') => Ok(State::Hex(is_name, 4)),
        (State::Escape(is_name), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            Ok(State::Text(is_name))
        }
        (State::Hex(is_name, 1), _) if byte.is_ascii_hexdigit() => Ok(State::Text(is_name)),
        (State::Hex(is_name, left), _) if byte.is_ascii_hexdigit() => {
            Ok(State::Hex(is_name, left - 1))
        }
        (State::Utf8(is_name, left, low, high), _) if (low..=high).contains(&byte) => {
            Ok(match left {
                1 => State::Text(is_name),
                _ => State::Utf8(is_name, left - 1, 0x80, 0xBF),
            })
        }
        (State::Literal([next, rest @ ..]), _) if *next == byte => {
            Ok(if rest.is_empty() { State::After } else { State::Literal(rest) })
        }
        _ => Err(RequestError::JsonMalformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: JsonBounds = JsonBounds { depth: 5, members: 10 };

    fn check(body: &[u8], bounds: JsonBounds) -> Result<(), RequestError> {
        let mut check = JsonCheck::new(bounds);
        check.take(body)?;
        check.finish()
    }

    #[test]
    fn json_passes() {
        for good in [
            "{}",
            " [ ] ",
            "0",
            "-0.5e+10",
            "1E9",
            "\"\"",
            "null",
            "\r\n\ttrue ",
            r#"{"a":{"b":[1,2.0,-3e-1,{"c":false}]},"d":"\"\\\/\b\f\n\r\t\u00e9é€𝄞"}"#,
            r#"[{"a":1},{"a":1}]"#,
            r#"{"a":{"a":{"a":1}},"A":1}"#,
            r#"{"\ud83d":1,"\ude00":1,"\ud83d\ude01":1,"":1}"#,
            "[[[[[]]]]]",
            "[1,2,3,4,5,6,7,8,9,10]",
        ] {
            assert_eq!(check(good.as_bytes(), BOUNDS), Ok(()), "{good}");
        }
    }

    /// A body that passes on as it comes is kept nowhere else, and its names are not to be more than it.
    #[test]
    fn so_many_names_are_kept_and_no_more() {
        let bounds = JsonBounds { depth: 3, members: 1_000_000 };
        let members = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("\"{number}\":0")).collect();
            members.join(",")
        };
        assert_eq!(check(format!("{{{}}}", members(names::MOST)).as_bytes(), bounds), Ok(()));
        let nested = format!("{{{},\"x\":{{\"a\":0}}}}", members(names::MOST - 1));
        for bad in [format!("{{{}}}", members(names::MOST + 1)), nested] {
            assert_eq!(check(bad.as_bytes(), bounds), Err(RequestError::JsonMembers));
        }
        // The objects of a list end one after the other.
        let list = format!("[{}]", vec![format!("{{{}}}", members(100)); 300].join(","));
        assert_eq!(check(list.as_bytes(), bounds), Ok(()));
    }

    #[test]
    fn a_name_stands_once_in_an_object_however_it_is_written() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"":1,"":2}"#,
            r#"{"a":1,"b":{"c":1,"d":2,"c":3}}"#,
            r#"[1,{"a":{"x":1},"a":{"x":1}}]"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\u00e9":1,"é":2}"#,
            r#"{"\uD83D\uDE00":1,"😀":2}"#,
            r#"{"\n":1,"\u000A":2}"#,
            r#"{"\/":1,"/":2}"#,
            r#"{"\ud83d":1,"\uD83D":2}"#,
        ] {
            assert_eq!(check(bad.as_bytes(), BOUNDS), Err(RequestError::JsonRepeated), "{bad}");
        }
        // As many as are searched, and more than that.
        let bounds = JsonBounds { depth: 2, members: 1000 };
        let member = |number: usize| format!("\"{}-{number}\":0", "n".repeat(70));
        for count in [2, 31, 32, 33, 34, 500] {
            let mut members: Vec<String> = (0..count).map(member).collect();
            let body = |members: &[String]| format!("{{{}}}", members.join(","));
            assert_eq!(check(body(&members).as_bytes(), bounds), Ok(()), "{count}");
            for twice in [0, count - 1] {
                members.push(member(twice));
                let found = check(body(&members).as_bytes(), bounds);
                assert_eq!(found, Err(RequestError::JsonRepeated), "{count}: {twice}");
                members.pop();
            }
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for bad in [
            "",
            " ",
            "{",
            "[",
            "\"",
            "\"a",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{1:2}",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1]]",
            "{}{}",
            "{} x",
            "{]",
            "[}",
            "[{]}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "0x1",
            "1.e1",
            "tru",
            "truE",
            "nul",
            "nulll",
            "'a'",
            "{'a':1}",
            "{a:1}",
            "[1]/**/",
            "//",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u123\"",
            "\"\t\"",
            "\"\n\"",
            "NaN",
            "Infinity",
            "\u{feff}{}",
            "{\"a\":1 \"b\":2}",
            "{\"a\" 1}",
            "[1:2]",
            "\u{0}",
        ] {
            assert_eq!(check(bad.as_bytes(), BOUNDS), Err(RequestError::JsonMalformed), "{bad}");
        }
        for bad in [
            &b"\"\x80\""[..],
            b"\"\xC0\x80\"",
            b"\"\xC3\"",
            b"\"\xE0\x80\x80\"",
            b"\"\xED\xA0\x80\"",
            b"\"\xF4\x90\x80\x80\"",
            b"\"\xF5\x80\x80\x80\"",
            b"\"\xFF\"",
            b"\xC3\xA9",
        ] {
            assert_eq!(check(bad, BOUNDS), Err(RequestError::JsonMalformed), "{bad:?}");
        }
    }

    #[test]
    fn depth_and_members_are_bounded() {
        use RequestError as E;
        for (body, error) in [
            ("[[[[[[", E::JsonDepth),
            ("{\"a\":[{\"b\":[{\"c\":[", E::JsonDepth),
            ("[1,2,3,4,5,6,7,8,9,10,1", E::JsonMembers),
            ("[[],[],[],[],[],[],[],[],[],[],[", E::JsonMembers),
            ("[{\"a\":1,\"b\":2,\"c\":3,\"d\":4},[5,6,7],{\"", E::JsonMembers),
        ] {
            assert_eq!(check(body.as_bytes(), BOUNDS), Err(error), "{body}");
        }
        let deepest = JsonBounds { depth: JsonBounds::DEEPEST, members: u32::MAX };
        let nested = |depth: usize| ["{\"a\":[".repeat(depth), "]}".repeat(depth)].concat();
        assert_eq!(check(nested(64).as_bytes(), deepest), Ok(()));
        assert_eq!(check(nested(65).as_bytes(), deepest), Err(E::JsonDepth));
        // What closes does not count.
        assert_eq!(check("[[],[],[[]],[[[]]]]".as_bytes(), BOUNDS), Ok(()));
    }

    proptest! {
        /// Held against another reader. That one refuses lone surrogates, which are left out.
        #[test]
        fn it_agrees_with_another_reader(
            body in r#"[\[\]{}:, ]{0,6}("a"|"\\n"|1|-2.5|0|1e-3|true|null|tru|01|é|"é"|[\[\]{}:, ]){0,12}[\]} ]{0,3}"#
        ) {
            let bounds = JsonBounds { depth: 100, members: 100 };
            let expected = crate::strict::value(body.as_bytes()).is_ok();
            prop_assert_eq!(check(body.as_bytes(), bounds).is_ok(), expected, "{}", body);
        }

        #[test]
        fn pieces_are_judged_as_the_whole(
            body in proptest::collection::vec(
                proptest::sample::select(b"[]{}:,\"\\u0e1-+.tn \xC3\xA9".to_vec()), 0..24),
            cut in 0_usize..24,
        ) {
            let (first, second) = body.split_at(cut.min(body.len()));
            let mut pieces = JsonCheck::new(BOUNDS);
            let judged = pieces.take(first).and_then(|()| pieces.take(second)).and_then(|()| pieces.finish());
            prop_assert_eq!(judged, check(&body, BOUNDS));
        }

        #[test]
        fn whatever_is_json_passes(value in arbitrary_json()) {
            let bounds = JsonBounds { depth: 100, members: 10_000 };
            prop_assert_eq!(check(value.to_string().as_bytes(), bounds), Ok(()));
        }
    }

    fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::hash_map(".{0,6}", inner, 0..8)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }
}
