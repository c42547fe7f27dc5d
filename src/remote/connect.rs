//! Why there was no connection to a service, by name: an operator mends a wrong port, a wrong host name, a wrong
//! root and a wrong certificate in four different places.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use thiserror::Error;

/// Why there was no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectFault {
    /// Its name has no address.
    #[error("no connection: its name does not resolve")]
    Name,
    /// Nobody listens at its port.
    #[error("no connection: the port is refused")]
    Refused,
    /// Its certificate leads to none of the configured roots.
    #[error("no connection: its certificate leads to none of the trust anchors")]
    Untrusted,
    /// Its certificate is for another name.
    #[error("no connection: its certificate is for another name")]
    OtherName,
    /// Its certificate is expired, or not valid yet.
    #[error("no connection: its certificate is expired or not valid yet")]
    Expired,
    /// Its certificate is not accepted for another reason.
    #[error("no connection: its certificate is not accepted")]
    Certificate,
    /// The TLS handshake failed otherwise: it speaks no TLS, or asks for a client certificate.
    #[error("no connection: the TLS handshake failed")]
    Handshake,
    /// Anything else: no route, too many open files.
    #[error("no connection")]
    Other,
}

impl ConnectFault {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Refused => "refused",
            Self::Untrusted => "untrusted",
            Self::OtherName => "other_name",
            Self::Expired => "expired",
            Self::Certificate => "certificate",
            Self::Handshake => "handshake",
            Self::Other => "connect",
        }
    }

    /// Finds the cause among those that the client's error wraps.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(fault) = of_tls(error).or_else(|| of_io(error)) {
                return fault;
            }
            // The client's type for it is private: its text is all that there is. A test holds it.
            if error.to_string() == "dns error" {
                return Self::Name;
            }
            cause = error.source();
        }
        Self::Other
    }
}

/// An error of TLS, also within one or more of I/O, which do not tell it as their source.
fn of_tls(error: &(dyn Error + 'static)) -> Option<ConnectFault> {
    if let Some(within) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return of_tls(within);
    }
    Some(match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer => ConnectFault::Untrusted,
            // The library has each of these with and without its context.
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectFault::OtherName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => ConnectFault::Expired,
            _ => ConnectFault::Certificate,
        },
        _ => ConnectFault::Handshake,
    })
}

fn of_io(error: &(dyn Error + 'static)) -> Option<ConnectFault> {
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(ConnectFault::Refused),
        // It ended the handshake without a word.
        io::ErrorKind::UnexpectedEof => Some(ConnectFault::Handshake),
        _ => None,
    }
}
