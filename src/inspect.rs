//! Certificates and keys without a gateway: `portaria cert`, `trust`, `jwks` and `jws`.
//!
//! Judges through the very code that the gateway runs ([`cert`], [`jws`]), tells what it reads from a
//! certificate ([`reading`]) and why a request was refused ([`explain_online`]), sorts what a certification
//! authority publishes into what may be an anchor and what may not ([`import`]), and shows what a
//! configuration trusts ([`show`]) and which keys its issuers have ([`jwks`]).

pub mod cert;
pub mod explain_online;
#[cfg(feature = "tools")]
pub mod import;
pub mod jwks;
pub mod jws;
pub mod reading;
pub mod show;

use std::path::{Path, PathBuf};

use thiserror::Error;
use x509_parser::time::ASN1Time;

use crate::identity::name::NameError;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum InspectError {
    /// A file cannot be read.
    #[error("{}: cannot be read ({error}), accepted: a readable file", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written ({error})", file.display())]
    Unwritable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The time is none.
    #[error("--at {0:?} is not understood, accepted: a time such as 2026-11-22T12:00:00Z")]
    Time(String),
    /// An argument is not what it should be.
    #[error("{0}")]
    Argument(String),
    /// The runtime cannot be.
    #[error("the runtime cannot start: {0}")]
    Runtime(std::io::Error),
    /// The distinguished name to compare with is none.
    #[error("--subject-dn: {0}, accepted: a name such as CN=tpp.example,O=Seguradora,C=BR")]
    Name(NameError),
    /// A source holds something else than certificates.
    #[error("{}: {what}, accepted: certificates in PEM or DER, a directory or a zip of them", file.display())]
    Source {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A source is not on the list of digests, or not as it is listed.
    #[error("{}: its SHA-512 is not on the list, accepted: a source as it was published", file.display())]
    Digest {
        /// Which.
        file: PathBuf,
    },
    /// There is nothing to trust.
    #[error("no root of the generations {0} that is valid, accepted: roots of ICP-Brasil")]
    NoRoot(String),
    /// The gateway does not answer.
    #[error(
        "the admin listener {address} does not answer ({error}), accepted: a gateway that runs with this configuration"
    )]
    Admin {
        /// Where it should be.
        address: std::net::SocketAddr,
        /// What the network says.
        error: String,
    },
    /// The gateway knows of no such refusal.
    #[error(
        "no refusal of this interaction is kept, accepted: the id of one of the last that were refused"
    )]
    NoDecision,
    /// A file holds no key.
    #[error("{}: {what}, accepted: a JSON Web Key or a set of them", file.display())]
    Key {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The configuration has mistakes, which were said.
    #[error("nothing is shown of a configuration with mistakes")]
    Configuration,
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, InspectError> {
    std::fs::read(file).map_err(|error| InspectError::Unreadable { file: file.to_owned(), error })
}

/// The day of a time, and the time that can be compared.
fn day(seconds: i64) -> String {
    // Certificates have years of four digits, all of which the library knows.
    let day = ASN1Time::from_timestamp(seconds).ok().map(|time| time.to_datetime().date());
    day.map_or_else(|| "?".to_owned(), |day| day.to_string())
}
