//! A consent that an initiation used up: good for the answer that this initiation got, should its caller not
//! have received it, and for nothing else.
//!
//! Judged like one in force but for its state: the registry, or the token, must still tell of it, it must be
//! the client's own, not past its end, not revoked, and have the permission of the route.

use super::changes::Mark;
use super::{Consent, ConsentError, ConsentId, ConsentStatus, Consents, Need, belongs_to};
use crate::moment::Moment;
use crate::token::BoundToken;

/// A consent that was used up. Only [`Consents`] makes one:
///
/// ```compile_fail,E0451
/// use portaria_decision::consent::SpentConsent;
/// fn forge(consent: SpentConsent) -> SpentConsent { SpentConsent { ..consent } }
/// ```
#[derive(Clone, Debug)]
pub struct SpentConsent {
    id: ConsentId,
    error: ConsentError,
}

impl SpentConsent {
    /// Its id.
    pub fn id(&self) -> &ConsentId {
        &self.id
    }

    /// Why it permits nothing new.
    pub fn error(&self) -> ConsentError {
        self.error
    }
}

/// The consent of a request that may repeat an earlier one.
#[derive(Debug)]
pub enum Held {
    /// It permits the request.
    InForce(Consent),
    /// It permitted one such request, which used it up.
    Spent(SpentConsent),
}

impl Consents {
    /// Judges the consent of a request that may repeat an earlier one.
    ///
    /// # Errors
    ///
    /// As [`Consents::admit`], but that a consent was used up is no error: it is judged in all the rest, and
    /// what is wrong there is the error.
    pub async fn admit_or_spent(
        &self,
        token: &BoundToken,
        need: &Need<'_>,
        now: Moment,
    ) -> Result<Held, ConsentError> {
        match self.admit(token, need, now).await {
            Ok(consent) => Ok(Held::InForce(consent)),
            Err(error) if is_consumed(error) => {
                // From the beginning: a mark refuses before anybody was asked whose consent it is.
                self.is_spent(token, need, now).await?;
                let id = token.token().consent(need.inquiry.kind).ok_or(error)?.clone();
                Ok(Held::Spent(SpentConsent { id, error }))
            }
            Err(error) => Err(error),
        }
    }

    async fn is_spent(
        &self,
        token: &BoundToken,
        need: &Need<'_>,
        now: Moment,
    ) -> Result<(), ConsentError> {
        let (id, known) = self.named_by(token, need, now)?;
        let terms = self.told(token, id, need.inquiry, known.revision, now).await?;
        belongs_to(&terms, token.token().client_id())?;
        let lapse = self.rules.lapse(need.to);
        match (terms.status_at(now, self.rules.authorisation_window), known.mark) {
            _ if terms.has_expired(now) => return Err(ConsentError::Expired { lapse }),
            // A registry that has not learned of it yet still says AUTHORISED.
            (ConsentStatus::Consumed, _) | (ConsentStatus::Authorised, Some(Mark::Consumed)) => {}
            (status, _) => return Err(ConsentError::NotAuthorised { status, lapse }),
        }
        if terms.permissions.contain(need.permission, self.rules.renamed) {
            Ok(())
        } else {
            Err(ConsentError::Permission)
        }
    }
}

fn is_consumed(error: ConsentError) -> bool {
    matches!(error, ConsentError::NotAuthorised { status: ConsentStatus::Consumed, .. })
}
