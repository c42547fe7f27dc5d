//! What must hold of whatever is read, asked of any bytes: for tests and fuzzing, part of no gateway.
//!
//! Nothing depends on where the bytes are cut into reads; what is used and what is left are what came; every byte of a
//! head stands in a part of it or is one that frames. Chunks are compared with a second reader, which is written for
//! nothing but clarity, and which sees the whole at once.

use super::answer::{AnswerHead, HeadReader};
use super::body::{BodyRead, BodyReader, BodyWriter, Framing};
use super::line::{Minor, is_token};

/// A head that is whole, as far as it can be compared.
type WholeHead = (u16, Minor, Vec<(Vec<u8>, Vec<u8>)>, usize);

fn tell(head: &AnswerHead, buffer: &[u8]) -> WholeHead {
    let fields = head.fields.iter();
    let fields =
        fields.map(|(name, value)| (name.of(buffer).to_vec(), value.of(buffer).to_vec())).collect();
    (head.status.as_u16(), head.minor, fields, head.length)
}

/// Reads the head of an answer at the beginning of `wire`, arriving in pieces that end there.
fn read_answer(wire: &[u8], ends: impl Iterator<Item = usize>) -> Result<Option<WholeHead>, ()> {
    let mut reader = HeadReader::default();
    let mut buffer = Vec::new();
    for end in ends.chain([wire.len()]) {
        buffer.extend_from_slice(wire.get(buffer.len()..end).unwrap_or_default());
        let read = reader.read(&mut buffer).map_err(|_| ())?;
        if let Some(head) = read {
            check_parts(&head, &buffer);
            return Ok(Some(tell(&head, &buffer)));
        }
    }
    Ok(None)
}

/// Between the parts there are colons, blanks and line ends, and nothing else.
fn check_parts(head: &AnswerHead, buffer: &[u8]) {
    let first = memchr::memchr(b'\n', buffer).map_or(0, |end| end + 1);
    let mut at = first;
    let between = |from: usize, to: usize, allowed: &[u8]| {
        let bytes = buffer.get(from..to).unwrap_or_default();
        assert!(from <= to && bytes.iter().all(|b| allowed.contains(b)), "{bytes:?}");
    };
    for (name, value) in &head.fields {
        between(at, name.start, b" \t\r\n");
        assert!(is_token(name.of(buffer)));
        between(name.start + name.length, value.start, b" \t:");
        assert!(!value.of(buffer).iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
        at = value.start + value.length;
    }
    between(at, head.length, b" \t\r\n");
    assert!(buffer.get(..head.length).is_some_and(|head| head.ends_with(b"\r\n\r\n")));
}

/// Asserts what must hold of bytes that may begin with the head of an answer.
pub fn answer(wire: &[u8], cut: usize) {
    let whole = read_answer(wire, [].into_iter());
    let cut = cut.checked_rem(wire.len() + 1).unwrap_or(0);
    assert_eq!(read_answer(wire, [cut].into_iter()), whole);
    assert_eq!(read_answer(wire, 0..wire.len()), whole);
    let mut buffer = wire.to_vec();
    let Ok(Some(head)) = HeadReader::default().read(&mut buffer) else { return };
    for is_head in [false, true] {
        let Ok(framing) = head.framing(&buffer, is_head) else { continue };
        let status = head.status.as_u16();
        if is_head || status < 200 || status == 204 || status == 304 {
            assert_eq!(framing, Framing::Length(0));
        }
    }
    // Read again as it was read, it is the same.
    let mut canonical = format!("HTTP/1.1 {} x\r\n", head.status.as_str()).into_bytes();
    for (name, value) in &head.fields {
        canonical.extend_from_slice(&[name.of(&buffer), b":", value.of(&buffer), b"\r\n"].concat());
    }
    canonical.extend_from_slice(b"\r\n");
    let again = read_answer(&canonical, [].into_iter());
    let (status, _, fields, _) = tell(&head, &buffer);
    let again = again.ok().flatten().map(|(status, _, fields, _)| (status, fields));
    assert_eq!(again, Some((status, fields)));
}

/// The content at the beginning of `wire`, and how many bytes it took, arriving in pieces that end there.
fn read_body(
    mut reader: BodyReader,
    wire: &[u8],
    ends: impl Iterator<Item = usize>,
) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let (mut content, mut used) = (Vec::new(), 0);
    for end in ends.chain([wire.len()]) {
        loop {
            let input = wire.get(used..end).unwrap_or_default();
            let BodyRead { skip, content: length, ended } = reader.read(input).map_err(|_| ())?;
            assert!(skip + length <= input.len(), "more than there is");
            content.extend_from_slice(input.get(skip..skip + length).unwrap_or_default());
            used += skip + length;
            assert_eq!(ended, reader.is_whole());
            if ended {
                return Ok(Some((content, used)));
            }
            if skip + length == 0 {
                break;
            }
        }
    }
    Ok(None)
}

/// Asserts what must hold of bytes that may begin with chunks, of a request or of an answer.
pub fn chunks(wire: &[u8], cut: usize, most: u64) {
    let cut = cut.checked_rem(wire.len() + 1).unwrap_or(0);
    for pads in [false, true] {
        let reader = || match pads {
            false => BodyReader::of_request(Framing::Chunked, most),
            true => BodyReader::of_answer(Framing::Chunked),
        };
        let whole = read_body(reader(), wire, [].into_iter());
        assert_eq!(read_body(reader(), wire, [cut].into_iter()), whole);
        assert_eq!(read_body(reader(), wire, 0..wire.len()), whole);
        let most = if pads { u64::MAX } else { most };
        assert_eq!(whole.ok().flatten(), clearly(wire, pads, most));
        // Written again, it is read as the same; without its end, it is whole to nobody.
        let Some((content, _)) = clearly(wire, pads, most) else { continue };
        let (mut writer, mut out) = (BodyWriter::new(Framing::Chunked), Vec::new());
        for piece in content.chunks(cut.max(1)) {
            assert!(writer.write(piece, &mut out).is_ok());
        }
        assert_eq!(clearly(&out, false, u64::MAX), None);
        assert!(writer.end(&mut out).is_ok());
        assert_eq!(clearly(&out, false, u64::MAX), Some((content.clone(), out.len())));
        // So it is when each piece is taken by parts.
        let (mut writer, mut by_parts) = (BodyWriter::new(Framing::Chunked), Vec::new());
        for mut piece in content.chunks(cut.max(1)) {
            while !piece.is_empty() {
                assert_eq!(writer.begin(piece.len(), &mut by_parts), Ok(piece.len()));
                let (now, later) = piece.split_at(piece.len().div_ceil(2));
                by_parts.extend_from_slice(now);
                assert!(writer.take(now.len()).is_ok_and(|behind| {
                    by_parts.extend_from_slice(behind);
                    true
                }));
                piece = later;
            }
        }
        assert!(writer.end(&mut by_parts).is_ok());
        assert_eq!(by_parts, out);
    }
}

/// Takes a line from `wire`.
fn line<'a>(wire: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memmem::find(wire, b"\r\n")?;
    let (line, rest) = wire.split_at_checked(end)?;
    *wire = rest.get(2..)?;
    Some(line)
}

/// A chunked body that is whole, by RFC 9112 section 7.1 and the bounds of the gateway.
fn clearly(wire: &[u8], pads: bool, most: u64) -> Option<(Vec<u8>, usize)> {
    let mut rest = wire;
    let (mut content, mut extensions) = (Vec::new(), 0);
    loop {
        let before = if content.is_empty() { 0 } else { 2 };
        let text = line(&mut rest)?;
        if before + text.len() + 2 > 256 {
            return None;
        }
        let (size, extension) = match memchr::memchr(b';', text) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)?),
            None => (text, &b""[..]),
        };
        let is_padding = |b: &u8| pads && matches!(b, b' ' | b'\t');
        let end = size.iter().rposition(|b| !is_padding(b)).map_or(0, |last| last + 1);
        let size = size.get(..end)?;
        let is_extension =
            |b: &u8| (0x21..=0x7e).contains(b) || (pads && matches!(b, b' ' | b'\t'));
        extensions += extension.len();
        if !(1..=8).contains(&size.len())
            || !size.iter().all(u8::is_ascii_hexdigit)
            || !extension.iter().all(is_extension)
            || (!extension.is_empty() && extensions > 4096 + content.len())
        {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        if size > most - u64::try_from(content.len()).ok()? {
            return None;
        }
        let (data, behind) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        content.extend_from_slice(data);
        rest = behind.strip_prefix(b"\r\n")?;
    }
    trailer(&mut rest)?;
    Some((content, wire.len() - rest.len()))
}

/// The fields behind the last chunk, to the empty line (section 7.1.2).
fn trailer(rest: &mut &[u8]) -> Option<()> {
    let mut bytes = 0;
    loop {
        let text = line(rest)?;
        if text.is_empty() {
            return Some(());
        }
        bytes += text.len();
        let (name, value) = text.split_at_checked(memchr::memchr(b':', text)?)?;
        let is_value = |b: &u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
        if bytes > 4096 || !is_token(name) || !value.iter().all(is_value) {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::ledger::{Ledger, Seen};
    use super::*;

    /// What heads and bodies are made of, and what is put in their way.
    const PARTS: [&str; 34] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 204\r\n",
        "HTTP/1.1 304 \r\n",
        "HTTP/1.1 103 Early\r\n",
        "Content-Length: 5\r\n",
        "content-length:\t05 \r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "X-A: b\r\n",
        "X-B:\r\n",
        " folded\r\n",
        "\r\n",
        "\n",
        "\r",
        ":",
        "\t",
        "\0",
        "5\r\nhello\r\n",
        "5;a=b\r\nhello\r\n",
        "a  \r\n",
        "0\r\n",
        "0\r\n\r\n",
        "0;x\r\n",
        "X-T: 1\r\n",
        "00000001\r\na\r\n",
        "hello",
        ";",
        "f",
        "ffffffff\r\n",
        "1\r\nx\r\n",
        "\u{e9}",
        " ",
        "123456789012345678",
    ];

    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let parts = vec(select(PARTS.as_slice()), 0..10).prop_map(|parts| parts.concat());
        let begin = select(["", PARTS[0], PARTS[18]].as_slice());
        let end = select(["", "\r\n\r\n", "0\r\n\r\n"].as_slice());
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

    /// What happens on a connection.
    #[derive(Clone, Copy, Debug)]
    enum Happens {
        Sent(usize),
        SentWhole,
        Got(usize),
        GotWhole,
        Ends,
        Broken,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            (0..3_usize).prop_map(Happens::Sent),
            Just(Happens::SentWhole),
            (0..3_usize).prop_map(Happens::Got),
            Just(Happens::GotWhole),
            Just(Happens::Ends),
            Just(Happens::Broken),
        ]
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_wherever_it_is_cut(wire in wire(), cut: usize) {
            answer(&wire, cut);
        }

        #[test]
        fn chunks_are_the_same_wherever_they_are_cut(wire in wire(), cut: usize) {
            chunks(&wire, cut, 12);
        }

        #[test]
        fn what_was_promised_is_what_is_written(
            pieces in vec(vec(any::<u8>(), 0..5), 0..6),
            promised in 0..24_u64,
        ) {
            let (mut writer, mut out) = (BodyWriter::new(Framing::Length(promised)), Vec::new());
            let mut fits = true;
            for piece in &pieces {
                fits &= writer.write(piece, &mut out).is_ok();
            }
            let all = pieces.concat();
            let is_whole = writer.end(&mut out).is_ok();
            prop_assert!(u64::try_from(out.len()).unwrap() <= promised);
            prop_assert_eq!(fits && is_whole, promised == u64::try_from(all.len()).unwrap());
            if fits && is_whole {
                prop_assert_eq!(out, all);
            }
        }

        /// A connection is used again exactly if both directions came to their end and nothing else happened.
        #[test]
        fn the_ledger_is_what_happened(events in vec(happens(), 0..8), left in 0..2_usize) {
            let mut ledger = Ledger::default();
            let (mut sent, mut got, mut spoilt) = ((false, false), (false, false), false);
            for event in events {
                match event {
                    Happens::Sent(n) => { ledger.note_sent(n); sent.0 |= n > 0; }
                    Happens::SentWhole => { ledger.note_sent_whole(); sent = (true, true); }
                    Happens::Got(n) => { ledger.note_got(n); got.0 |= n > 0; }
                    Happens::GotWhole => { ledger.note_got_whole(); got = (true, true); }
                    Happens::Ends => { ledger.note_ends(); spoilt = true; }
                    Happens::Broken => { ledger.note_broken(); spoilt = true; }
                }
            }
            let seen = match (got.0, sent.0) {
                (true, _) => Seen::Answered,
                (false, true) => Seen::Request,
                (false, false) => Seen::Nothing,
            };
            prop_assert_eq!(ledger.seen(), seen);
            prop_assert_eq!(ledger.finish(left).is_some(), sent.1 && got.1 && !spoilt && left == 0);
        }
    }

    /// RFC 9112 section 6.3, row by row: every status, version and statement of a length and of a coding.
    #[test]
    fn the_framing_of_every_answer_is_the_standards() {
        let lengths: [(&str, Result<Option<u64>, ()>); 6] = [
            ("", Ok(None)),
            ("Content-Length: 7\r\n", Ok(Some(7))),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", Err(())),
            ("Content-Length: 7, 7\r\n", Err(())),
            ("Content-Length: x\r\n", Err(())),
            ("Content-Length: 1234567890123456789\r\n", Err(())),
        ];
        let codings = [
            ("", Ok(false)),
            ("Transfer-Encoding: chunked\r\n", Ok(true)),
            ("Transfer-Encoding: CHUNKED\r\n", Ok(true)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(())),
            ("Transfer-Encoding: identity\r\n", Err(())),
            ("Transfer-Encoding:\r\n", Err(())),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(())),
        ];
        for status in 100..600_u16 {
            for (version, is_old) in [("1.1", false), ("1.0", true)] {
                for (length, declared) in lengths {
                    for (coding, chunked) in codings {
                        let text = format!("HTTP/{version} {status} x\r\n{length}{coding}\r\n");
                        let mut buffer = text.clone().into_bytes();
                        let head = HeadReader::default().read(&mut buffer).unwrap().unwrap();
                        for is_head in [false, true] {
                            let expected = match (declared, chunked) {
                                (Err(()), _) | (_, Err(())) => None,
                                (_, Ok(true)) if is_old => None,
                                _ if is_head || status < 200 || [204, 304].contains(&status) => {
                                    Some(Framing::Length(0))
                                }
                                (_, Ok(true)) => Some(Framing::Chunked),
                                (Ok(Some(length)), _) => Some(Framing::Length(length)),
                                (Ok(None), _) => Some(Framing::UntilClose),
                            };
                            let framing = head.framing(&buffer, is_head).ok();
                            assert_eq!(framing, expected, "{text:?} {is_head}");
                        }
                    }
                }
            }
        }
    }
}
