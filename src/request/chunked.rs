//! A strict decoder of chunked bodies (RFC 9112 section 7.1).
//!
//! The backend gets the decoded body with its length, so what parsers read differently (blanks beside
//! the size, bare LF, garbage after an extension) must not pass: it is refused, where the standard
//! would let a recipient be lenient. Extensions and trailers are read and dropped.

use bytes::BytesMut;

use super::RequestError;

const LONGEST_LINE: usize = 256;
const LONGEST_TRAILER: usize = 4096;

/// The decoder of one body.
#[derive(Debug)]
pub struct ChunkedBody {
    state: State,
    line: usize,
    trailer: usize,
    body: BytesMut,
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, value: usize },
    Extension { value: usize },
    SizeEnd { value: usize },
    Data { left: usize },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

const NEXT_SIZE: State = State::Size { digits: 0, value: 0 };

impl ChunkedBody {
    /// A decoder that keeps at most `limit` bytes of body.
    pub fn new(limit: usize) -> Self {
        Self { state: NEXT_SIZE, line: 0, trailer: 0, body: BytesMut::new(), limit }
    }

    /// Reads from `input`, which it consumes up to the end of the body; what is left belongs to
    /// whatever follows. Returns whether the body is complete.
    pub fn push(&mut self, input: &mut BytesMut) -> Result<bool, RequestError> {
        while self.state != State::Done {
            if let State::Data { left } = self.state {
                if input.is_empty() {
                    return Ok(false);
                }
                let piece = input.split_to(left.min(input.len()));
                self.body.extend_from_slice(&piece);
                let left = left - piece.len();
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                continue;
            }
            let Some(byte) = input.first().copied() else {
                return Ok(false);
            };
            let _ = input.split_to(1);
            self.state = self.step(byte)?;
        }
        Ok(true)
    }

    /// The decoded body.
    pub fn into_body(self) -> BytesMut {
        self.body
    }

    fn step(&mut self, byte: u8) -> Result<State, RequestError> {
        self.line += 1;
        if self.line > LONGEST_LINE && self.trailer == 0 {
            return Err(RequestError::Chunk);
        }
        match (self.state, byte) {
            (State::Size { digits, value }, _) => size(digits, value, byte),
            (State::Extension { value }, b'\r') => Ok(State::SizeEnd { value }),
            (State::Extension { value }, 0x21..=0x7e) => Ok(State::Extension { value }),
            (State::SizeEnd { value }, b'\n') => self.begin_chunk(value),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(NEXT_SIZE),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart | State::Trailer, 0x21..=0x7e) => self.trailer_byte(),
            (State::Trailer, b' ' | b'\t' | 0x80..) => self.trailer_byte(),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::Done),
            _ => Err(RequestError::Chunk),
        }
    }

    fn begin_chunk(&mut self, value: usize) -> Result<State, RequestError> {
        self.line = 0;
        if value == 0 {
            return Ok(State::TrailerStart);
        }
        if value > self.limit - self.body.len() {
            return Err(RequestError::LengthRequired);
        }
        Ok(State::Data { left: value })
    }

    fn trailer_byte(&mut self) -> Result<State, RequestError> {
        self.trailer += 1;
        if self.trailer > LONGEST_TRAILER {
            return Err(RequestError::HeadTooLarge);
        }
        Ok(State::Trailer)
    }
}

fn size(digits: u8, value: usize, byte: u8) -> Result<State, RequestError> {
    match byte {
        b'\r' if digits > 0 => Ok(State::SizeEnd { value }),
        b';' if digits > 0 => Ok(State::Extension { value }),
        _ => {
            let digit = char::from(byte).to_digit(16).ok_or(RequestError::Chunk)?;
            if digits == 8 {
                return Err(RequestError::Chunk);
            }
            let digit = usize::try_from(digit).map_err(|_| RequestError::Chunk)?;
            Ok(State::Size { digits: digits + 1, value: value * 16 + digit })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what follows it.
    type Decoded = (Vec<u8>, Vec<u8>);

    /// Decodes in one piece and byte by byte; both must agree.
    fn decode(wire: &[u8]) -> Result<Option<Decoded>, RequestError> {
        let mut whole = ChunkedBody::new(16);
        let mut input = BytesMut::from(wire);
        let in_one = whole.push(&mut input);
        let mut single = ChunkedBody::new(16);
        let mut rest = BytesMut::new();
        let mut bytewise = Ok(false);
        for byte in wire {
            rest.extend_from_slice(&[*byte]);
            bytewise = single.push(&mut rest);
            if bytewise.is_err() {
                break;
            }
        }
        assert_eq!(in_one, bytewise, "{:?}", wire.escape_ascii().to_string());
        Ok(in_one?.then(|| (whole.into_body().to_vec(), input.to_vec())))
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
            assert_eq!(
                (body.as_slice(), rest.as_slice()),
                (&b"hello"[..], &b"GET"[..]),
                "{wire:?}"
            );
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
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n Folded: x\r\n\r\n",
            "5\r\nhello\r\n0\r\nA: b\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
        ] {
            assert_eq!(decode(wire.as_bytes()), Err(RequestError::Chunk), "{wire:?}");
        }
        let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(300));
        assert_eq!(decode(long_extension.as_bytes()), Err(RequestError::Chunk));
    }

    #[test]
    fn a_body_over_the_limit_needs_a_declared_length() {
        assert_eq!(decode(b"11\r\n"), Err(RequestError::LengthRequired));
        assert_eq!(decode(b"f\r\n123456789012345\r\n2\r\n"), Err(RequestError::LengthRequired));
    }

    #[test]
    fn an_incomplete_body_is_not_complete() {
        assert_eq!(decode(b"5\r\nhel"), Ok(None));
        assert_eq!(decode(b"5\r\nhello\r\n0\r\n"), Ok(None));
    }
}
