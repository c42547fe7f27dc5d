//! The PROXY protocol: whom a connection is made for, as a load balancer says it.
//!
//! Takes a connection from a network that is configured to send a header (HAProxy's proxy-protocol.txt,
//! versions 1 and 2), before its TLS; gives the address of the client. Such a connection without a whole
//! and valid header is refused: there is no guessing (section 2). A connection from anywhere else is
//! never looked at, so what it forges is simply no TLS. The header is read to its last byte and no
//! further. Where it names nobody (UNKNOWN, LOCAL, families without an address) the connection is the
//! balancer's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const LINE_PREFIX: &[u8] = b"PROXY ";
/// The longest line, with its end (section 2.1).
const MOST_LINE: usize = 107;
/// Addresses and additions behind the fixed part of version 2. Senders are told to stay below 536 bytes
/// in all (section 2); some add more.
const MOST_BLOCK: u16 = 4096;

/// Why a connection has no header.
#[derive(Debug, Error)]
pub(super) enum HeaderError {
    /// It begins with something else.
    #[error("no PROXY protocol header")]
    Missing,
    /// It ended before the header did.
    #[error("the connection ended before its PROXY protocol header")]
    Ended(#[from] io::Error),
    /// Longer than any header may be.
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// Not what the protocol says.
    #[error("the PROXY protocol header is malformed")]
    Malformed,
}

/// Reads the header that a connection must begin with, and nothing behind it. Gives whom it names, if anybody.
pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, HeaderError> {
    let mut beginning = [0; SIGNATURE.len()];
    // Twelve bytes: no header of either version is shorter (15 and 16).
    stream.read_exact(&mut beginning).await?;
    if beginning == *SIGNATURE {
        read_block(stream).await
    } else if beginning.starts_with(LINE_PREFIX) {
        read_line(stream, &beginning).await
    } else {
        Err(HeaderError::Missing)
    }
}

/// Version 1. Its end is not known beforehand, so it is read byte by byte, from the connection's buffer.
async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    beginning: &[u8],
) -> Result<Option<SocketAddr>, HeaderError> {
    let mut line = Vec::with_capacity(MOST_LINE);
    line.extend_from_slice(beginning);
    // One byte at a time: a byte too many would be TLS's, and could not be put back.
    while line.last() != Some(&b'\n') {
        if line.len() == MOST_LINE {
            return Err(HeaderError::TooLong);
        }
        line.push(stream.read_u8().await?);
    }
    parse_line(&line)
}

/// Version 2, behind its signature.
async fn read_block(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, HeaderError> {
    let version_and_command = stream.read_u8().await?;
    let family_and_protocol = stream.read_u8().await?;
    let length = stream.read_u16().await?;
    // Before it is allocated: a length may ask for 64 KiB, of which nothing need ever come.
    if length > MOST_BLOCK {
        return Err(HeaderError::TooLong);
    }
    let mut block = vec![0; usize::from(length)];
    stream.read_exact(&mut block).await?;
    parse_block(version_and_command, family_and_protocol, &block)
}

/// Reads a line of version 1 (section 2.1). What follows UNKNOWN means nothing.
fn parse_line(line: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    // Ends in LF by now; a bare one is no line of section 2.1.
    let line = line.strip_suffix(b"\r\n").ok_or(HeaderError::Malformed)?;
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let source = match words.next() {
        Some(b"UNKNOWN") => return Ok(None),
        Some(b"TCP4") => parse_words::<Ipv4Addr>(words),
        Some(b"TCP6") => parse_words::<Ipv6Addr>(words),
        _ => None,
    };
    source.map(Some).ok_or(HeaderError::Malformed)
}

/// Source, destination and their ports; gives the source.
fn parse_words<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a [u8]>,
) -> Option<SocketAddr> {
    let mut next = || std::str::from_utf8(words.next()?).ok();
    let source: A = next()?.parse().ok()?;
    // Judged though nothing needs it: a header that is half right is no header.
    let _destination: A = next()?.parse().ok()?;
    let port = parse_port(next()?)?;
    let _destination_port = parse_port(next()?)?;
    words.next().is_none().then(|| SocketAddr::new(source.into(), port))
}

/// Digits without a leading zero.
fn parse_port(text: &str) -> Option<u16> {
    // `parse` would take `+1`, as four of five crates did (decision 7).
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = text.len() > 1 && text.starts_with('0');
    if is_plain && !is_padded { text.parse().ok() } else { None }
}

/// Reads what follows the signature of version 2 (section 2.2). Additions (TLVs) are left alone.
fn parse_block(
    version_and_command: u8,
    family_and_protocol: u8,
    block: &[u8],
) -> Result<Option<SocketAddr>, HeaderError> {
    match version_and_command {
        // LOCAL: the family does not matter.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(HeaderError::Malformed),
    }
    let source = match (family_and_protocol >> 4, family_and_protocol & 0x0f) {
        (1, 1) => parse_addresses::<4>(block),
        (2, 1) => parse_addresses::<16>(block),
        // Unspecified, datagrams and AF_UNIX: nothing that a TCP client would be known by.
        (0..=3, 0..=2) => return Ok(None),
        _ => None,
    };
    source.map(Some).ok_or(HeaderError::Malformed)
}

/// Source, destination and their ports; gives the source.
fn parse_addresses<const N: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let source: [u8; N] = *block.first_chunk()?;
    let ports: [u8; 4] = *block.get(2 * N..)?.first_chunk()?;
    let [high, low, ..] = ports;
    Some(SocketAddr::new(source.into(), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    fn ipv6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &[0x12, 0x67, 0, 80]].concat()
    }

    const IPV4: [u8; 12] = [198, 51, 100, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];

    /// Reads from a connection that brings one byte at a time and then ends; gives what is left of it.
    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let (mut sender, mut receiver) = tokio::io::duplex(1);
        let receiving = async {
            let result = receive(&mut receiver).await;
            let mut rest = Vec::new();
            receiver.read_to_end(&mut rest).await.unwrap();
            (result, rest)
        };
        let sending = async {
            sender.write_all(bytes).await.unwrap();
            drop(sender);
        };
        tokio::join!(receiving, sending).0
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_last_byte_and_no_further() {
        let worst = format!("PROXY TCP6 {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MOST_LINE - 16));
        let most = [&IPV4[..], &[0xff; 4096 - 12]].concat();
        let good: [(Vec<u8>, Option<&str>); 22] = [
            (b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 80\r\n".into(), Some("198.51.100.7:4711")),
            (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".into(), Some("0.0.0.0:0")),
            (b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".into(), Some("[2001:db8::7]:4711")),
            (b"PROXY TCP6 2001:DB8::7 ::1 4711 80\r\n".into(), Some("[2001:db8::7]:4711")),
            (
                b"PROXY TCP6 ::ffff:198.51.100.7 ::1 4711 80\r\n".into(),
                Some("[::ffff:198.51.100.7]:4711"),
            ),
            (worst.into(), Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
            (b"PROXY UNKNOWN\r\n".into(), None),
            (b"PROXY UNKNOWN \r\n".into(), None),
            (b"PROXY UNKNOWN 198.51.100.7 10.0.0.1 4711 80\r\n".into(), None),
            (b"PROXY UNKNOWN a b c d e f g h \xff\r i\r\n".into(), None),
            (longest.into(), None),
            (block(0x21, 0x11, &IPV4), Some("198.51.100.7:4711")),
            (block(0x21, 0x21, &ipv6("2001:db8::7")), Some("[2001:db8::7]:4711")),
            // Additions, well formed or not.
            (block(0x21, 0x11, &[&IPV4[..], &[4, 0, 1, 0]].concat()), Some("198.51.100.7:4711")),
            (block(0x21, 0x11, &[&IPV4[..], &[1]].concat()), Some("198.51.100.7:4711")),
            (block(0x21, 0x11, &most), Some("198.51.100.7:4711")),
            // Nobody is named.
            (block(0x20, 0x00, &[]), None),
            (block(0x20, 0x11, &IPV4), None),
            (block(0x20, 0xff, &[1, 2, 3]), None),
            (block(0x21, 0x00, &IPV4), None),
            (block(0x21, 0x31, &[0; 216]), None),
            (block(0x21, 0x12, &IPV4), None),
        ];
        for (header, expected) in good {
            let (result, rest) = read_all(&[&header[..], b"\x16\x03\x01"].concat()).await;
            let shown = header.escape_ascii();
            assert_eq!(result.unwrap(), expected.map(|text| text.parse().unwrap()), "{shown}");
            assert_eq!(rest, b"\x16\x03\x01", "{shown}");
            // Each beginning of it is none.
            for length in [header.len() - 1, header.len() / 2, 13, 12, 11, 1, 0] {
                let (result, rest) = read_all(&header[..length.min(header.len() - 1)]).await;
                assert!(matches!(result, Err(HeaderError::Ended(_))), "{shown}: {length}");
                assert!(rest.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_exactly_a_header_is_refused() {
        let malformed: [Vec<u8>; 32] = [
            b"PROXY UNKNOWN\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 80\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 80 \r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 80 1\r\n".into(),
            b"PROXY  TCP4 198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP4\t198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP4  198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 65536\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 65536 80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 04711 80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 +4711 80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 -80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 \r\n".into(),
            b"PROXY TCP4 198.51.100.07 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP4 198.51.100 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP4 198.51.100.7 ::1 4711 80\r\n".into(),
            b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n".into(),
            b"PROXY TCP6 198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY TCP6 2001:db8::7%1 ::1 4711 80\r\n".into(),
            b"PROXY TCP5 198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY UDP4 198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY tcp4 198.51.100.7 10.0.0.1 4711 80\r\n".into(),
            b"PROXY UNKNOWNX\r\n".into(),
            block(0x11, 0x11, &IPV4),
            block(0x31, 0x11, &IPV4),
            block(0x22, 0x11, &IPV4),
            block(0x21, 0x41, &IPV4),
            block(0x21, 0x13, &IPV4),
            block(0x21, 0x11, &IPV4[..11]),
            block(0x21, 0x21, &IPV4),
            block(0x21, 0x21, &ipv6("2001:db8::7")[..35]),
        ];
        for header in malformed {
            let result = read_all(&[&header[..], &[0x16; 512]].concat()).await.0;
            assert!(matches!(result, Err(HeaderError::Malformed)), "{}", header.escape_ascii());
        }
        let without_end = format!("PROXY UNKNOWN {}", "x".repeat(MOST_LINE));
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MOST_LINE - 15));
        let too_much = block(0x21, 0x11, &[&IPV4[..], &[0xff; 4097 - 12]].concat());
        for header in [without_end.into_bytes(), too_long.into_bytes(), too_much] {
            let result = read_all(&header).await.0;
            assert!(matches!(result, Err(HeaderError::TooLong)), "{}", header.escape_ascii());
        }
        for begins in ["\x16\x03\x01\x02\0\x01\0\x01", "proxy TCP4 ", "PROXY\tTCP4", " PROXY TCP4"]
        {
            let result = read_all(format!("{begins} 198.51.100.7\r\n").as_bytes()).await.0;
            assert!(matches!(result, Err(HeaderError::Missing)), "{begins}");
        }
    }

    proptest! {
        /// Whatever begins like a header ends in an answer, and takes no more than a header may have.
        #[test]
        fn no_bytes_are_too_much(
            version_two: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..6000),
        ) {
            let beginning = if version_two { &SIGNATURE[..] } else { LINE_PREFIX };
            let mut connection = std::io::Cursor::new([beginning, &bytes].concat());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(receive(&mut connection));
            prop_assert!(connection.position() <= 16 + u64::from(MOST_BLOCK));
        }
    }
}
