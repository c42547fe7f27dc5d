//! X.509 certificates, written (RFC 5280, DER of X.690): as much as a case's certificate needs.
//!
//! The crate that the lab makes certificates with is no part of the production binary. What is written
//! here is read by the gateway's own verifier, which believes it for the length of a test run.

use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::der_parser::asn1_rs::{Oid, oid};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const TRUE: &[u8] = &[0x01, 0x01, 0xff];
const NULL: &[u8] = &[0x05, 0x00];
/// digitalSignature and keyEncipherment.
const OF_CLIENT: &[u8] = &[BIT_STRING, 0x02, 0x05, 0xa0];
/// keyCertSign and cRLSign.
const OF_AUTHORITY: &[u8] = &[BIT_STRING, 0x02, 0x01, 0x06];

/// A name: attributes in their order.
pub(super) type IssuerName = Vec<(Oid<'static>, String)>;

/// What is signed.
pub(super) struct TbsCertificate<'a> {
    pub(super) serial: u32,
    pub(super) issuer: &'a IssuerName,
    pub(super) subject: &'a IssuerName,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    /// SubjectPublicKeyInfo.
    pub(super) public_key: &'a [u8],
    pub(super) extensions: Vec<Vec<u8>>,
}

impl TbsCertificate<'_> {
    /// TBSCertificate, to be signed with RSA and SHA-256.
    pub(super) fn to_be_signed(&self) -> Vec<u8> {
        let validity = [moment(self.not_before), moment(self.not_after)].concat();
        let parts = [
            // Version 3 (RFC 5280 section 4.1.2.1).
            value(VERSION, &value(INTEGER, &[2])),
            // A serial number is positive.
            value(INTEGER, &[&[0], &self.serial.to_be_bytes()[..]].concat()),
            algorithm(),
            name(self.issuer),
            value(SEQUENCE, &validity),
            name(self.subject),
            self.public_key.to_vec(),
            value(EXTENSIONS, &value(SEQUENCE, &self.extensions.concat())),
        ];
        value(SEQUENCE, &parts.concat())
    }
}

/// A certificate of what was signed and its signature.
pub(super) fn signed(to_be_signed: &[u8], signature: &[u8]) -> Vec<u8> {
    // No bit of the last byte is unused (X.690 section 8.6.2.2).
    let bits = value(BIT_STRING, &[&[0], signature].concat());
    value(SEQUENCE, &[to_be_signed, &algorithm(), &bits].concat())
}

/// keyUsage of a client, its purpose if it names one, and the host that it is for.
pub(super) fn extensions_of_client(purpose: Option<&Oid<'_>>, host: &str) -> Vec<Vec<u8>> {
    let host = value(SEQUENCE, &value(DNS_NAME, host.as_bytes()));
    let mut extensions = vec![
        extension(&oid!(2.5.29.15), true, OF_CLIENT),
        extension(&oid!(2.5.29.17), false, &host),
    ];
    if let Some(purpose) = purpose {
        let purposes = value(SEQUENCE, &identifier(purpose));
        extensions.push(extension(&oid!(2.5.29.37), false, &purposes));
    }
    extensions
}

/// basicConstraints and keyUsage of an authority.
pub(super) fn extensions_of_authority() -> Vec<Vec<u8>> {
    let is_authority = value(SEQUENCE, TRUE);
    vec![
        extension(&oid!(2.5.29.19), true, &is_authority),
        extension(&oid!(2.5.29.15), true, OF_AUTHORITY),
    ]
}

fn extension(of: &Oid<'_>, is_critical: bool, content: &[u8]) -> Vec<u8> {
    // DER leaves out what is the default (X.690 section 11.5).
    let critical = if is_critical { TRUE } else { &[] };
    let content = value(OCTET_STRING, content);
    value(SEQUENCE, &[&identifier(of), critical, &content].concat())
}

/// sha256WithRSAEncryption.
fn algorithm() -> Vec<u8> {
    let identifier = identifier(&oid!(1.2.840.113549.1.1.11));
    // With parameters, which are NULL (RFC 4055 section 5): verifiers compare these bytes.
    value(SEQUENCE, &[&identifier, NULL].concat())
}

fn name(name: &IssuerName) -> Vec<u8> {
    let attribute = |(oid, text): &(Oid<'static>, String)| {
        // Countries and CNPJ too, which RFC 5280 has as PrintableString: OPIN lets any encoding pass (7.1.2).
        let text = value(UTF8_STRING, text.as_bytes());
        value(SET, &value(SEQUENCE, &[identifier(oid), text].concat()))
    };
    value(SEQUENCE, &name.iter().flat_map(attribute).collect::<Vec<u8>>())
}

fn identifier(oid: &Oid<'_>) -> Vec<u8> {
    value(OBJECT_IDENTIFIER, oid.as_bytes())
}

/// UTCTime through 2049, GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
fn moment(at: OffsetDateTime) -> Vec<u8> {
    let short = format_description!("[year repr:last_two][month][day][hour][minute][second]Z");
    let long = format_description!("[year][month][day][hour][minute][second]Z");
    let is_short = (1950..2050).contains(&at.year());
    let text = if is_short { at.format(short) } else { at.format(long) };
    let tag = if is_short { UTC_TIME } else { GENERALIZED_TIME };
    value(tag, text.unwrap_or_default().as_bytes())
}

/// Tag, length and content.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut value = vec![tag];
    match u8::try_from(content.len()) {
        // Longer ones say first how many bytes their length has (X.690 section 8.1.3.5).
        Ok(short) if short < 0x80 => value.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            let count = u8::try_from(significant.len()).unwrap_or_default();
            value.push(0x80 | count);
            value.extend(significant);
        }
    }
    value.extend_from_slice(content);
    value
}
