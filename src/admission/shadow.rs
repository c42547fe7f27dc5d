//! What the rules of a route would have refused, of a request that goes on all the same.
//!
//! Only the rules that its policy writes down are borne: version, grant, scope, interaction id, idempotency
//! key, parameters, the customer's consent. Who the caller is, that its token is valid and bound to its
//! certificate, whose consent it manages, the limits and the form of the message are never in shadow mode.

use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::route::Route;

/// The verdicts of a route's rules on one request.
#[derive(Debug)]
pub(super) struct Shadow {
    is_on: bool,
    would_refuse: Option<Box<Refusal>>,
}

impl Shadow {
    /// Nothing was judged yet.
    pub(super) fn over(route: &Route, now: Moment) -> Self {
        Self { is_on: route.shadow.is_on(now), would_refuse: None }
    }

    /// Whether the rules are not enforced.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What the rules would have refused first, and so answered.
    pub(super) fn would_refuse(&self) -> Option<&Refusal> {
        self.would_refuse.as_deref()
    }

    /// Takes the verdict of a rule: a refusal ends the request, unless the rules are not enforced.
    pub(super) fn take<E: Into<Refusal>>(&mut self, verdict: Result<(), E>) -> Result<(), Refusal> {
        self.take_of(verdict).map(drop)
    }

    /// The same, of a rule that gives something if it does not refuse.
    pub(super) fn take_of<T, E: Into<Refusal>>(
        &mut self,
        verdict: Result<T, E>,
    ) -> Result<Option<T>, Refusal> {
        match verdict.map_err(Into::into) {
            Ok(given) => Ok(Some(given)),
            Err(refusal) if !self.is_on => Err(refusal),
            Err(refusal) => {
                self.would_refuse.get_or_insert_with(|| Box::new(refusal));
                Ok(None)
            }
        }
    }
}
