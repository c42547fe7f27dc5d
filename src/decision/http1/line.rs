//! The lines of a head, and the parts of one.

/// A part of a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: usize,
    /// How long it is.
    pub length: usize,
}

impl Span {
    /// What it spans.
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        // Empty, should a span ever meet another buffer: wrong, and refused further on, but no panic.
        buffer.get(self.start..self.start + self.length).unwrap_or_default()
    }
}

/// A set of bytes: to look one up is cheaper than to judge it.
pub struct ByteSet([bool; 256]);

impl ByteSet {
    /// Whether it has a byte.
    #[inline]
    pub fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).is_some_and(|has| *has)
    }

    /// Whether it has all of these.
    #[inline]
    pub fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.has(*byte))
    }

    /// As the macro makes it.
    pub const fn of(set: [bool; 256]) -> Self {
        Self(set)
    }
}

/// The set of the bytes of which a `const fn` says so.
macro_rules! byte_set {
    ($is_in:expr) => {{
        let mut set = [false; 256];
        let mut byte = 0_u8;
        let mut rest: &mut [bool] = &mut set;
        while let Some((first, others)) = rest.split_first_mut() {
            *first = $is_in(byte);
            (byte, rest) = (byte.wrapping_add(1), others);
        }
        $crate::http1::line::ByteSet::of(set)
    }};
}
pub(crate) use byte_set;

/// The version of HTTP/1 that a message states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minor {
    /// HTTP/1.0.
    Zero,
    /// HTTP/1.1.
    One,
}

/// Bytes that are counted in one byte.
const COUNTED: usize = 128;

/// Whether every line ends in CRLF, and no other control character but the tab stands anywhere.
pub fn are_sound(head: &[u8]) -> bool {
    count(head).is_some()
}

/// How many lines there are; nothing, unless every one ends in CRLF and no other control character but the tab stands
/// anywhere.
pub fn count(lines: &[u8]) -> Option<usize> {
    let is_control = |b: &u8| u8::from(((*b < 0x20) & (*b != b'\t')) | (*b == 0x7f));
    let is_ending = |(a, b): (&u8, &u8)| u8::from((*a == b'\r') & (*b == b'\n'));
    // In bytes, a piece at a time, so that the compiler can use vector instructions.
    let controls_in = |piece: &[u8]| piece.iter().map(is_control).sum::<u8>();
    let controls: usize = lines.chunks(COUNTED).map(|piece| usize::from(controls_in(piece))).sum();
    // The second sequence begins a byte later, so that an ending is found that lies in two pieces.
    let pieces = lines.chunks(COUNTED).zip(lines.get(1..).unwrap_or_default().chunks(COUNTED));
    let endings = |(a, b): (&[u8], &[u8])| a.iter().zip(b).map(is_ending).sum::<u8>();
    let endings = pieces.map(|pieces| usize::from(endings(pieces))).sum();
    // An ending has two control characters: if there are no more, each of them is part of one.
    (controls == 2 * endings).then_some(endings)
}

/// The lines of a head that [`are_sound`], without their CRLF, and where each begins.
pub struct Lines<'a> {
    head: &'a [u8],
    start: usize,
}

impl<'a> Lines<'a> {
    /// All lines.
    pub fn of(head: &'a [u8]) -> Self {
        Self { head, start: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.head.get(self.start..)?;
        // The carriage return suffices: in a sound head none stands without its line feed.
        let end = memchr::memchr(b'\r', rest)?;
        let line = rest.get(..end)?;
        let start = self.start;
        self.start += end + 2;
        Some((start, line))
    }
}

/// Splits `name: value`; the value without outer blanks. Nothing, if the name is no token, or something else stands
/// between it and the colon.
pub fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_token(line)?;
    Some((name, rest.strip_prefix(b":")?.trim_ascii()))
}

/// The token that a line begins with, and what follows it.
pub fn split_token(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
    line.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// Where `part` stands in `line`, which begins at `start`. The value of a field is the end of its line, blanks aside.
pub fn span_in(start: usize, line: &[u8], part: &[u8]) -> Span {
    // By their addresses: where it was cut from is known, and need not be searched for.
    let before = part.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    Span { start: start + before, length: part.len() }
}

/// Where a head ends: behind its empty line. `searched` is how far it was looked for before.
pub fn find_end(buffer: &[u8], searched: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    // The empty line may begin in what was searched already.
    let from = searched.saturating_sub(END.len() - 1);
    let unsearched = buffer.get(from..)?;
    // Not `memmem`, which would build a searcher for each head; a head has some twenty line feeds.
    for position in memchr::memchr_iter(b'\n', unsearched) {
        let end = from + position + 1;
        if buffer.get(..end).is_some_and(|head| head.ends_with(END)) {
            return Some(end);
        }
    }
    None
}

/// Whether a line feed stands without its carriage return behind `from`.
pub fn has_bare_line_feed(buffer: &[u8], from: usize) -> bool {
    let bytes = buffer.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', bytes).any(|position| {
        // Before `from`, too: the carriage return may have come with an earlier read.
        let before = (from + position).checked_sub(1).and_then(|before| buffer.get(before));
        before != Some(&b'\r')
    })
}

/// `token` of RFC 9110 section 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && TOKEN.has_all(bytes)
}

/// Whether a byte may stand in a token.
#[inline]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN.has(byte)
}

static TOKEN: ByteSet = byte_set!(may_stand_in_token);

const fn may_stand_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A Content-Length: digits only, no sign, no list, no blank, at most 18 of them.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    // 18 digits cannot overflow 64 bits, and 10^18 bytes are more than anybody sends.
    let fits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    fits.then(|| value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

/// Writes a number.
pub fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_feed_is_seen_across_reads() {
        assert!(!has_bare_line_feed(b"a\r\nb\r\n", 0));
        assert!(!has_bare_line_feed(b"a\r\n", 2));
        assert!(has_bare_line_feed(b"a\n", 0));
        assert!(has_bare_line_feed(b"\n", 0));
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\na: b\r\n\r\nrest";
        for cut in 0..=head.len() {
            let early = find_end(&head[..cut], 0);
            assert_eq!(early, (cut >= 24).then_some(24), "{cut}");
            if early.is_none() {
                assert_eq!(find_end(head, cut), Some(24), "{cut}");
            }
        }
        assert_eq!(find_end(b"a\r\n", 0), None);
    }

    #[test]
    fn lines_are_counted_wherever_their_ends_fall() {
        for before in 0..300 {
            let line = "a".repeat(before);
            assert_eq!(count(format!("{line}\r\n\tb\r\n\r\n").as_bytes()), Some(3), "{before}");
            for bad in ["\n", "\r", "\n\r", "\r\r\n", "\r\n\n", "\r\n\r", "\0", "\x7f", "\x1f"] {
                let bad = format!("{line}{bad}");
                assert_eq!(count(bad.as_bytes()), None, "{before} {bad:?}");
            }
        }
        assert_eq!(count(b""), Some(0));
    }

    #[test]
    fn a_number_is_written_as_it_is_read() {
        for number in [0, 7, 10, 1234, u64::MAX] {
            let mut out = b"x".to_vec();
            push_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").into_bytes());
        }
    }

    #[test]
    fn a_field_is_found_where_it_stands() {
        let head = b"x\r\nname: \t value \r\n\r\n";
        let (start, line) = Lines::of(head).nth(1).unwrap();
        let (name, value) = split_field(line).unwrap();
        assert_eq!((name, value), (&b"name"[..], &b"value"[..]));
        assert_eq!(span_in(start, line, value).of(head), b"value");
        assert_eq!(span_in(start, line, name).of(head), b"name");
    }
}
