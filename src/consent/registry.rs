//! The consent registry: what the insurer's consent system says of a consent.
//!
//! Asks `GET {base}/consents/{consentId}`. 404 means that there is no such consent; any other answer
//! that is not a complete, understood description of that very consent means that the gateway cannot
//! decide.

use http::StatusCode;

use super::{ConsentError, ConsentId};
use crate::remote::{Remote, RemoteError};
use crate::terms::{Reading, Terms};

/// A client of the registry.
#[derive(Debug)]
pub struct Registry {
    remote: Remote,
    reading: Reading,
}

impl Registry {
    /// A client of the registry at `remote`, whose descriptions are read as `reading` says.
    pub fn new(remote: Remote, reading: Reading) -> Self {
        Self { remote, reading }
    }

    /// Looks a consent up.
    pub async fn look_up(&self, id: &ConsentId) -> Result<Terms, ConsentError> {
        let answer = self.remote.get(&["consents", id.reveal()]).await;
        let answer = answer.map_err(ConsentError::Registry)?;
        match answer.status {
            StatusCode::OK => {
                self.read(&answer.body, id).ok_or(ConsentError::Registry(RemoteError::Malformed))
            }
            StatusCode::NOT_FOUND => Err(ConsentError::Unknown),
            status => Err(ConsentError::Registry(RemoteError::Status(status))),
        }
    }

    /// A registry that is lenient about the spelling of ids would let one consent be kept under two.
    fn read(&self, body: &[u8], id: &ConsentId) -> Option<Terms> {
        let terms = self.reading.read(&serde_json::from_slice(body).ok()?)?;
        (terms.id == *id).then_some(terms)
    }
}
