//! What came of a request that may have changed a consent, or revoked a token: what is kept of them ends
//! before the caller sees the answer, and again when the exchange is over, for an answer that never came may have
//! changed something, too.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::Serving;
use super::received::ReceivedBody;
use crate::admission::{At, Permit, Refused, Step};
use crate::consent::{self, Consent, ConsentId, ConsentUse};
use crate::digest::Digest;
use crate::identity::Peer;
use crate::moment::Moment;
use crate::request::RequestError;
use crate::route::{Access, Route};
use crate::token::TokenRevocation;

/// What may come of an exchange. Its end, whatever it is, is noted.
pub(super) struct ExchangeAftermath {
    serving: Arc<Serving>,
    change: Option<ConsentChange>,
    revocation: Option<TokenRevocation>,
    asked: bool,
    answered: bool,
}

/// The consent that a request may change.
struct ConsentChange {
    route: Arc<Route>,
    consent: Option<Consent>,
    /// In shadow mode the gateway cannot tell what became of a consent that did not permit this.
    in_shadow: Option<Digest>,
}

impl ExchangeAftermath {
    /// Of an admitted request.
    pub(super) fn of(serving: &Arc<Serving>, permit: &Permit) -> Self {
        let changes = permit.route().may_change_consent().then(|| ConsentChange {
            route: permit.route().clone(),
            consent: permit.consent().cloned(),
            in_shadow: permit.consent_id().filter(|_| permit.is_in_shadow()).map(ConsentId::digest),
        });
        let serving = serving.clone();
        Self { serving, change: changes, revocation: None, asked: false, answered: false }
    }

    /// Reads which tokens a form asks to revoke, on a route that revokes them.
    pub(super) async fn read_form(
        &mut self,
        form: &ReceivedBody,
        peer: &Peer,
    ) -> Result<(), Refused> {
        // Of a long form only the first part is here; a token may stand in the rest.
        if form.is_long() {
            return Err(Step::Body.refuse(RequestError::BodyTooLarge));
        }
        let (tokens, now) = (&self.serving.admission.tokens, Moment::now());
        let caller = peer.participant(now).at(Step::Participant)?.organisation_id();
        let revocation = tokens.read_revocation(form.kept(), caller, now).await;
        // Two tokens in one form: the gateway and the authorization server could each mean another one.
        self.revocation = Some(revocation.ok_or(RequestError::RepeatedToken).at(Step::Body)?);
        Ok(())
    }

    /// A backend is asked: from now on something may have changed.
    pub(super) fn note_asked(&mut self) {
        self.asked = true;
    }

    /// The head of the backend's answer is here.
    pub(super) fn note_answer(&mut self, status: StatusCode) {
        self.answered = true;
        self.note_change(Some(status));
        self.note_revocation(Some(status));
    }

    fn note_change(&self, answer: Option<StatusCode>) {
        let Some(change) = &self.change else { return };
        let came = match answer {
            None if self.answered || !self.asked => consent::Aftermath::Open,
            answer => came_of(&change.route, answer),
        };
        let (consents, now) = (&self.serving.admission.consents, Moment::now());
        match (&change.consent, change.in_shadow) {
            (Some(consent), _) => consents.note(consent, came, now),
            (None, Some(id)) if came != consent::Aftermath::Open => consents.purge(id, now),
            (None, _) => {}
        }
    }

    /// Tokens that were revoked, or may have been, are refused from now on.
    fn note_revocation(&mut self, answer: Option<StatusCode>) {
        if let Some(revocation) = self.revocation.take()
            // 200 says that it is revoked (RFC 7009 section 2.2); of no answer, or a 5xx, nobody knows, and
            // its owner wanted it.
            && answer.is_none_or(|status| status == StatusCode::OK || status.is_server_error())
        {
            self.serving.admission.tokens.revoke(&revocation);
        }
    }
}

impl Drop for ExchangeAftermath {
    fn drop(&mut self) {
        self.note_change(None);
        if self.asked && !self.answered {
            self.note_revocation(None);
        }
    }
}

/// What a backend's answer, or its absence, tells of the consent. OPIN consents API: an initiation that is
/// answered 201 or 422 consumes its consent, any other answer leaves it as it is.
fn came_of(route: &Route, answer: Option<StatusCode>) -> consent::Aftermath {
    use consent::Aftermath as A;
    match (&route.asks.access, answer) {
        (Access::Consented { to: ConsentUse::Initiate, .. }, Some(StatusCode::CREATED)) => {
            A::Created
        }
        (
            Access::Consented { to: ConsentUse::Initiate, .. },
            Some(StatusCode::UNPROCESSABLE_ENTITY),
        ) => A::Declined,
        (Access::Client { .. }, Some(status))
            if route.published.method == Method::DELETE && status.is_success() =>
        {
            A::Deleted
        }
        (Access::Client { .. }, answer) if !answer.is_some_and(|s| s.is_client_error()) => {
            A::Altered
        }
        _ => A::Open,
    }
}
