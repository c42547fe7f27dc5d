//! A body of JSON, judged as it passes.
//!
//! Takes the bytes of a body in pieces of any size; refuses what is no JSON (RFC 8259, strictly: a backend
//! that reads more leniently must not see another structure than the one that was bounded here), nesting
//! beyond a depth and more members and items than a bound, and a name that stands twice in an object (`names`):
//! of two values one reader takes the first, another the last. Keeps no byte of a body, and a hash for each name of
//! the objects that are open, of which there may be so many. Of values it knows no more than where they end.
//!
//! Every byte of every body comes through here. What stands whole in a piece is read at once: text eight bytes at a
//! time (`text`), a short name with its hash. What does not, because the piece ends in it or because it is
//! rare, is read byte by byte through `Position`, which says all that a cut must not lose. The tests hold the verdict
//! after each piece against a reader that is written for nothing but clarity (`reference`).
//!
//! Source: technical security controls 3.2 page 27 (limits of depth and entries); OPIN portal, response
//! codes (malformed JSON is 400); RFC 8259 section 4 and RFC 7493 (I-JSON) section 2.3 on names.

mod names;
mod fragment;
mod text;
#[cfg(any(test, portaria_fuzz))]
#[expect(clippy::unwrap_used, reason = "its own fault must not pass for a verdict")]
pub mod reference;

use super::RequestError;
use fragment::{Fragment, Number};
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
enum Position {
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
    /// In a string that is a value.
    Text,
    /// In a name that is read in parts.
    Spelling,
    /// In something smaller, which [`Fragment`] says.
    Within,
}

/// The innermost container that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    Array,
    Object,
}

/// What is left of a piece.
type Rest<'a> = Result<&'a [u8], RequestError>;

/// One body.
///
/// # Examples
///
/// Pieces may end anywhere. A name that stands twice in an object is refused, however it is written.
///
/// ```
/// # use portaria_decision::request::{RequestError, json::{JsonBounds, JsonCheck}};
/// # fn main() -> Result<(), RequestError> {
/// let bounds = JsonBounds { depth: 8, members: 100 };
/// let mut check = JsonCheck::new(bounds);
/// check.take(br#"{"data":{"permiss"#)?;
/// assert_eq!(check.finish(), Err(RequestError::JsonMalformed), "not all is here");
/// check.take(br#"ions":["READ","READ"]}}"#)?;
/// assert_eq!(check.finish(), Ok(()));
///
/// let plainly = JsonCheck::new(bounds).take(br#"{"amount":1,"amount":1000}"#);
/// assert_eq!(plainly, Err(RequestError::JsonRepeated));
/// let mut check = JsonCheck::new(bounds);
/// check.take(br#"{"amount":1,"#)?;
/// assert_eq!(check.take(br#""\u0061mount":1000"#), Err(RequestError::JsonRepeated));
/// assert_eq!(check.take(b"}"), Err(RequestError::JsonRepeated), "it stays refused");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JsonCheck {
    position: Position,
    /// Says nothing but in [`Position::Within`].
    fragment: Fragment,
    /// How deep it may be, and is.
    deepest: u32,
    depth: u32,
    /// How many members and items it may have yet.
    members_left: u32,
    /// Which of the open containers are objects, the innermost in the lowest bit.
    objects: u128,
    inside: Inside,
    names: Names,
}

impl JsonCheck {
    /// Nothing of a body yet.
    pub fn new(bounds: JsonBounds) -> Self {
        Self {
            position: Position::Value,
            // Any will do: `position` says that nothing is begun.
            fragment: Fragment::Number(Number::Minus),
            // `objects` has a bit for each: one more would push the outermost out.
            deepest: bounds.depth.min(JsonBounds::DEEPEST),
            depth: 0,
            members_left: bounds.members,
            objects: 0,
            inside: Inside::Nothing,
            names: Names::default(),
        }
    }

    /// Judges the next piece.
    ///
    /// # Errors
    ///
    /// The first fault, a refusal that stands whatever comes behind it: [`RequestError::JsonMalformed`] (RFC
    /// 8259), [`RequestError::JsonDepth`], [`RequestError::JsonRepeated`], or [`RequestError::JsonMembers`],
    /// also for more than 10 000 names in the objects that are open at a time.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), RequestError> {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            rest = match self.read(*byte, rest, after) {
                Ok(rest) => rest,
                Err(error) => {
                    // Kept, for a caller that goes on after a refusal must hear it again and not begin anew.
                    self.stay(Fragment::Refused(error), rest);
                    return Err(error);
                }
            };
        }
        Ok(())
    }

    /// Requires that all is here.
    ///
    /// # Errors
    ///
    /// The refusal that a piece met before, else [`RequestError::JsonMalformed`] if the body is empty or ends
    /// within its value.
    pub fn finish(&self) -> Result<(), RequestError> {
        let may_end = match (self.position, self.fragment) {
            (Position::After, _) => true,
            (Position::Within, Fragment::Number(number)) => number.may_end(),
            (Position::Within, Fragment::Refused(error)) => return Err(error),
            _ => false,
        };
        // A number at the top ends with the body alone.
        if may_end && self.depth == 0 { Ok(()) } else { Err(RequestError::JsonMalformed) }
    }

    /// Reads what stands at the beginning of `rest`, which is `byte` and then `after`.
    #[inline]
    fn read<'a>(&mut self, byte: u8, rest: &'a [u8], after: &'a [u8]) -> Rest<'a> {
        match self.position {
            Position::After => self.after(byte, after),
            Position::Value => self.value(byte, rest, after),
            Position::Text => self.text(rest),
            Position::FirstName if byte == b'}' => Ok(self.close(after)),
            Position::FirstName | Position::Name if byte == b'"' => self.name(after),
            Position::FirstItem if byte == b']' => Ok(self.close(after)),
            Position::FirstItem => self.value(byte, rest, after),
            Position::Colon if byte == b':' => Ok(self.go(Position::Value, after)),
            Position::FirstName | Position::Name | Position::Colon => blanks(byte, after),
            Position::Spelling => self.spell(rest),
            Position::Within => self.within(byte, rest, after),
        }
    }

    /// A value begins. An item of an array is counted here, a member of an object by its name.
    #[inline]
    fn value<'a>(&mut self, byte: u8, rest: &'a [u8], after: &'a [u8]) -> Rest<'a> {
        if is_blank(byte) {
            return blanks(byte, after);
        }
        if self.inside == Inside::Array {
            self.count()?;
        }
        match byte {
            b'"' => self.text(after),
            b'{' => self.open(true, after),
            b'[' => self.open(false, after),
            b'-' | b'0'..=b'9' => match text::after_number(rest) {
                Some(after) => Ok(self.go(Position::After, after)),
                None => self.number(Number::begin(byte), after),
            },
            b't' => Ok(self.literal(b"rue", after)),
            b'f' => Ok(self.literal(b"alse", after)),
            b'n' => Ok(self.literal(b"ull", after)),
            _ => Err(RequestError::JsonMalformed),
        }
    }

    #[inline]
    fn after<'a>(&mut self, byte: u8, after: &'a [u8]) -> Rest<'a> {
        match (self.inside, byte) {
            (Inside::Object, b',') => match after {
                [b'"', after @ ..] => self.name(after),
                _ => Ok(self.go(Position::Name, after)),
            },
            (Inside::Array, b',') => Ok(self.go(Position::Value, after)),
            (Inside::Object, b'}') | (Inside::Array, b']') => Ok(self.close(after)),
            _ => blanks(byte, after),
        }
    }

    #[inline]
    fn open<'a>(&mut self, is_object: bool, after: &'a [u8]) -> Rest<'a> {
        if self.depth >= self.deepest {
            return Err(RequestError::JsonDepth);
        }
        self.depth += 1;
        // One word instead of a stack: a body must not choose how much is allocated.
        self.objects = (self.objects << 1) | u128::from(is_object);
        if !is_object {
            self.inside = Inside::Array;
            return Ok(self.go(Position::FirstItem, after));
        }
        self.inside = Inside::Object;
        self.names.open();
        Ok(self.go(Position::FirstName, after))
    }

    #[inline]
    fn close<'a>(&mut self, after: &'a [u8]) -> &'a [u8] {
        if self.inside == Inside::Object {
            self.names.close();
        }
        // Never below zero: a bracket closes only where one is open (`inside`).
        self.depth -= 1;
        self.objects >>= 1;
        self.inside = match (self.depth, self.objects & 1) {
            (0, _) => Inside::Nothing,
            (_, 0) => Inside::Array,
            _ => Inside::Object,
        };
        self.go(Position::After, after)
    }

    /// A name begins. Mostly it is whole, short and written as it is, and a colon and a value follow at once.
    #[inline]
    fn name<'a>(&mut self, rest: &'a [u8]) -> Rest<'a> {
        // Before the name is looked for: a body of names alone is bounded as well.
        self.count()?;
        let Some((name, rest)) = self.names.whole(rest) else {
            self.names.begin();
            return Ok(self.go(Position::Spelling, rest));
        };
        self.names.add(name)?;
        match rest {
            [b':', b'"', after @ ..] => self.text(after),
            [b':', after @ ..] => Ok(self.go(Position::Value, after)),
            _ => Ok(self.go(Position::Colon, rest)),
        }
    }

    /// In a string that is a value: up to its end, or to what does not stand whole in the piece.
    #[inline]
    fn text<'a>(&mut self, mut rest: &'a [u8]) -> Rest<'a> {
        loop {
            rest = text::after_plain(rest);
            if let [b'"', after @ ..] = rest {
                return Ok(self.go(Position::After, after));
            }
            let Some(after) = text::after_sequence(rest) else {
                return self.text_on(rest);
            };
            rest = after;
            // They come in rows.
            while let Some(after) = text::after_sequence(rest) {
                rest = after;
            }
        }
    }

    /// In a string that is a value, where what does not stand whole in the piece begins.
    fn text_on<'a>(&mut self, rest: &'a [u8]) -> Rest<'a> {
        match rest {
            [] => Ok(self.go(Position::Text, rest)),
            [byte, after @ ..] => Ok(self.stay(Fragment::begin(false, *byte)?, after)),
        }
    }

    /// A number that is cut, or not one.
    fn number<'a>(&mut self, mut number: Number, mut rest: &'a [u8]) -> Rest<'a> {
        while let Some((byte, after)) = rest.split_first() {
            match number.next(*byte) {
                Some(next) => number = next,
                None if number.may_end() => return Ok(self.go(Position::After, rest)),
                None => return Err(RequestError::JsonMalformed),
            }
            rest = after;
        }
        Ok(self.stay(Fragment::Number(number), rest))
    }

    /// `true`, `false` or `null` after its first letter.
    #[inline]
    fn literal<'a>(&mut self, letters: &'static [u8], rest: &'a [u8]) -> &'a [u8] {
        match rest.strip_prefix(letters) {
            Some(after) => self.go(Position::After, after),
            None => self.stay(Fragment::Literal(letters), rest),
        }
    }

    /// In a name that is long, is not written as it is, or is cut.
    fn spell<'a>(&mut self, mut rest: &'a [u8]) -> Rest<'a> {
        loop {
            let (plain, tail) = split(rest, text::after_plain(rest));
            self.names.bytes(plain);
            let Some(after) = text::after_sequence(tail) else {
                return self.spell_on(tail);
            };
            match split(tail, after) {
                ([b'\\', b'u', a, b, c, d], _) => {
                    [a, b, c].iter().for_each(|digit| self.names.digit(**digit, false));
                    self.names.digit(*d, true);
                }
                ([b'\\', letter], _) => self.names.escape(*letter),
                (character, _) => self.names.bytes(character),
            }
            rest = after;
        }
    }

    /// In a name, where it ends or what does not stand whole in the piece begins.
    fn spell_on<'a>(&mut self, rest: &'a [u8]) -> Rest<'a> {
        match rest {
            [] => Ok(self.go(Position::Spelling, rest)),
            [b'"', after @ ..] => {
                self.names.end()?;
                Ok(self.go(Position::Colon, after))
            }
            [byte, after @ ..] => {
                let fragment = Fragment::begin(true, *byte)?;
                // A backslash says nothing by itself; the first byte of a character is part of the name.
                if matches!(fragment, Fragment::Utf8(..)) {
                    self.names.bytes(&[*byte]);
                }
                Ok(self.stay(fragment, after))
            }
        }
    }

    /// The next byte of a fragment.
    fn within<'a>(&mut self, byte: u8, rest: &'a [u8], after: &'a [u8]) -> Rest<'a> {
        let is_name = match self.fragment {
            Fragment::Number(number) => return self.number(number, rest),
            Fragment::Refused(error) => return Err(error),
            Fragment::Literal(_) => false,
            Fragment::Escape(is_name) | Fragment::Hex(is_name, _) | Fragment::Utf8(is_name, ..) => {
                is_name
            }
        };
        match self.fragment {
            // Before the byte is judged: what is wrong with it ends the body anyway.
            Fragment::Escape(true) => self.names.escape(byte),
            Fragment::Hex(true, left) => self.names.digit(byte, left == 1),
            Fragment::Utf8(true, ..) => self.names.bytes(&[byte]),
            _ => {}
        }
        Ok(match (self.fragment.next(byte)?, self.fragment) {
            (Some(fragment), _) => self.stay(fragment, after),
            (None, Fragment::Literal(_)) => self.go(Position::After, after),
            (None, _) => self.go(if is_name { Position::Spelling } else { Position::Text }, after),
        })
    }

    fn go<'a>(&mut self, next: Position, rest: &'a [u8]) -> &'a [u8] {
        self.position = next;
        rest
    }

    fn stay<'a>(&mut self, fragment: Fragment, rest: &'a [u8]) -> &'a [u8] {
        self.fragment = fragment;
        self.go(Position::Within, rest)
    }

    fn count(&mut self) -> Result<(), RequestError> {
        self.members_left = self.members_left.checked_sub(1).ok_or(RequestError::JsonMembers)?;
        Ok(())
    }
}

/// What stands before the end of a slice, and the end.
fn split<'a>(rest: &'a [u8], end: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    rest.split_at_checked(rest.len() - end.len()).unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where nothing else can stand.
#[inline]
fn blanks(byte: u8, after: &[u8]) -> Rest<'_> {
    if is_blank(byte) { Ok(text::after_blanks(after)) } else { Err(RequestError::JsonMalformed) }
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
            r#"{"\ud83dx":1,"x\ud83d":1,"\ud83dx\ude00":1,"x\ud83d\ude00":1}"#,
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
            // What stood in an object within says nothing of the one around it.
            let within = format!("\"x\":{}", body(&members));
            let around = format!("{{{within},{}}}", members.join(","));
            assert_eq!(
                check(around.as_bytes(), JsonBounds { members: 2000, ..bounds }),
                Ok(()),
                "{count}"
            );
            assert_eq!(check(body(&members).as_bytes(), bounds), Ok(()), "{count}");
            for twice in [0, count - 1] {
                members.push(member(twice));
                let found = check(body(&members).as_bytes(), bounds);
                assert_eq!(found, Err(RequestError::JsonRepeated), "{count}: {twice}");
                members.pop();
            }
        }
    }

    /// Short and long, whole and cut, as it is and escaped; and none is taken for another.
    #[test]
    fn a_name_is_the_same_however_it_arrives() {
        let bounds = JsonBounds { depth: 1, members: 4 };
        for length in 0..200 {
            let rest = "nameless".repeat(25)[..length].to_owned();
            let body = format!(r#"{{"a{rest}":1,"\u0061{rest}":2}}"#).into_bytes();
            let other = format!(r#"{{"a{rest}":1,"a{rest}\u0000":2,"a{rest}n":3,"b{rest}":4}}"#);
            let other = other.into_bytes();
            for cut in 0..body.len() {
                let judged = |body: &[u8]| {
                    let mut check = JsonCheck::new(bounds);
                    check.take(&body[..cut])?;
                    check.take(&body[cut..])?;
                    check.finish()
                };
                assert_eq!(judged(&body), Err(RequestError::JsonRepeated), "{length}: {cut}");
                assert_eq!(judged(&other), Ok(()), "{length}: {cut}");
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
