//! The content of a message: where it stands between what frames it (RFC 9112 section 6), read and written.
//!
//! A request's chunks are read as strictly as can be (section 7.1): what parsers read differently (blanks beside the
//! size, bare LF, garbage after an extension) is a fault where the standard would let a recipient be lenient.
//! Extensions and trailers are read and dropped, within bounds that hold for the whole body.

use super::line::is_token_byte;

const LONGEST_LINE: usize = 256;
const LONGEST_TRAILER: usize = 4096;
/// Bytes of extensions in all, beyond one for each byte of content.
const EXTENSIONS: u64 = 4096;
/// What stands behind a chunk's size, and behind its content.
const LINE_END: &[u8] = b"\r\n";
/// Digits of a chunk's size.
const MOST_DIGITS: u8 = 8;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes; zero where there is none.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// With the connection. Answers only.
    UntilClose,
}

/// Why a body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// A chunk is malformed.
    Chunk,
    /// The chunks have more content than is taken.
    TooLong,
    /// The trailer is too long.
    Trailer,
}

/// What stands at the beginning of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyRead {
    /// Bytes that only frame: they come first.
    pub skip: usize,
    /// Bytes of content behind them.
    pub content: usize,
    /// Whether the body ends there.
    pub ended: bool,
}

/// Reads one body.
#[derive(Clone, Debug)]
pub struct BodyReader(BodyLength);

#[derive(Clone, Debug)]
enum BodyLength {
    Length(u64),
    Chunks(Chunks),
    UntilClose,
}

impl BodyReader {
    /// The body of a request. Chunks have `most` bytes of content, then they are too long.
    pub fn of_request(framing: Framing, most: u64) -> Self {
        Self::new(framing, most, false)
    }

    /// The body of an answer.
    pub fn of_answer(framing: Framing) -> Self {
        // An answer passes on as it comes, and nothing of it is kept: no bound is needed.
        Self::new(framing, u64::MAX, true)
    }

    fn new(framing: Framing, most: u64, pads: bool) -> Self {
        Self(match framing {
            Framing::Length(length) => BodyLength::Length(length),
            Framing::Chunked => BodyLength::Chunks(Chunks::new(most, pads)),
            Framing::UntilClose => BodyLength::UntilClose,
        })
    }

    /// Finds what stands at the beginning of `input`, all of which belongs to the connection from here on. Whoever
    /// calls consumes what is skipped and the content before calling again.
    ///
    /// # Errors
    ///
    /// In chunks alone (RFC 9112 section 7.1): [`BodyFault::Chunk`] for what is none, [`BodyFault::TooLong`]
    /// as soon as a size announces more than is taken, [`BodyFault::Trailer`] behind 4 KiB of trailer. Nobody
    /// knows then where the next message begins.
    pub fn read(&mut self, input: &[u8]) -> Result<BodyRead, BodyFault> {
        match &mut self.0 {
            BodyLength::Length(left) => {
                // The rest of the input is the next request's, or nobody's.
                let here = u64::try_from(input.len()).unwrap_or(u64::MAX).min(*left);
                *left -= here;
                // No more than the input's length: the conversion cannot fail.
                let content = usize::try_from(here).unwrap_or(input.len());
                Ok(BodyRead { skip: 0, content, ended: *left == 0 })
            }
            BodyLength::Chunks(chunks) => chunks.read(input),
            BodyLength::UntilClose => Ok(BodyRead { skip: 0, content: input.len(), ended: false }),
        }
    }

    /// How many bytes of content are known to follow what was read: the rest of the length, or of the chunk.
    pub fn announced(&self) -> u64 {
        match &self.0 {
            BodyLength::Length(left)
            | BodyLength::Chunks(Chunks { state: Chunk::Data { left }, .. }) => *left,
            BodyLength::Chunks(_) | BodyLength::UntilClose => 0,
        }
    }

    /// Whether nothing more belongs to the body.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            BodyLength::Length(left) => *left == 0,
            BodyLength::Chunks(chunks) => chunks.state == Chunk::Done,
            BodyLength::UntilClose => false,
        }
    }

    /// Whether the end of the connection is the end of the body.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, BodyLength::UntilClose)
    }
}

#[derive(Clone, Debug)]
struct Chunks {
    state: Chunk,
    /// Whether blanks may stand behind a size: Apache 1.3 and others pad it.
    pads: bool,
    line: usize,
    trailer: usize,
    extensions: u64,
    content: u64,
    most: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { digits: u8, value: u64 },
    Padding { value: u64 },
    Extension { value: u64 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

const NEXT_SIZE: Chunk = Chunk::Size { digits: 0, value: 0 };

impl Chunks {
    fn new(most: u64, pads: bool) -> Self {
        Self { state: NEXT_SIZE, pads, line: 0, trailer: 0, extensions: 0, content: 0, most }
    }

    fn read(&mut self, input: &[u8]) -> Result<BodyRead, BodyFault> {
        let mut skip = 0;
        for byte in input {
            match self.state {
                // What stands behind the last chunk is not this body's: not one byte of it is looked at.
                Chunk::Data { .. } | Chunk::Done => break,
                _ => self.state = self.step(*byte)?,
            }
            skip += 1;
        }
        let Chunk::Data { left } = self.state else {
            return Ok(BodyRead { skip, content: 0, ended: self.state == Chunk::Done });
        };
        let content = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - skip);
        let read = u64::try_from(content).unwrap_or(0);
        self.content += read;
        let left = left - read;
        self.state = if left == 0 { Chunk::DataCr } else { Chunk::Data { left } };
        Ok(BodyRead { skip, content, ended: false })
    }

    fn step(&mut self, byte: u8) -> Result<Chunk, BodyFault> {
        self.line += 1;
        // A trailer has a bound of its own, over all of its lines.
        if self.line > LONGEST_LINE && self.trailer == 0 {
            return Err(BodyFault::Chunk);
        }
        match (self.state, byte) {
            (Chunk::Size { digits, value }, _) => self.size(digits, value, byte),
            (Chunk::Padding { value }, b' ' | b'\t') => Ok(Chunk::Padding { value }),
            (Chunk::Padding { value }, b';') => Ok(Chunk::Extension { value }),
            (Chunk::Padding { value } | Chunk::Extension { value }, b'\r') => {
                Ok(Chunk::SizeEnd { value })
            }
            // Quotes are not looked into: no CR or LF may stand in them either, so their end decides nothing.
            (Chunk::Extension { value }, 0x21..=0x7e) => self.extension(value),
            (Chunk::Extension { value }, b' ' | b'\t') if self.pads => self.extension(value),
            (Chunk::SizeEnd { value }, b'\n') => self.begin_chunk(value),
            (Chunk::DataCr, b'\r') => Ok(Chunk::DataLf),
            (Chunk::DataLf, b'\n') => Ok(NEXT_SIZE),
            (Chunk::TrailerStart, b'\r') => Ok(Chunk::EndLf),
            (Chunk::TrailerName, b':') => self.trailer_byte(Chunk::TrailerValue),
            // A name and a colon, or it is no field (RFC 9110 section 6.5).
            (Chunk::TrailerStart | Chunk::TrailerName, byte) if is_token_byte(byte) => {
                self.trailer_byte(Chunk::TrailerName)
            }
            (Chunk::TrailerValue, b'\t' | b' '..=0x7e | 0x80..) => {
                self.trailer_byte(Chunk::TrailerValue)
            }
            (Chunk::TrailerValue, b'\r') => Ok(Chunk::TrailerLf),
            (Chunk::TrailerLf, b'\n') => Ok(Chunk::TrailerStart),
            (Chunk::EndLf, b'\n') => Ok(Chunk::Done),
            _ => Err(BodyFault::Chunk),
        }
    }

    fn size(&self, digits: u8, value: u64, byte: u8) -> Result<Chunk, BodyFault> {
        match byte {
            b'\r' if digits > 0 => Ok(Chunk::SizeEnd { value }),
            b';' if digits > 0 => Ok(Chunk::Extension { value }),
            b' ' | b'\t' if digits > 0 && self.pads => Ok(Chunk::Padding { value }),
            // Zeros in front count as well: a size without end would be read for ever, and others may
            // overflow.
            _ if digits == MOST_DIGITS => Err(BodyFault::Chunk),
            _ => {
                let digit = char::from(byte).to_digit(16).ok_or(BodyFault::Chunk)?;
                Ok(Chunk::Size { digits: digits + 1, value: value * 16 + u64::from(digit) })
            }
        }
    }

    /// Bounded in sum, too: content in chunks of one byte each could carry any number of them.
    fn extension(&mut self, value: u64) -> Result<Chunk, BodyFault> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS + self.content {
            return Err(BodyFault::Chunk);
        }
        Ok(Chunk::Extension { value })
    }

    fn begin_chunk(&mut self, value: u64) -> Result<Chunk, BodyFault> {
        self.line = 0;
        if value == 0 {
            return Ok(Chunk::TrailerStart);
        }
        // Before a byte of it is read: who announces too much is told so at once.
        if value > self.most.saturating_sub(self.content) {
            return Err(BodyFault::TooLong);
        }
        Ok(Chunk::Data { left: value })
    }

    fn trailer_byte(&mut self, next: Chunk) -> Result<Chunk, BodyFault> {
        self.trailer += 1;
        if self.trailer > LONGEST_TRAILER {
            return Err(BodyFault::Trailer);
        }
        Ok(next)
    }
}

/// Writes one body. What was promised is what is written: no byte more, and the end only behind the last.
///
/// Content need not be copied to be framed: what stands before a piece is written behind what waits to be sent, the
/// piece is sent from where it lies, as much of it as is taken, and what stands behind it follows.
#[derive(Debug)]
pub struct BodyWriter {
    left: Option<u64>,
    is_chunked: bool,
    /// What is still to come of the chunk whose size was written.
    open: usize,
}

/// More was written than was promised, or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAsPromised;

impl BodyWriter {
    /// A body that ends as is said.
    pub fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self { left, is_chunked: framing == Framing::Chunked, open: 0 }
    }

    /// Writes a piece behind `out`. An empty one writes nothing: a chunk of no bytes would be the last.
    ///
    /// # Errors
    ///
    /// [`NotAsPromised`] if the piece is longer than what is left of the promised length. Nothing of it was
    /// written.
    pub fn write(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), NotAsPromised> {
        while !piece.is_empty() {
            let (now, later) = piece.split_at(self.begin(piece.len(), out)?);
            out.extend_from_slice(now);
            out.extend_from_slice(self.take(now.len())?);
            piece = later;
        }
        Ok(())
    }

    /// Writes what stands before a piece of so many bytes behind `out`; gives how many of them come next: all, unless
    /// a chunk of fewer is begun. Whoever calls says what was taken of it before calling for anything else.
    ///
    /// # Errors
    ///
    /// [`NotAsPromised`] if the piece is longer than what is left of the promised length. Nothing was
    /// written.
    pub fn begin(&mut self, piece: usize, out: &mut Vec<u8>) -> Result<usize, NotAsPromised> {
        let length = u64::try_from(piece).unwrap_or(u64::MAX);
        // Refused and not cut: behind its length an answer's surplus would be the next answer.
        if self.left.is_some_and(|left| left < length) {
            return Err(NotAsPromised);
        }
        if !self.is_chunked {
            return Ok(piece);
        }
        if self.open == 0 && piece > 0 {
            push_hexadecimal(piece, out);
            out.extend_from_slice(LINE_END);
            self.open = piece;
        }
        Ok(piece.min(self.open))
    }

    /// What stands behind so many bytes of the piece that was begun, if they are taken.
    pub fn behind(&self, taken: usize) -> &'static [u8] {
        if self.is_chunked && taken > 0 && taken == self.open { LINE_END } else { b"" }
    }

    /// Notes that so many bytes were taken of the piece that was begun; gives what stands behind them.
    ///
    /// # Errors
    ///
    /// [`NotAsPromised`] for more than is left of the promised length, or of the chunk that was begun.
    pub fn take(&mut self, taken: usize) -> Result<&'static [u8], NotAsPromised> {
        let behind = self.behind(taken);
        if let Some(left) = &mut self.left {
            let length = u64::try_from(taken).unwrap_or(u64::MAX);
            *left = left.checked_sub(length).ok_or(NotAsPromised)?;
        }
        if self.is_chunked {
            self.open = self.open.checked_sub(taken).ok_or(NotAsPromised)?;
        }
        Ok(behind)
    }

    /// Writes the end: the only place that writes a last chunk.
    ///
    /// # Errors
    ///
    /// [`NotAsPromised`] if less was written than was promised, or a chunk was begun and not written to its
    /// end. Nothing was written now, so that what was cut looks cut (RFC 9112 section 8).
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), NotAsPromised> {
        // What was cut must look cut (RFC 9112 section 8): a last chunk behind half of one would make it
        // whole.
        if self.left.is_some_and(|left| left > 0) || self.open > 0 {
            return Err(NotAsPromised);
        }
        if self.is_chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }
}

fn push_hexadecimal(number: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // By hand: the formatter takes 25 ns for each chunk.
    let width = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..width).rev() {
        out.extend(DIGITS.get((number >> (4 * place)) & 0xf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content and what follows it.
    type Decoded = (Vec<u8>, Vec<u8>);

    /// Reads what is here and then the next piece, cut where it is told.
    fn read_all(reader: &mut BodyReader, pieces: &[&[u8]]) -> Result<Option<Decoded>, BodyFault> {
        let (mut buffer, mut content) = (Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                let BodyRead { skip, content: length, ended } = reader.read(&buffer)?;
                content.extend_from_slice(&buffer[skip..skip + length]);
                buffer.drain(..skip + length);
                if ended {
                    assert!(reader.is_whole());
                    buffer.extend(
                        pieces.iter().skip_while(|p| *p != piece).skip(1).copied().flatten(),
                    );
                    return Ok(Some((content, buffer)));
                }
                if skip + length == 0 {
                    break;
                }
            }
        }
        assert!(!reader.is_whole());
        Ok(None)
    }

    /// Decodes in one piece and byte by byte; both must agree.
    fn decode(wire: &[u8]) -> Result<Option<Decoded>, BodyFault> {
        let new = || BodyReader::of_request(Framing::Chunked, 16);
        let whole = read_all(&mut new(), &[wire]);
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        let bytewise = read_all(&mut new(), &single);
        let content = |decoded: &Result<Option<Decoded>, BodyFault>| {
            decoded.clone().map(|decoded| decoded.map(|decoded| decoded.0))
        };
        assert_eq!(content(&whole), content(&bytewise), "{:?}", wire.escape_ascii().to_string());
        whole
    }

    #[test]
    fn a_complete_body_is_decoded_and_the_rest_left() {
        for wire in [
            "5\r\nhello\r\n0\r\n\r\n",
            "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n0;x\r\nTrailer: v w\r\n\r\n",
            "00000005\r\nhello\r\n0\r\n\r\n",
        ] {
            let with_next = format!("{wire}GET");
            let (body, rest) = decode(with_next.as_bytes()).unwrap().unwrap();
            assert_eq!((&*body, &*rest), (&b"hello"[..], &b"GET"[..]), "{wire:?}");
        }
    }

    #[test]
    fn every_single_fault_is_refused() {
        for wire in [
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5\t\r\nhello\r\n0\r\n\r\n",
            "5; a\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;a\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-1\r\nhello\r\n0\r\n\r\n",
            "000000005\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n Folded: x\r\n\r\n",
            "5\r\nhello\r\n0\r\nA: b\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\r\nfoo\r\n\r\n",
            "5\r\nhello\r\n0\r\n: v\r\n\r\n",
            "5\r\nhello\r\n0\r\na b: v\r\n\r\n",
        ] {
            assert_eq!(decode(wire.as_bytes()), Err(BodyFault::Chunk), "{wire:?}");
        }
        let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300));
        assert_eq!(decode(long_extension.as_bytes()), Err(BodyFault::Chunk));
        let long_trailer = format!("0\r\na: {}\r\n\r\n", "a".repeat(5000));
        assert_eq!(decode(long_trailer.as_bytes()), Err(BodyFault::Trailer));
    }

    #[test]
    fn extensions_are_bounded_in_sum() {
        let mut reader = BodyReader::of_request(Framing::Chunked, u64::MAX);
        let chunk = format!("1;{}\r\na\r\n", "x".repeat(250));
        let chunks = chunk.repeat(1000);
        assert_eq!(read_all(&mut reader, &[chunks.as_bytes()]), Err(BodyFault::Chunk));
        let mut reader = BodyReader::of_request(Framing::Chunked, u64::MAX);
        let modest = format!("{}0\r\n\r\n", "8;x=1\r\nabcdefgh\r\n".repeat(2000));
        assert!(read_all(&mut reader, &[modest.as_bytes()]).unwrap().is_some());
    }

    #[test]
    fn a_backend_may_pad_its_sizes() {
        for wire in ["5  \r\nhello\r\n0\r\n\r\n", "5 ;a = b\r\nhello\r\n0   \r\n\r\n"] {
            let mut reader = BodyReader::of_answer(Framing::Chunked);
            let (body, _) = read_all(&mut reader, &[wire.as_bytes()]).unwrap().unwrap();
            assert_eq!(body, b"hello", "{wire:?}");
        }
        let mut reader = BodyReader::of_answer(Framing::Chunked);
        assert_eq!(read_all(&mut reader, &[b"5 5\r\n"]), Err(BodyFault::Chunk));
    }

    #[test]
    fn a_body_over_the_limit_is_too_long() {
        assert_eq!(decode(b"11\r\n"), Err(BodyFault::TooLong));
        assert_eq!(decode(b"f\r\n123456789012345\r\n2\r\n"), Err(BodyFault::TooLong));
    }

    #[test]
    fn an_incomplete_body_is_not_complete() {
        assert_eq!(decode(b"5\r\nhel"), Ok(None));
        assert_eq!(decode(b"5\r\nhello\r\n0\r\n"), Ok(None));
    }

    #[test]
    fn a_declared_length_ends_where_it_says() {
        let mut reader = BodyReader::of_answer(Framing::Length(5));
        assert_eq!(reader.read(b"hel"), Ok(BodyRead { skip: 0, content: 3, ended: false }));
        assert_eq!(reader.read(b"loX"), Ok(BodyRead { skip: 0, content: 2, ended: true }));
        assert!(BodyReader::of_answer(Framing::Length(0)).is_whole());
        let mut reader = BodyReader::of_answer(Framing::UntilClose);
        assert_eq!(reader.read(b"ab"), Ok(BodyRead { skip: 0, content: 2, ended: false }));
        assert!(reader.ends_with_connection() && !reader.is_whole());
    }

    #[test]
    fn what_is_written_is_what_was_promised() {
        let mut out = Vec::new();
        let mut writer = BodyWriter::new(Framing::Chunked);
        for piece in [&b"hello"[..], b"", &[b'x'; 300]] {
            writer.write(piece, &mut out).unwrap();
        }
        writer.end(&mut out).unwrap();
        let mut reader = BodyReader::of_request(Framing::Chunked, 1000);
        let (content, rest) = read_all(&mut reader, &[&out]).unwrap().unwrap();
        assert_eq!((content.len(), rest.len()), (305, 0));
        let mut writer = BodyWriter::new(Framing::Length(3));
        assert_eq!(writer.write(b"abcd", &mut out), Err(NotAsPromised));
        assert_eq!(writer.begin(4, &mut out), Err(NotAsPromised));
        assert_eq!(writer.take(4), Err(NotAsPromised));
        let mut writer = BodyWriter::new(Framing::Length(3));
        writer.write(b"ab", &mut out).unwrap();
        assert_eq!(writer.end(&mut out), Err(NotAsPromised));
    }

    #[test]
    fn what_is_taken_by_parts_is_one_chunk() {
        let (mut out, mut writer) = (Vec::new(), BodyWriter::new(Framing::Chunked));
        assert_eq!(writer.begin(5, &mut out), Ok(5));
        assert_eq!((writer.behind(3), writer.behind(5)), (&b""[..], &b"\r\n"[..]));
        out.extend_from_slice(b"hel");
        assert_eq!(writer.take(3), Ok(&b""[..]));
        assert_eq!(writer.take(3), Err(NotAsPromised), "more than the chunk has");
        // More may have come since the chunk was begun.
        assert_eq!(writer.begin(9, &mut out), Ok(2));
        out.extend_from_slice(b"lo");
        assert_eq!(writer.take(2), Ok(&b"\r\n"[..]));
        assert_eq!(out, b"5\r\nhello");
        assert_eq!(writer.begin(1, &mut out), Ok(1));
        assert_eq!(writer.end(&mut out), Err(NotAsPromised), "in the middle of a chunk");
    }

    #[test]
    fn what_is_known_to_follow_is_told() {
        let mut reader = BodyReader::of_answer(Framing::Length(5));
        reader.read(b"he").unwrap();
        assert_eq!(reader.announced(), 3);
        let mut reader = BodyReader::of_answer(Framing::Chunked);
        assert_eq!(reader.announced(), 0);
        reader.read(b"ff\r\nhe").unwrap();
        assert_eq!(reader.announced(), 253);
        assert_eq!(BodyReader::of_answer(Framing::UntilClose).announced(), 0);
    }
}
