//! The version: does the endpoint answer with one that the caller asks for?
//!
//! The major version of an API is in its path, so that an endpoint has one implementation, and its full
//! version is what the answer's `x-v` says. Minor versions and patches of it are compatible: an endpoint
//! that implements 2.1.3 serves everyone who asks for 2.0.0 to 2.1.3.
//!
//! Takes the request's `x-v` and `x-min-v`; refuses if none of the versions between them is served, or if
//! they are no versions. What a version leaves out it leaves open, as clients of the Australian rules that the
//! fields come from write them: `x-v: 2` asks for any 2.x, `x-min-v: 2` for 2.0.0 and later; an empty field asks
//! for nothing. `x-v` alone asks for that version, `x-min-v` alone for it and all later ones, and an
//! `x-min-v` that is not below `x-v` counts for nothing. A request is never led to another major than its
//! path's: permissions and schemas are those of the path.
//!
//! Source: OPIN specifications, parameters x-v and x-min-v; OPIN policy of API versions 1.3.

use http::{HeaderMap, HeaderName};
use thiserror::Error;

/// The version that the caller asks for, and the one that answers.
pub const FIELD: HeaderName = HeaderName::from_static("x-v");
/// The lowest version that the caller takes.
pub const LEAST: HeaderName = HeaderName::from_static("x-min-v");

/// Why a request asks for nothing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VersionError {
    /// A field that stands twice, or is no version.
    #[error("x-v or x-min-v is repeated, or no version")]
    Malformed,
    /// The endpoint serves none of the versions.
    #[error("the endpoint serves no version between x-min-v and x-v")]
    Unsupported,
}

/// A full version: major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FullVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl FullVersion {
    /// Parses `2.1.3`: three numbers of up to nine digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b'.').map(number);
        let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { major, minor, patch })
    }

    /// Judges what a request asks for, if it asks, of an endpoint that implements this version.
    ///
    /// # Errors
    ///
    /// [`VersionError::Malformed`] for a field that stands twice or is no version,
    /// [`VersionError::Unsupported`] if none between `x-min-v` and `x-v` is served. Both are refusals.
    pub fn serves(self, headers: &HeaderMap) -> Result<(), VersionError> {
        let (asked, least) = (read(headers, &FIELD)?, read(headers, &LEAST)?);
        let first = Self { minor: 0, patch: 0, ..self };
        let is_served = match (asked, least) {
            (None, None) => true,
            (None, Some(least)) => least.lowest <= self,
            (Some(asked), least) => {
                // OPIN, x-min-v: one that is not below `x-v` is ignored.
                let least = least.map(|least| least.lowest).filter(|least| *least < asked.lowest);
                least.unwrap_or(asked.lowest) <= self && asked.highest >= first
            }
        };
        if is_served { Ok(()) } else { Err(VersionError::Unsupported) }
    }
}

/// The versions that a field can mean.
#[derive(Clone, Copy)]
struct VersionRange {
    lowest: FullVersion,
    highest: FullVersion,
}

impl VersionRange {
    /// Parses one to three numbers.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == b'.').map(number);
        let major = parts.next()??;
        let (minor, patch) = (parts.next(), parts.next());
        // One that is there must be a number.
        if minor == Some(None) || patch == Some(None) || parts.next().is_some() {
            return None;
        }
        let (minor, patch) = (minor.flatten(), patch.flatten());
        let or = |open: u32| FullVersion {
            major,
            minor: minor.unwrap_or(open),
            patch: patch.unwrap_or(open),
        };
        Some(Self { lowest: or(0), highest: or(u32::MAX) })
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    // Nine digits always fit a `u32`, so that the sum below cannot overflow.
    let fits = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u32, digit: &u8| sum * 10 + u32::from(digit - b'0');
    fits.then(|| digits.iter().fold(0, add))
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<VersionRange>, VersionError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(VersionError::Malformed);
    }
    let text = value.as_bytes().trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    VersionRange::parse(text).map(Some).ok_or(VersionError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(fields: &[(&HeaderName, &str)]) -> Result<(), VersionError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        FullVersion::parse(b"2.1.3").unwrap().serves(&headers)
    }

    #[test]
    fn versions_between_the_least_and_the_asked_are_served() {
        assert_eq!(asks(&[]), Ok(()));
        for asked in ["2.0.0", "2.0.9", "2.1.0", "2.1.3", "02.01.03", "2", "2.0", "2.1", "", " "] {
            assert_eq!(asks(&[(&FIELD, asked)]), Ok(()), "{asked}");
        }
        for asked in ["1.9.9", "2.1.4", "2.2.0", "2.10.0", "3.0.0", "0.0.0", "1", "3", "2.2", "1.9"]
        {
            assert_eq!(asks(&[(&FIELD, asked)]), Err(VersionError::Unsupported), "{asked}");
        }
        for least in ["1.0.0", "2.0.0", "2.1.3", "1", "2", "2.1", ""] {
            assert_eq!(asks(&[(&LEAST, least)]), Ok(()), "{least}");
        }
        for least in ["2.1.4", "3.0.0", "3", "2.2"] {
            assert_eq!(asks(&[(&LEAST, least)]), Err(VersionError::Unsupported), "{least}");
        }
        for (least, asked, expected) in [
            ("1.0.0", "3.0.0", Ok(())),
            ("2", "3", Ok(())),
            ("1", "2", Ok(())),
            ("3", "4", Err(VersionError::Unsupported)),
            ("1", "1", Err(VersionError::Unsupported)),
            ("2.1.3", "3.0.0", Ok(())),
            ("1.0.0", "2.0.0", Ok(())),
            ("2.1.4", "3.0.0", Err(VersionError::Unsupported)),
            ("1.0.0", "1.9.9", Err(VersionError::Unsupported)),
            // Counts for nothing.
            ("2.1.0", "2.1.0", Ok(())),
            ("9.0.0", "2.1.0", Ok(())),
            ("2.0.0", "1.0.0", Err(VersionError::Unsupported)),
        ] {
            assert_eq!(asks(&[(&LEAST, least), (&FIELD, asked)]), expected, "{least} to {asked}");
        }
    }

    #[test]
    fn what_is_no_version_is_malformed() {
        for bad in ["2.", ".2", "2.1.", "2.1.3.4", "v2.1.3", "2.1.x", "2..3", "2.1.+3", "-2.1.3"] {
            for name in [&FIELD, &LEAST] {
                assert_eq!(asks(&[(name, bad)]), Err(VersionError::Malformed), "{bad}");
            }
        }
        for bad in ["2.1.3, 2.1.3", "2.1.1234567890", "2 1"] {
            assert_eq!(asks(&[(&FIELD, bad)]), Err(VersionError::Malformed), "{bad}");
        }
        let twice = [(&FIELD, "2.1.3"), (&FIELD, "2.1.3")];
        assert_eq!(asks(&twice), Err(VersionError::Malformed));
    }
}
