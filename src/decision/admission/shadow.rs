//! What the rules of a route would have refused, of a request that goes on all the same.
//!
//! Only the rules that its policy writes down are borne: version, scope, interaction id, idempotency key,
//! parameters, and what the customer's consent permits. Who the caller is, that its token is valid, of the
//! right grant and bound to its certificate, whose consent it is, the limits and the form of the message are
//! never in shadow mode.

use super::{At, Refused, Step};
use crate::consent::{ConsentError, Held};
use crate::moment::Moment;
use crate::route::ShadowMode;

/// The verdicts of a route's rules on one request.
#[derive(Clone, Debug)]
pub(super) struct Shadow {
    is_on: bool,
    would_refuse: Option<Box<Refused>>,
}

impl Shadow {
    /// Nothing was judged yet.
    pub(super) fn of(mode: ShadowMode, now: Moment) -> Self {
        Self { is_on: mode.is_on(now), would_refuse: None }
    }

    /// Whether the rules are not enforced.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What the rules would have refused first, and so answered.
    pub(super) fn would_refuse(&self) -> Option<&Refused> {
        self.would_refuse.as_deref()
    }

    /// Takes the verdict of a rule: a refusal ends the request, unless the rules are not enforced.
    pub(super) fn take(&mut self, verdict: Result<(), Refused>) -> Result<(), Refused> {
        match verdict {
            Err(refused) if !self.is_on => Err(refused),
            Err(refused) => {
                // The first only: counted are callers who would have been refused, each under the code that
                // it would have read.
                self.would_refuse.get_or_insert_with(|| Box::new(refused));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The same, of the customer's consent: without one of the customer's and the client's own nobody is known
    /// whose data it would be.
    pub(super) fn take_consent(
        &mut self,
        verdict: Result<Held, ConsentError>,
    ) -> Result<Option<Held>, Refused> {
        match verdict {
            Ok(held) => Ok(Some(held)),
            Err(error) if error.is_about_whose() => Err(Step::Consent.refuse(error)),
            Err(error) => self.take(Err(error).at(Step::Consent)).map(|()| None),
        }
    }

    /// Requires, of a request that waited, that what was borne is borne still.
    pub(super) fn confirm(&mut self, mode: ShadowMode, now: Moment) -> Result<(), Refused> {
        if self.is_on && !mode.is_on(now) {
            // From here on nothing is borne: one request must not be half on trial.
            self.is_on = false;
            return self.would_refuse.take().map_or(Ok(()), |refused| Err(*refused));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use time::macros::date;

    use super::*;
    use crate::scope::ScopeError;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_borne_ends_with_the_mode() {
        // 2026-03-01T03:00:00Z.
        let ends = 1_772_334_000;
        let mode = ShadowMode::new(Some(date!(2026 - 03 - 01)));
        let mut shadow = Shadow::of(mode, at(ends - 1));
        assert_eq!(shadow.take(Err(ScopeError::Insufficient).at(Step::Scope)), Ok(()));
        assert_eq!(shadow.take(Err(ConsentError::Permission).at(Step::Consent)), Ok(()));
        let first = Step::Scope.refuse(ScopeError::Insufficient);
        assert_eq!(shadow.would_refuse(), Some(&first), "the first is told");
        assert_eq!(shadow.confirm(mode, at(ends - 1)), Ok(()));
        assert_eq!(shadow.confirm(mode, at(ends)), Err(first));
        assert!(
            shadow.take(Err(ConsentError::Permission).at(Step::Consent)).is_err(),
            "nothing is borne any more"
        );
        let mut blameless = Shadow::of(mode, at(ends - 1));
        assert_eq!(blameless.confirm(mode, at(ends)), Ok(()));
        assert!(blameless.take(Err(ConsentError::Permission).at(Step::Consent)).is_err());
    }

    #[test]
    fn whose_consent_it_is_is_never_borne() {
        let mut shadow = Shadow::of(ShadowMode::new(Some(date!(2026 - 03 - 01))), at(0));
        for (error, is_borne) in [
            (ConsentError::Unnamed, false),
            (ConsentError::OtherConsent, false),
            (ConsentError::OtherClient, false),
            (ConsentError::Unknown, true),
            (ConsentError::Permission, true),
            (ConsentError::NoRegistry, true),
        ] {
            assert_eq!(shadow.take_consent(Err(error)).is_ok(), is_borne, "{error}");
        }
    }
}
