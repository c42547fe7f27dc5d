//! The consent registry: what the insurer's consent system says of a consent.
//!
//! Asks `GET {base}/consents/{consentId}`, or `GET {base}/enrollments/{enrollmentId}`. 404 means that there is
//! no such consent; any other answer that is not a complete, understood description of that very consent
//! means that the gateway cannot decide. A registry that fails is left alone for a while, by a breaker for each client:
//! a token's consent is one that its client had made, and the registry could fail at that one alone.

use std::sync::Arc;

use http::StatusCode;

use super::{ConsentError, ConsentId, ConsentKind};
use crate::ask::{Ask, Breakers, Question, RemoteError};
use crate::strict;
use crate::terms::{Reading, Terms};
use crate::token::ClientId;

/// Who chose the consent that is looked up, and for which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChosenBy<'a> {
    /// The authorization server, which wrote it into the client's token.
    ByToken(&'a ClientId),
    /// The client, which may write any id into a path.
    ByCaller(&'a ClientId),
}

/// A client of the registry.
#[derive(Debug)]
pub struct Registry {
    service: Arc<dyn Ask>,
    breakers: Breakers<ClientId>,
    consents: Reading,
    enrollments: Reading,
}

impl Registry {
    /// A client of the registry that `service` is, and how its descriptions are read.
    pub fn new(
        service: Arc<dyn Ask>,
        breakers: Breakers<ClientId>,
        consents: Reading,
        enrollments: Reading,
    ) -> Self {
        Self { service, breakers, consents, enrollments }
    }

    /// Looks a consent up.
    pub(super) async fn look_up(
        &self,
        kind: ConsentKind,
        id: &ConsentId,
        chosen: ChosenBy<'_>,
    ) -> Result<Terms, ConsentError> {
        let (collection, reading) = match kind {
            ConsentKind::Consent => ("consents", &self.consents),
            ConsentKind::Enrollment => ("enrollments", &self.enrollments),
        };
        let path = [collection, id.reveal()];
        let question = self.service.ask(Question::get(&path));
        let answer = match chosen {
            ChosenBy::ByToken(client) => self.breakers.ask(client, question).await,
            // A caller could write into paths what the registry fails at, and have it
            // left alone for its tokens.
            ChosenBy::ByCaller(client) => self.breakers.ask_apart(client, question).await,
        };
        let answer = answer.map_err(ConsentError::Registry)?;
        match answer.status {
            StatusCode::OK if !answer.is_json() => {
                Err(ConsentError::Registry(RemoteError::MediaType))
            }
            StatusCode::OK => read(reading, &answer.body, id)
                .ok_or(ConsentError::Registry(RemoteError::Malformed)),
            StatusCode::NOT_FOUND => Err(ConsentError::Unknown),
            // A 401 or 403 is about the gateway, not the consent: it says "cannot decide", never "no".
            status => Err(ConsentError::Registry(RemoteError::Status(status))),
        }
    }
}

/// A registry that is lenient about the spelling of ids would let one consent be kept under two.
fn read(reading: &Reading, body: &[u8], id: &ConsentId) -> Option<Terms> {
    // Strictly: of a name that stands twice two readers take different values (RFC 8259 section 4).
    let terms = reading.read(&strict::value(body).ok()?)?;
    (terms.id == *id).then_some(terms)
}
