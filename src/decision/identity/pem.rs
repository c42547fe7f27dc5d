//! PEM files (RFC 7468) of certificates, revocation lists and private keys, read whole and strictly.
//!
//! Whoever wrote a block meant it to count. A reader that passes by what it does not recognise, as libraries do,
//! drops a revocation list for a blank before its first line, and nobody hears of it. So everything in a file is
//! either a block of the kind that is read there, or text that cannot have been meant as one, such as what openssl
//! prints above its blocks. All else is a mistake with its line: armour that is not quite armour, base64 without
//! any, a block that does not end, or of another kind, and bytes that are no text.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use thiserror::Error;

const CERTIFICATE: &str = "CERTIFICATE";
const LIST: &str = "X509 CRL";
const PKCS8: &str = "PRIVATE KEY";
const PKCS1: &str = "RSA PRIVATE KEY";
const SEC1: &str = "EC PRIVATE KEY";
/// openssl writes the curve above the key, which names it too.
const PARAMETERS: &str = "EC PARAMETERS";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Bytes of a label that is told: known ones are shorter.
const LONGEST_LABEL: usize = 32;
/// Characters of base64 that no word has.
const LONGEST_WORD: usize = 60;

/// What is wrong with a file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFault {
    /// Counted from 1; nothing if it is the file as a whole.
    pub line: Option<usize>,
    what: PemDefect,
}

impl PemFault {
    /// The mistake with its file and line.
    pub fn in_file(&self, file: impl fmt::Display) -> String {
        match self.line {
            Some(line) => format!("{file}:{line} {}", self.what),
            None => format!("{file} {}", self.what),
        }
    }
}

impl std::error::Error for PemFault {}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} {}", self.what),
            None => self.what.fmt(f),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum PemDefect {
    #[error("has no {0}")]
    Nothing(&'static str),
    #[error("is binary (DER or PKCS #12), not PEM")]
    Der,
    #[error("is UTF-16, not plain text: save it as UTF-8")]
    Utf16,
    #[error("has a byte order mark: save it without")]
    Mark,
    #[error("has bytes that are no text")]
    Binary,
    #[error(
        "looks like the begin or end of a block and is none: -----BEGIN ...-----, in capitals, from the first column"
    )]
    Armour,
    #[error("has base64 outside a block")]
    Naked,
    #[error("begins a block that does not end")]
    Endless,
    #[error("begins a block within another one")]
    Within,
    #[error("ends another block than the one that began")]
    OtherEnd,
    #[error("is no base64")]
    NoBase64,
    #[error("begins a block without content, or one that is no whole base64")]
    Incomplete,
    #[error("begins a block of another kind ({0})")]
    OtherKind(Box<str>),
    #[error("begins an encrypted private key: decrypt it first, as openssl pkey does")]
    Encrypted,
    #[error("begins a second private key")]
    SecondKey,
}

impl PemDefect {
    fn at(self, line: usize) -> PemFault {
        PemFault { line: Some(line), what: self }
    }

    fn of_file(self) -> PemFault {
        PemFault { line: None, what: self }
    }
}

/// What a block of a file holds.
pub struct Block {
    /// The line that it begins in, counted from 1; 0 in a file that is not PEM.
    pub line: usize,
    /// Its content.
    pub der: Vec<u8>,
    label: String,
}

impl Block {
    /// Its content as a certificate.
    pub fn into_certificate(self) -> CertificateDer<'static> {
        self.der.into()
    }
}

/// The certificates of a file in PEM, at least one.
///
/// # Errors
///
/// [`PemFault`] for a file without a certificate, with a block of another kind, or with anything that may
/// have been meant as a block and is none (RFC 7468). No certificate of the file counts then.
pub fn certificates(bytes: &[u8]) -> Result<Vec<Block>, PemFault> {
    all(bytes, CERTIFICATE, "certificate")
}

/// The certificates of a file in PEM, or the one of a file in DER.
///
/// # Errors
///
/// As [`certificates`]. Of a file in DER nothing is judged here: whoever parses the certificate does it.
pub fn certificates_or_der(bytes: &[u8]) -> Result<Vec<Block>, PemFault> {
    // Authorities publish both under one suffix (.crt, .crl).
    if is_der(bytes) { Ok(vec![in_der(bytes)]) } else { certificates(bytes) }
}

/// The revocation lists of a file in PEM, at least one, or the one of a file in DER.
///
/// # Errors
///
/// [`PemFault`] for a file in PEM without a list, with a block of another kind, or with anything that may
/// have been meant as a block and is none. No list of the file counts then. Of one in DER nothing is judged
/// here.
pub fn lists(bytes: &[u8]) -> Result<Vec<Block>, PemFault> {
    if is_der(bytes) { Ok(vec![in_der(bytes)]) } else { all(bytes, LIST, "revocation list") }
}

/// The one private key of a file in PEM.
///
/// # Errors
///
/// [`PemFault`] for a file without a private key, with two, with an encrypted one, or with any other block
/// but the parameters of a curve; also for DER.
pub fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PemFault> {
    let mut key = None;
    for block in read(bytes)? {
        let read = match block.label.as_str() {
            PARAMETERS => continue,
            PKCS8 => PrivatePkcs8KeyDer::from(block.der).into(),
            PKCS1 => PrivatePkcs1KeyDer::from(block.der).into(),
            SEC1 => PrivateSec1KeyDer::from(block.der).into(),
            _ => return Err(other_kind(&block)),
        };
        // Which of two was meant nobody can tell, and a wrong one would fail far from here.
        if key.replace(read).is_some() {
            return Err(PemDefect::SecondKey.at(block.line));
        }
    }
    key.ok_or_else(|| PemDefect::Nothing("private key").of_file())
}

fn all(bytes: &[u8], label: &str, kind: &'static str) -> Result<Vec<Block>, PemFault> {
    let blocks = read(bytes)?;
    // Whatever the file has besides was meant to count as well (decision 15).
    if let Some(other) = blocks.iter().find(|block| block.label != label) {
        return Err(other_kind(other));
    }
    if blocks.is_empty() { Err(PemDefect::Nothing(kind).of_file()) } else { Ok(blocks) }
}

fn in_der(bytes: &[u8]) -> Block {
    Block { line: 0, der: bytes.to_vec(), label: String::new() }
}

fn other_kind(block: &Block) -> PemFault {
    let label = match block.label.as_str() {
        ENCRYPTED => return PemDefect::Encrypted.at(block.line),
        label if label.len() <= LONGEST_LABEL => label,
        _ => "a long label",
    };
    PemDefect::OtherKind(label.into()).at(block.line)
}

/// A sequence longer than any text would begin: `0` is a digit, too.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, length, ..] if length & 0x80 != 0)
}

/// A block that is being read.
struct OpenBlock<'a> {
    line: usize,
    label: &'a str,
    base64: String,
}

impl OpenBlock<'_> {
    fn take(&mut self, text: &str, number: usize) -> Result<(), PemFault> {
        if text.starts_with("-----BEGIN") {
            return Err(PemDefect::Within.at(number));
        }
        // RFC 1421, as openssl wrote keys under a passphrase.
        if text.starts_with("Proc-Type:") || text.starts_with("DEK-Info:") {
            return Err(PemDefect::Encrypted.at(self.line));
        }
        // A blank within a line, too: the strict form of RFC 7468 section 3 has none.
        if !text.bytes().all(|byte| is_base64(byte) || byte == b'=') {
            return Err(PemDefect::NoBase64.at(number));
        }
        self.base64.push_str(text);
        Ok(())
    }

    fn end(self) -> Result<Block, PemFault> {
        // Over all lines at once: padding in the middle of a block is no base64.
        let der = STANDARD.decode(&self.base64).ok().filter(|der| !der.is_empty());
        let der = der.ok_or_else(|| PemDefect::Incomplete.at(self.line))?;
        Ok(Block { line: self.line, der, label: self.label.to_owned() })
    }
}

/// Every block of a file, whatever its kind.
fn read(bytes: &[u8]) -> Result<Vec<Block>, PemFault> {
    judge_encoding(bytes)?;
    let (mut blocks, mut open): (Vec<Block>, Option<OpenBlock<'_>>) = (Vec::new(), None);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        // Outside blocks as well: what is no text could be armour in another encoding.
        let text = text_of(line).ok_or_else(|| PemDefect::Binary.at(number))?;
        let Some(mut block) = open.take() else {
            match armour(text, "-----BEGIN ") {
                Some(label) => {
                    open = Some(OpenBlock { line: number, label, base64: String::new() })
                }
                None => judge_text(text).map_err(|what| what.at(number))?,
            }
            continue;
        };
        // Another label ends nothing: a part of one block and a part of another may have been joined.
        match armour(text, "-----END ") {
            Some(label) if label == block.label => blocks.push(block.end()?),
            Some(_) => return Err(PemDefect::OtherEnd.at(number)),
            None => {
                block.take(text, number)?;
                open = Some(block);
            }
        }
    }
    match open {
        Some(block) => Err(PemDefect::Endless.at(block.line)),
        None => Ok(blocks),
    }
}

fn judge_encoding(bytes: &[u8]) -> Result<(), PemFault> {
    let what = match bytes {
        bytes if is_der(bytes) => PemDefect::Der,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => PemDefect::Utf16,
        // UTF-16 without its mark has a zero beside each Latin letter.
        [first, second, ..] if (*first == 0) != (*second == 0) => PemDefect::Utf16,
        [0xef, 0xbb, 0xbf, ..] => PemDefect::Mark,
        _ => return Ok(()),
    };
    Err(what.of_file())
}

/// A line without what ends it and blanks at its end; nothing if it is no text.
fn text_of(line: &[u8]) -> Option<&str> {
    // Files from Windows.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).ok()?;
    let is_text = !text.contains(|c: char| c.is_control() && c != '\t');
    is_text.then(|| text.trim_end_matches([' ', '\t']))
}

/// The label of a line that begins, or ends, a block.
fn armour<'a>(text: &'a str, begins: &str) -> Option<&'a str> {
    let label = text.strip_prefix(begins)?.strip_suffix("-----")?;
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    (!label.is_empty() && label.bytes().all(plain)).then_some(label)
}

/// Refuses what stands outside blocks and may have been meant as one.
fn judge_text(text: &str) -> Result<(), PemDefect> {
    // In the middle of a file it comes of files that were joined, and hides the armour behind it.
    if text.contains('\u{feff}') {
        return Err(PemDefect::Mark);
    }
    if is_like_armour(text) {
        return Err(PemDefect::Armour);
    }
    // DER of more than a few bytes begins with these letters.
    let trimmed = text.trim_start();
    let is_long =
        trimmed.len() >= LONGEST_WORD || (trimmed.len() > 16 && trimmed.starts_with("MI"));
    if is_long && trimmed.trim_end_matches('=').bytes().all(is_base64) {
        return Err(PemDefect::Naked);
    }
    Ok(())
}

/// Words that labels begin with.
const OF_LABELS: [&str; 14] = [
    "CERTIFICATE",
    "CERTIFICATES",
    "X509",
    "X",
    "CRL",
    "PRIVATE",
    "PUBLIC",
    "RSA",
    "EC",
    "DSA",
    "ENCRYPTED",
    "TRUSTED",
    "PKCS7",
    "KEY",
];

/// Dashes in a row, of whatever kind; or, with fewer, a word of armour.
fn is_like_armour(text: &str) -> bool {
    // Word processors make other dashes of hyphens.
    let is_dash =
        |c: char| matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}');
    let mut longest = 0;
    for run in text.split(|c| !is_dash(c)) {
        longest = longest.max(run.chars().count());
    }
    // `-----begin` is no armour to any reader, and was meant as one.
    let upper = text.to_uppercase();
    let words: Vec<&str> =
        upper.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_mark = |word: &str| word == "BEGIN" || word == "END";
    let names_a_block = words.windows(2).any(|pair| match pair {
        [mark, label] => is_mark(mark) && OF_LABELS.contains(label),
        _ => false,
    });
    // Five dashes alone are a ruler, which is refused too: a label may have been lost between them.
    longest >= 5 || names_a_block || (longest >= 2 && words.into_iter().any(is_mark))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n";

    fn fault(text: impl AsRef<[u8]>) -> (Option<usize>, PemDefect) {
        let fault = lists(text.as_ref()).map(|_| ()).expect_err("a fault");
        (fault.line, fault.what)
    }

    #[test]
    fn text_outside_blocks_is_no_mistake() {
        let openssl = "Certificate Revocation List (CRL):\n        Version 2 (0x1)\n    \
            Issuer: C = BR, O = ICP-Brasil\n---\nRevoked Certificates:\n    Serial Number: 05\n \
            \t 6e:0b:ff:06:9a:26:99:4c:15:de:2c:48:88:cc:54:af:84:88:2e:54\n# AC Raíz, até 2032\n\
            Bag Attributes\n===========\nModulus=00AB\n# the beginning, and the end of it\n";
        for text in [
            ONE.to_owned(),
            openssl.to_owned() + ONE + openssl,
            ONE.replace('\n', "\r\n"),
            ONE.replace('\n', "  \t\n"),
            ONE.replace("MAMC", "MA\nMC"),
            ONE.trim_end().to_owned(),
        ] {
            let blocks = lists(text.as_bytes()).unwrap();
            assert_eq!(blocks.len(), 1);
            assert_eq!(blocks.first().unwrap().der, [0x30, 3, 2, 1, 1]);
        }
        assert_eq!(lists((openssl.to_owned() + ONE).as_bytes()).unwrap().first().unwrap().line, 13);
    }

    #[test]
    fn what_may_have_been_meant_as_a_block_is_a_mistake_with_its_line() {
        for like in [
            "-----BEGIN CRL",
            " -----BEGIN X509 CRL-----",
            "\t-----BEGIN X509 CRL-----",
            "-----begin x509 crl-----",
            "-----BEGIN x509 CRL-----",
            "----BEGIN X509 CRL----",
            "--- BEGIN ---",
            "—–—BEGIN X509 CRL—–—",
            "BEGIN X509 CRL",
            "Begin Certificate",
            "# -----BEGIN X509 CRL-----",
            "-----BEGINX509 CRL-----",
            "-----BEGIN -----",
            "-----END X509 CRL-----",
            "----------",
            "\u{200b}-----BEGIN X509 CRL-----",
        ] {
            assert_eq!(
                fault(format!("{ONE}{like}\n{ONE}")),
                (Some(4), PemDefect::Armour),
                "{like}"
            );
        }
        let long = "A".repeat(60);
        for naked in ["MIIBszCBnAIBATANBgkqhkiG9w0B", "  MIIBszCBnAIBATANBgkqhkiG9w0B=", &long] {
            assert_eq!(fault(format!("{ONE}\n{naked}\n")), (Some(5), PemDefect::Naked), "{naked}");
        }
        for binary in [&b"\x30\x82\x01"[..], b"\0", b"a\rb", b"\x1b[2J", b"\xff", b"\x0c"] {
            let text = [ONE.as_bytes(), binary, b"\n"].concat();
            assert_eq!(fault(text), (Some(4), PemDefect::Binary), "{binary:?}");
        }
        assert_eq!(fault(format!("{ONE}\u{feff}{ONE}")), (Some(4), PemDefect::Mark));
    }

    #[test]
    fn a_block_is_whole_or_a_mistake() {
        let with = |body: &str| format!("# text\n{}", ONE.replace("MAMCAQE=", body));
        for (text, line, what) in [
            (with(""), 2, PemDefect::Incomplete),
            (with("MAMCAQE"), 2, PemDefect::Incomplete),
            (with("MAMC=AQE"), 2, PemDefect::Incomplete),
            (with("MAMCAQF="), 2, PemDefect::Incomplete),
            (with("MAMC\n  AQE="), 4, PemDefect::NoBase64),
            (with("MAMC\n# text\nAQE="), 4, PemDefect::NoBase64),
            (with("MAMC\n----END X509 CRL-----"), 4, PemDefect::NoBase64),
            (with("MAMC\n-----BEGIN X509 CRL-----"), 4, PemDefect::Within),
            (with("MAMC\n-----END CERTIFICATE-----"), 4, PemDefect::OtherEnd),
            (with("MAMCAQE=").replace("-----END X509 CRL-----", ""), 2, PemDefect::Endless),
            (with("MAMCAQE=").replace("X509 CRL", "CRL"), 2, PemDefect::OtherKind("CRL".into())),
            (
                with("MAMCAQE=").replace("X509 CRL", "CERTIFICATE"),
                2,
                PemDefect::OtherKind("CERTIFICATE".into()),
            ),
        ] {
            assert_eq!(fault(&text), (Some(line), what), "{text}");
        }
        for (bytes, what) in [
            (&b""[..], PemDefect::Nothing("revocation list")),
            (b"no block at all\n", PemDefect::Nothing("revocation list")),
            (b"\xff\xfe-\0-\0", PemDefect::Utf16),
            (b"-\0-\0-\0", PemDefect::Utf16),
            (b"\0-\0-\0-", PemDefect::Utf16),
            (b"\xef\xbb\xbf-----BEGIN X509 CRL-----", PemDefect::Mark),
        ] {
            assert_eq!(fault(bytes), (None, what), "{bytes:?}");
        }
        let der = certificates(b"\x30\x82\x01\x01").map(|_| ()).unwrap_err();
        assert_eq!(der.in_file("ca.pem"), "ca.pem is binary (DER or PKCS #12), not PEM");
    }

    #[test]
    fn a_file_has_one_private_key_that_can_be_read() {
        let block =
            |label: &str| format!("-----BEGIN {label}-----\nMAMCAQE=\n-----END {label}-----\n");
        for label in [PKCS8, PKCS1, SEC1] {
            assert!(private_key(block(label).as_bytes()).is_ok());
        }
        assert!(private_key((block(PARAMETERS) + &block(SEC1)).as_bytes()).is_ok());
        let legacy = block(PKCS1).replace("MAMC", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nMAMC");
        for (text, line, what) in [
            (block(ENCRYPTED), Some(1), PemDefect::Encrypted),
            (legacy, Some(1), PemDefect::Encrypted),
            (block(PKCS8) + &block(PKCS8), Some(4), PemDefect::SecondKey),
            (block(PKCS8) + &block(CERTIFICATE), Some(4), PemDefect::OtherKind(CERTIFICATE.into())),
            (block(PARAMETERS), None, PemDefect::Nothing("private key")),
        ] {
            let fault = private_key(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!((fault.line, fault.what), (line, what), "{text}");
        }
    }
}
