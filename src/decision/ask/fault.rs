//! Why there was no connection to a service, by name: an operator mends a wrong port, a wrong host name, a wrong
//! root and a wrong certificate in four different places.

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
}
