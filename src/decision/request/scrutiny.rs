//! What must hold of the head of a request, asked of any bytes: for tests and fuzzing, part of no gateway.

use bytes::Bytes;

use super::framing::{HeadLimits, Outline, check_head};
use super::{RequestHead, Target};
use crate::http1::line::{self, Span};

const LIMITS: HeadLimits = HeadLimits { size: 8 * 1024, fields: 64 };

/// Where the head ends, arriving in pieces that end there.
fn find(wire: &[u8], ends: impl Iterator<Item = usize>) -> Option<usize> {
    let mut searched = 0;
    for end in ends.chain([wire.len()]) {
        let here = wire.get(..end).unwrap_or_default();
        if let Some(found) = line::find_end(here, searched) {
            return Some(found);
        }
        searched = here.len();
    }
    None
}

/// A head that was accepted, and its fields.
type AcceptedHead<'a> = (Outline, Vec<(&'a [u8], Span)>);

fn read(head: &[u8]) -> Option<AcceptedHead<'_>> {
    let mut fields = Vec::new();
    let outline = check_head(head, &LIMITS, |name, value| fields.push((name, value))).ok()?;
    Some((outline, fields))
}

/// Asserts what must hold of bytes that may begin with the head of a request; gives the head if it is accepted.
pub fn request(wire: &[u8], cut: usize) -> Option<&[u8]> {
    let whole = find(wire, [].into_iter());
    let cut = cut.checked_rem(wire.len() + 1).unwrap_or(0);
    assert_eq!(find(wire, [cut].into_iter()), whole);
    assert_eq!(find(wire, 0..wire.len()), whole);
    let head = wire.get(..whole?)?;
    // Nothing that was judged is a part of two lines.
    let (outline, fields) = read(head)?;
    assert!(line::are_sound(head));
    let method = outline.method.of(head);
    let target = outline.target.of(head);
    assert!(line::is_token(method) && !target.contains(&b' '));
    assert!(target.starts_with(b"/") || (method == b"OPTIONS" && target == b"*"));
    // Read again as it was read, it is the same.
    let first = head.get(..memchr::memchr(b'\r', head)?)?;
    let mut canonical = [first, b"\r\n"].concat();
    for (name, value) in &fields {
        assert!(line::is_token(name));
        canonical.extend_from_slice(&[name, &b": "[..], value.of(head), b"\r\n"].concat());
    }
    canonical.extend_from_slice(b"\r\n");
    if canonical.len() <= LIMITS.size {
        let same = |(outline, fields): AcceptedHead<'_>, head: &[u8]| {
            let fields = fields.iter();
            let fields: Vec<_> =
                fields.map(|(name, value)| (name.to_vec(), value.of(head).to_vec())).collect();
            (outline.framing, outline.method, outline.target, outline.minor, fields)
        };
        let again = read(&canonical).map(|told| same(told, &canonical));
        assert_eq!(again, Some(same((outline, fields.clone()), head)));
    }
    let (parsed, framing) = RequestHead::read(Bytes::copy_from_slice(head), &LIMITS).ok()?;
    assert_eq!(framing, outline.framing);
    assert_eq!(parsed.fields.len(), fields.len());
    check_target(parsed.path(), parsed.query());
    Some(head)
}

/// A canonical target is its own canonical form, and no segment of it leads elsewhere.
pub fn check_target(path: &str, query: Option<&str>) {
    let Ok(target) = Target::parse(path, query) else { return };
    let canonical = target.path();
    assert!(canonical.starts_with('/') && canonical.is_ascii());
    assert!(!canonical.contains("//") && !canonical.contains(['\\', '#', '?', ' ']));
    for segment in canonical.split('/') {
        let name = segment.split(';').next().unwrap_or_default().to_ascii_lowercase();
        assert!(!matches!(name.replace("%2e", ".").as_str(), "." | ".."), "{canonical}");
    }
    assert_eq!(
        Target::parse(canonical, query).map(|again| again.path().to_owned()).as_deref(),
        Ok(canonical)
    );
    assert_eq!(target.query(), query);
    if target.is_as_received() {
        assert_eq!(canonical, path);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::http1::body::Framing;

    const PARTS: [&str; 26] = [
        "GET / HTTP/1.1\r\n",
        "Host: a\r\n",
        "host: a:1\r\n",
        "X-A: b\r\n",
        "X-B :c\r\n",
        " folded\r\n",
        "Content-Length: 5\r\n",
        "Content_Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "\n",
        "\r",
        ":",
        "\t",
        "\0",
        " ",
        "POST https://a/b?c HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "HTTP/1.1",
        "/",
        "%2e",
        "..",
        "?",
        "\u{e9}",
        "x",
    ];

    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let begin = select(
            ["", "GET /a%41 HTTP/1.1\r\nHost: a\r\n", "POST http://a/b HTTP/1.0\r\nhost: A\r\n"]
                .as_slice(),
        );
        let parts = vec(select(PARTS.as_slice()), 0..10).prop_map(|parts| parts.concat());
        let end = select(["", "\r\n", "\r\n\r\n"].as_slice());
        let text =
            (begin, parts, end).prop_map(|(begin, parts, end)| begin.to_owned() + &parts + end);
        (text, any::<Option<(usize, u8)>>()).prop_map(|(text, change)| {
            let mut bytes = text.into_bytes();
            if let Some((place, byte)) = change.filter(|_| !bytes.is_empty()) {
                let place = place % bytes.len();
                bytes[place] = byte;
            }
            bytes
        })
    }

    const VALID: &[u8] = b"POST /a/b?c=d HTTP/1.1\r\nHost: a.b:1\r\nX-A: b c\r\nContent-Length: 12\r\nAccept: x\r\n\r\n";

    proptest! {
        #[test]
        fn a_head_is_the_same_wherever_it_is_cut(wire in wire(), cut: usize) {
            request(&wire, cut);
        }

        #[test]
        fn a_target_is_its_own_canonical_form(path in "/[a/.%;2eE5cfF\\\\?]{0,20}") {
            check_target(&path, None);
        }

        /// A byte that is another is refused, or stands in the one part that it stood in.
        #[test]
        fn one_other_byte_changes_one_part(place in 0..VALID.len(), byte: u8) {
            let mut changed = VALID.to_vec();
            changed[place] = byte;
            let (Some((one, fields)), Some((other, others))) = (read(VALID), read(&changed)) else {
                return Ok(());
            };
            let differs = |a: &[u8], b: &[u8]| usize::from(a != b);
            let mut differences = differs(one.method.of(VALID), other.method.of(&changed))
                + differs(one.target.of(VALID), other.target.of(&changed))
                + usize::from(one.minor != other.minor);
            prop_assert_eq!(fields.len(), others.len());
            for ((name, value), (other_name, other_value)) in fields.iter().zip(&others) {
                differences += differs(name, other_name)
                    + differs(value.of(VALID), other_value.of(&changed));
            }
            // A blank beside another is no difference; a colon ends a name sooner, and begins its value.
            let most = if byte == b':' { 2 } else { 1 };
            prop_assert!(differences <= most, "{:?}", changed.escape_ascii().to_string());
            if VALID[place] == byte {
                prop_assert_eq!(differences, 0);
            }
        }
    }

    /// RFC 9112 section 6.3 and what the gateway refuses beyond it, row by row.
    #[test]
    fn the_framing_of_every_request_is_the_standards() {
        let lengths: [(&str, Result<Option<u64>, ()>); 9] = [
            ("", Ok(None)),
            ("Content-Length: 7\r\n", Ok(Some(7))),
            ("CONTENT-LENGTH:\t007 \r\n", Ok(Some(7))),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", Err(())),
            ("Content-Length: 7, 7\r\n", Err(())),
            ("Content-Length: +7\r\n", Err(())),
            ("Content-Length:\r\n", Err(())),
            ("Content_Length: 7\r\n", Err(())),
            ("Content-Length: 1234567890123456789\r\n", Err(())),
        ];
        let codings = [
            ("", Ok(false)),
            ("Transfer-Encoding: chunked\r\n", Ok(true)),
            ("transfer-encoding: CHUNKED\r\n", Ok(true)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(())),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(())),
            ("Transfer-Encoding: identity\r\n", Err(())),
            ("Transfer-Encoding:\r\n", Err(())),
            ("Transfer_Encoding: chunked\r\n", Err(())),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(())),
        ];
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            for (version, is_old) in [("1.1", false), ("1.0", true)] {
                for (length, declared) in lengths {
                    for (coding, chunked) in codings {
                        let expected = match (declared, chunked) {
                            (Err(()), _) | (_, Err(())) => None,
                            (_, Ok(true)) if is_old => None,
                            (Ok(Some(_)), Ok(true)) => None,
                            (Ok(None), Ok(true)) => Some(Framing::Chunked),
                            (Ok(length), Ok(false)) => Some(Framing::Length(length.unwrap_or(0))),
                        };
                        for fields in [[length, coding].concat(), [coding, length].concat()] {
                            let text =
                                format!("{method} / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
                            let framing = read(text.as_bytes()).map(|(outline, _)| outline.framing);
                            assert_eq!(framing, expected, "{text:?}");
                        }
                    }
                }
            }
        }
    }
}
