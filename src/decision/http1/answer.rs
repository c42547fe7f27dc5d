//! The head of a backend's answer, and how its body ends.
//!
//! Strict: what it cannot read in one way is a fault. Lenient where RFC 9112 asks a recipient to be and old servers
//! need it: a field line that continues the one before (section 5.2) and blanks before a colon (section 5.1) are
//! read as one line without them; not in what frames the message.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::body::Framing;
use super::line::{self, Lines, Minor, Span};

/// Bytes of a head.
pub const LONGEST: usize = 64 * 1024;
/// Field lines of a head.
pub const MOST_FIELDS: usize = 256;

/// Not one HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A head.
#[derive(Debug)]
pub struct AnswerHead {
    /// The status, of a class that there is.
    pub status: StatusCode,
    /// The version.
    pub minor: Minor,
    /// Name and value of each field, in the buffer that was read.
    pub fields: Vec<(Span, Span)>,
    /// Bytes of the head.
    pub length: usize,
}

thread_local! {
    /// Room for the places of fields, of heads that are over.
    static ROOM: RefCell<Vec<Vec<(Span, Span)>>> = const { RefCell::new(Vec::new()) };
}

/// Rooms that wait.
const ROOMS: usize = 64;

impl Drop for AnswerHead {
    fn drop(&mut self) {
        let mut room = std::mem::take(&mut self.fields);
        room.clear();
        ROOM.with_borrow_mut(|rooms| {
            // As many as exchanges at a time leave behind; a burst's others are freed.
            if rooms.len() < ROOMS {
                rooms.push(room);
            }
        });
    }
}

/// Reads the head of an answer, however it is cut into reads.
#[derive(Debug, Default)]
pub struct HeadReader {
    searched: usize,
}

impl HeadReader {
    /// Reads the head at the beginning of `buffer`; nothing, if more is needed. A line that continues another is made
    /// part of it in the buffer.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for what is no head of HTTP/1 that can be read in one way (RFC 9112 sections 2.2, 4 and
    /// 5), for more than [`LONGEST`] bytes and for more than [`MOST_FIELDS`] fields. It is the backend's
    /// fault, and nothing behind it can be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<AnswerHead>, Malformed> {
        let Some(length) = line::find_end(buffer, self.searched) else {
            // Such a head never has the end that is looked for: refused now, not when time is up.
            if line::has_bare_line_feed(buffer, self.searched) || buffer.len() > LONGEST {
                return Err(Malformed);
            }
            self.searched = buffer.len();
            return Ok(None);
        };
        // For the next head: an informational answer comes before the one that counts.
        self.searched = 0;
        let head =
            buffer.get_mut(..length).filter(|head| head.len() <= LONGEST).ok_or(Malformed)?;
        if !line::are_sound(head) {
            return Err(Malformed);
        }
        // Read again once it is mended, for few answers fold a line, and the others pay nothing.
        let read = match self::read(head) {
            Err(HeadFault::Folded) => {
                unfold(head)?;
                self::read(head)
            }
            read => read,
        };
        read.map(Some).map_err(|_| Malformed)
    }
}

/// Blanks for the end of a line that goes on (RFC 9112 section 5.2). Not where the line frames the message: whoever
/// reads lines one by one has read another length.
fn unfold(head: &mut [u8]) -> Result<(), Malformed> {
    let (mut begin, mut from) = (0, 0);
    while let Some(found) = head.get(from..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        let end = from + found;
        from = end + 1;
        if !head.get(from).is_some_and(|b| matches!(b, b' ' | b'\t')) {
            begin = from;
            continue;
        }
        let line = head.get(begin..end).unwrap_or_default();
        let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii();
        // Nor where there is no value that could go on.
        if begin == 0 || is_framing(name) || memchr::memchr(b':', line).is_none() {
            return Err(Malformed);
        }
        if let Some(ending) = head.get_mut(end - 1..=end) {
            ending.fill(b' ');
        }
    }
    Ok(())
}

/// Why there is no head.
enum HeadFault {
    /// It is none.
    Malformed,
    /// A line may continue the one before.
    Folded,
}

fn read(head: &[u8]) -> Result<AnswerHead, HeadFault> {
    let mut lines = Lines::of(head);
    let first = lines.next().and_then(|(_, line)| status_line(line));
    let (minor, status) = first.ok_or(HeadFault::Malformed)?;
    let mut fields = ROOM.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(16));
    for (start, text) in lines.take_while(|(_, text)| !text.is_empty()) {
        if matches!(text, [b' ' | b'\t', ..]) {
            return Err(HeadFault::Folded);
        }
        let (name, value) = split_field(text).ok_or(HeadFault::Malformed)?;
        // Here and not by the bytes alone: 64 KiB hold thousands of empty fields.
        if fields.len() == MOST_FIELDS {
            return Err(HeadFault::Malformed);
        }
        fields.push((line::span_in(start, text, name), line::span_in(start, text, value)));
    }
    Ok(AnswerHead { status, minor, fields, length: head.len() })
}

/// Splits a field, whose name may have blanks behind it. Readers differ about them, and some drop the line: not where it
/// frames the message.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line::split_token(line)?;
    let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii();
    (rest.starts_with(b":") || !is_framing(name)).then_some((name, value))
}

fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// `HTTP/1.x SP status [SP reason]` (section 4). Without a reason, servers leave its blank out, too.
fn status_line(line: &[u8]) -> Option<(Minor, StatusCode)> {
    let (version, rest) = line.split_at_checked(9)?;
    let minor = match version {
        b"HTTP/1.1 " => Minor::One,
        b"HTTP/1.0 " => Minor::Zero,
        _ => return None,
    };
    let (digits, reason) = rest.split_at_checked(3)?;
    let ends = reason.first().is_none_or(|b| *b == b' ');
    // The library takes up to 999; RFC 9110 section 15 has five classes.
    let status = StatusCode::from_bytes(digits).ok().filter(|status| status.as_u16() < 600)?;
    ends.then_some((minor, status))
}

impl AnswerHead {
    /// The values of a field.
    pub fn values<'a>(
        &'a self,
        buffer: &'a [u8],
        name: &'static str,
    ) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |(field, _): &&(Span, Span)| {
            field.of(buffer).eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.iter().filter(is_it).map(|(_, value)| value.of(buffer))
    }

    /// The fields as a map.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a name or a value that the map does not take: never for a head with the buffer that
    /// it was read from.
    pub fn to_map(&self, buffer: &[u8]) -> Result<HeaderMap, Malformed> {
        let mut map = HeaderMap::with_capacity(self.fields.len() + 16);
        for (name, value) in &self.fields {
            // Tokens and no control characters, as was read: neither conversion fails.
            let name = HeaderName::from_bytes(name.of(buffer)).map_err(|_| Malformed)?;
            let value = HeaderValue::from_bytes(value.of(buffer)).map_err(|_| Malformed)?;
            map.append(name, value);
        }
        Ok(map)
    }

    /// How the body ends of an answer to a request, HEAD or another (RFC 9112 section 6.3): one length, or chunks, which
    /// override a length, or the connection's end. What never has content has none, whatever is said of it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a length that is no number or stands twice, for any transfer coding but one
    /// `chunked`, and for chunks in HTTP/1.0 (RFC 9112 section 6.1). Also where there is no content to frame.
    pub fn framing(&self, buffer: &[u8], is_head: bool) -> Result<Framing, Malformed> {
        let mut lengths = self.values(buffer, "content-length");
        // Judged where it frames nothing, too: a HEAD's answer tells what a GET's would be.
        let length = lengths.next().map(|value| line::parse_length(value).ok_or(Malformed));
        let length = length.transpose()?;
        let mut codings = self.values(buffer, "transfer-encoding");
        let is_chunked = match (codings.next(), codings.next()) {
            (None, _) => false,
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => true,
            // Another coding, or several: what is left of a connection that ends is no whole answer.
            (Some(_), _) => return Err(Malformed),
        };
        if lengths.next().is_some() || (is_chunked && self.minor == Minor::Zero) {
            return Err(Malformed);
        }
        // Decided by method and status, before what the fields say (section 6.3, items 1 and 2).
        if is_head || has_no_content(self.status) {
            return Ok(Framing::Length(0));
        }
        Ok(match (length, is_chunked) {
            (_, true) => Framing::Chunked,
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::UntilClose,
        })
    }

    /// Whether the backend keeps its connection (section 9.3).
    pub fn keeps_connection(&self, buffer: &[u8]) -> bool {
        // Several lines are one list, and any `close` in it counts (RFC 9110 section 5.3).
        let options = || {
            let values = self.values(buffer, "connection");
            values.flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii)
        };
        let says = |option: &str| options().any(|o| o.eq_ignore_ascii_case(option.as_bytes()));
        // Whoever frames an answer twice is not to be believed a second time.
        let is_framed_twice = self.values(buffer, "transfer-encoding").next().is_some()
            && self.values(buffer, "content-length").next().is_some();
        !is_framed_twice && !says("close") && (self.minor == Minor::One || says("keep-alive"))
    }
}

impl AnswerHead {
    /// For how many seconds the backend says that it keeps its connection (`Keep-Alive: timeout=n`, RFC 2068 section
    /// 19.7.1; many servers send it).
    pub fn patience(&self, buffer: &[u8]) -> Option<u64> {
        let values = self.values(buffer, "keep-alive");
        let mut parameters = values.flat_map(|value| value.split(|b| *b == b','));
        parameters.find_map(|parameter| {
            let (name, seconds) = parameter.trim_ascii().split_at_checked(b"timeout=".len())?;
            // What is no number says nothing: the configured time holds.
            line::parse_length(seconds).filter(|_| name.eq_ignore_ascii_case(b"timeout="))
        })
    }
}

/// Whether an answer of this status never has content.
pub fn has_no_content(status: StatusCode) -> bool {
    // Not 205: RFC 9110 section 15.3.6 has it empty, and says so by a length of zero like any other answer.
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(AnswerHead, Vec<u8>)>, Malformed> {
        let mut buffer = text.as_bytes().to_vec();
        let whole = HeadReader::default().read(&mut buffer);
        let (mut reader, mut bytewise) = (HeadReader::default(), Ok(None));
        for end in 1..=text.len() {
            let mut part = text.as_bytes()[..end].to_vec();
            bytewise = reader.read(&mut part);
            if !matches!(bytewise, Ok(None)) {
                break;
            }
        }
        let length = |read: &Result<Option<AnswerHead>, Malformed>| {
            read.as_ref().map(|head| head.as_ref().map(|head| head.length)).map_err(|e| *e)
        };
        assert_eq!(length(&whole), length(&bytewise), "{text:?}");
        Ok(whole?.map(|head| (head, buffer)))
    }

    #[test]
    fn a_status_line_is_one_of_http_1() {
        for (line, status) in [
            ("HTTP/1.1 200 OK", 200),
            ("HTTP/1.1 200", 200),
            ("HTTP/1.0 404 ", 404),
            ("HTTP/1.1 599 any thing", 599),
            ("HTTP/1.1 200 \u{e9}", 200),
        ] {
            let (head, _) = head(&format!("{line}\r\n\r\n")).unwrap().unwrap();
            assert_eq!(head.status, status, "{line}");
        }
        for line in [
            "HTTP/2 200 OK",
            "HTTP/1.2 200 OK",
            "ICY 200 OK",
            "HTTP/1.1 099 x",
            "HTTP/1.1 600 x",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000",
            "HTTP/1.1  200 OK",
            "HTTP/1.1\t200 OK",
            "hello",
            "",
        ] {
            assert_eq!(head(&format!("{line}\r\n\r\n")).unwrap_err(), Malformed, "{line}");
        }
    }

    #[test]
    fn what_old_servers_do_is_read_in_the_one_way() {
        let text = "HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nX-B : d\r\n\r\n";
        let (head, buffer) = head(text).unwrap().unwrap();
        assert_eq!(head.values(&buffer, "x-a").next(), Some(&b"b    c"[..]));
        assert_eq!(head.values(&buffer, "x-b").next(), Some(&b"d"[..]));
    }

    #[test]
    fn every_single_fault_is_refused() {
        let longest = format!("X: {}", "a".repeat(LONGEST));
        let most = "a: b\r\n".repeat(MOST_FIELDS + 1);
        for fields in [
            " folded: at once",
            "X-A\r\n : b",
            "X-A\r\n b\r\n\t: c",
            "nothing",
            ": b",
            "a b: c",
            "a: b\nc: d",
            "a: b\0c",
            "a: \u{7f}",
            "Content-Length : 5",
            "Content-Length:\r\n 5",
            "Transfer-Encoding\t: chunked",
            longest.as_str(),
            most.trim_end(),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            let framing = head(&text).map(|head| {
                let (head, buffer) = head.unwrap();
                head.framing(&buffer, false)
            });
            assert!(!matches!(framing, Ok(Ok(_))), "{fields:?}");
        }
    }

    #[test]
    fn an_answer_is_framed_in_one_way() {
        let framing = |status: u16, fields: &str, is_head: bool| {
            let version = if fields.starts_with("1.0") { "1.0" } else { "1.1" };
            let fields = fields.trim_start_matches("1.0");
            let text = format!("HTTP/{version} {status} x\r\n{fields}\r\n");
            let (head, buffer) = head(&text).unwrap().unwrap();
            head.framing(&buffer, is_head)
        };
        for (fields, expected) in [
            ("", Ok(Framing::UntilClose)),
            ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
            ("transfer-encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(Malformed)),
            ("Content-Length: 5, 5\r\n", Err(Malformed)),
            ("Content-Length: +5\r\n", Err(Malformed)),
            ("Content-Length:\r\n", Err(Malformed)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(Malformed)),
            ("Transfer-Encoding: identity\r\n", Err(Malformed)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Malformed)),
            ("1.0Transfer-Encoding: chunked\r\n", Err(Malformed)),
            ("1.0", Ok(Framing::UntilClose)),
        ] {
            for (status, is_head, has_content) in [
                (200, false, true),
                (205, false, true),
                (404, false, true),
                (200, true, false),
                (100, false, false),
                (204, false, false),
                (304, false, false),
            ] {
                let expected = match expected {
                    Ok(_) if !has_content => Ok(Framing::Length(0)),
                    expected => expected,
                };
                assert_eq!(framing(status, fields, is_head), expected, "{status} {fields:?}");
            }
        }
    }

    #[test]
    fn the_patience_of_a_server_is_what_it_says() {
        for (value, seconds) in [
            ("timeout=5, max=100", Some(5)),
            ("max=100,Timeout=0", Some(0)),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=5s", None),
            ("max=100", None),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\n\r\n");
            let (head, buffer) = head(&text).unwrap().unwrap();
            assert_eq!(head.patience(&buffer), seconds, "{value}");
        }
    }

    #[test]
    fn a_connection_is_kept_unless_either_side_says_otherwise() {
        for (text, keeps) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            let (head, buffer) = head(text).unwrap().unwrap();
            assert_eq!(head.keeps_connection(&buffer), keeps, "{text:?}");
        }
    }
}
