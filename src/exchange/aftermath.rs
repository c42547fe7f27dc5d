//! What came of a request that may have changed a consent, or revoked a token: what is kept of them ends
//! before the caller sees the answer.

use http::{Method, StatusCode};

use super::Exchange;
use crate::admission::{At, Refused, Step};
use crate::consent::{Aftermath, ConsentUse};
use crate::moment::Moment;
use crate::request::RequestError;
use crate::route::{Access, Route};

impl Exchange {
    /// The head of the backend's answer is here.
    pub(super) fn note_aftermath(&mut self, status: StatusCode) {
        self.note_changed_consent(|route| aftermath(route, Some(status)));
        self.note_revocation(Some(status));
    }

    /// The exchange is over. An answer that never came may have changed something, too.
    pub(super) fn note_aftermath_at_end(&mut self) {
        let is_open = self.backend.answered || self.backend.attempts == 0;
        self.note_changed_consent(|route| match is_open {
            true => Aftermath::Open,
            false => aftermath(route, None),
        });
        if !is_open {
            self.note_revocation(None);
        }
    }

    /// Reads which tokens the body asks to revoke, on a route that revokes them.
    pub async fn read_revocation(&mut self, body: &[u8]) -> Result<(), Refused> {
        if self.awaits_body {
            return Err(Step::Body.refuse(RequestError::BodyTooLarge));
        }
        let (tokens, now) = (&self.serving.admission.tokens, Moment::now());
        let caller = self.peer().participant(now).at(Step::Participant)?.organisation_id();
        let revocation = tokens.read_revocation(body, caller, now).await;
        self.revocation = Some(revocation.ok_or(RequestError::RepeatedToken).at(Step::Body)?);
        Ok(())
    }

    /// A request that may have changed a consent ends what is kept of it. Done when the answer comes,
    /// and again at the end: an answer that never came may have changed it too.
    fn note_changed_consent(&self, aftermath: impl FnOnce(&Route) -> Aftermath) {
        let Some(permit) = &self.permit else { return };
        let route = permit.route();
        if !route.may_change_consent() {
            return;
        }
        let (consents, now) = (&self.serving.admission.consents, Moment::now());
        match (permit.consent(), permit.consent_id(), aftermath(route)) {
            (Some(consent), _, aftermath) => consents.note(consent, aftermath, now),
            // In shadow mode the gateway cannot tell what became of a consent that did not permit this.
            (None, Some(id), aftermath)
                if permit.is_in_shadow() && aftermath != Aftermath::Open =>
            {
                consents.purge(id.digest(), now);
            }
            (None, ..) => {}
        }
    }

    /// Tokens that were revoked, or may have been, are refused from now on.
    fn note_revocation(&mut self, answer: Option<StatusCode>) {
        if let Some(revocation) = self.revocation.take()
            && answer.is_none_or(|status| status == StatusCode::OK || status.is_server_error())
        {
            self.serving.admission.tokens.revoke(&revocation);
        }
    }
}

/// What a backend's answer, or its absence, tells of the consent. OPIN consents API: an initiation that is
/// answered 201 or 422 consumes its consent, any other answer leaves it as it is.
fn aftermath(route: &Route, answer: Option<StatusCode>) -> Aftermath {
    match (&route.asks.access, answer) {
        (Access::Consented { to: ConsentUse::Initiate, .. }, Some(StatusCode::CREATED)) => {
            Aftermath::Created
        }
        (
            Access::Consented { to: ConsentUse::Initiate, .. },
            Some(StatusCode::UNPROCESSABLE_ENTITY),
        ) => Aftermath::Declined,
        (Access::Client { .. }, Some(status))
            if route.published.method == Method::DELETE && status.is_success() =>
        {
            Aftermath::Deleted
        }
        (Access::Client { .. }, answer) if !answer.is_some_and(|s| s.is_client_error()) => {
            Aftermath::Altered
        }
        _ => Aftermath::Open,
    }
}
