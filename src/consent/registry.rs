//! The consent registry: what the insurer's consent system says of a consent.
//!
//! Asks `GET {base}/consents/{consentId}`, or `GET {base}/enrollments/{enrollmentId}`. 404 means that there is
//! no such consent; any other answer that is not a complete, understood description of that very consent
//! means that the gateway cannot decide. A registry that fails is left alone for a while, by a breaker.

use http::StatusCode;

use super::{ConsentError, ConsentId, ConsentKind};
use crate::remote::{Breaker, Remote, RemoteError};
use crate::strict;
use crate::terms::{Reading, Terms};

/// Who chose the consent that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The authorization server, which wrote it into the token.
    ByToken,
    /// The caller, who may write any id into a path.
    ByCaller,
}

/// A client of the registry.
#[derive(Debug)]
pub struct Registry {
    remote: Remote,
    breaker: Breaker,
    consents: Reading,
    enrollments: Reading,
}

impl Registry {
    /// A client of the registry at `remote`, and how its descriptions are read.
    pub fn new(remote: Remote, breaker: Breaker, consents: Reading, enrollments: Reading) -> Self {
        Self { remote, breaker, consents, enrollments }
    }

    /// Looks a consent up.
    pub(super) async fn look_up(
        &self,
        kind: ConsentKind,
        id: &ConsentId,
        chosen: Chosen,
    ) -> Result<Terms, ConsentError> {
        let (collection, reading) = match kind {
            ConsentKind::Consent => ("consents", &self.consents),
            ConsentKind::Enrollment => ("enrollments", &self.enrollments),
        };
        let path = [collection, id.reveal()];
        let question = self.remote.get(&path);
        let answer = match chosen {
            Chosen::ByToken => self.breaker.ask(question).await,
            Chosen::ByCaller => self.breaker.ask_apart(question).await,
        };
        let answer = answer.map_err(ConsentError::Registry)?;
        match answer.status {
            StatusCode::OK if !answer.is_json() => {
                Err(ConsentError::Registry(RemoteError::MediaType))
            }
            StatusCode::OK => read(reading, &answer.body, id)
                .ok_or(ConsentError::Registry(RemoteError::Malformed)),
            StatusCode::NOT_FOUND => Err(ConsentError::Unknown),
            status => Err(ConsentError::Registry(RemoteError::Status(status))),
        }
    }
}

/// A registry that is lenient about the spelling of ids would let one consent be kept under two.
fn read(reading: &Reading, body: &[u8], id: &ConsentId) -> Option<Terms> {
    let terms = reading.read(&strict::value(body).ok()?)?;
    (terms.id == *id).then_some(terms)
}
