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
        buffer.get(self.start..self.start + self.length).unwrap_or_default()
    }
}

/// The version of HTTP/1 that a message states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minor {
    /// HTTP/1.0.
    Zero,
    /// HTTP/1.1.
    One,
}

/// Whether every line ends in CRLF, and no other control character but the tab stands anywhere.
pub fn are_sound(head: &[u8]) -> bool {
    let is_control = |b: &u8| ((*b < 0x20) & (*b != b'\t')) | (*b == 0x7f);
    // Counted in bytes, a piece at a time, so that the compiler can use vector instructions.
    let count = |piece: &[u8]| piece.iter().fold(0_u8, |n, b| n + u8::from(is_control(b)));
    let controls: usize = head.chunks(128).map(|piece| usize::from(count(piece))).sum();
    let mut line_endings = 0;
    for position in memchr::memchr_iter(b'\n', head) {
        if position.checked_sub(1).and_then(|before| head.get(before)) != Some(&b'\r') {
            return false;
        }
        line_endings += 1;
    }
    controls == 2 * line_endings
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
        let end = memchr::memchr(b'\r', rest)?;
        let line = rest.get(..end)?;
        let start = self.start;
        self.start += end + 2;
        Some((start, line))
    }
}

/// Splits `name: value`; the value without outer blanks. Nothing, if there is no colon.
pub fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, rest) = line.split_at_checked(colon)?;
    Some((name, rest.get(1..).unwrap_or_default().trim_ascii()))
}

/// Where `part` stands in `line`, which begins at `start`. The value of a field is the end of its line, blanks aside.
pub fn span_in(start: usize, line: &[u8], part: &[u8]) -> Span {
    let before = part.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    Span { start: start + before, length: part.len() }
}

/// Where a head ends: behind its empty line. `searched` is how far it was looked for before.
pub fn find_end(buffer: &[u8], searched: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    // The empty line may begin in what was searched already.
    let from = searched.saturating_sub(END.len() - 1);
    let unsearched = buffer.get(from..)?;
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
        let before = (from + position).checked_sub(1).and_then(|before| buffer.get(before));
        before != Some(&b'\r')
    })
}

/// `token` of RFC 9110 section 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a byte may stand in a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A Content-Length: digits only, no sign, no list, no blank, at most 18 of them.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    let fits = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    fits.then(|| value.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

/// Writes a number.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let begin = out.len();
    loop {
        out.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(begin..) {
        digits.reverse();
    }
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
