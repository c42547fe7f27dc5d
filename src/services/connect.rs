//! Why a client had no connection, found among the errors that it wraps.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::ask::ConnectFault;

/// Finds the cause among those that the client's error wraps.
pub(super) fn fault_of(error: &(dyn Error + 'static)) -> ConnectFault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(fault) = of_tls(error).or_else(|| of_io(error)) {
            return fault;
        }
        // The client's type for it is private: its text is all that there is. A test holds it.
        if error.to_string() == "dns error" {
            return ConnectFault::Name;
        }
        cause = error.source();
    }
    ConnectFault::Other
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
