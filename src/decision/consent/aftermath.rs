//! What becomes of what is kept of a consent when something happened to it: it ends, and a consent that ended
//! before the gateway's eyes stays ended.

use super::changes::Mark;
use super::preset::Consumption;
use super::{Consent, ConsentKind, ConsentSource, Consents};
use crate::digest::Digest;
use crate::moment::Moment;

/// What came of a request that may have changed a consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing that the gateway could tell by itself.
    Open,
    /// An initiation under it was answered 201.
    Created,
    /// An initiation under it was answered 422.
    Declined,
    /// Its owner deleted it.
    Deleted,
    /// Its owner did something to it, or tried to and nobody knows what came of it.
    Altered,
}

impl Consents {
    /// Ends what is kept of a consent, and of the one that is linked to it. A lookup that is under way
    /// serves the requests that already wait for it and no later one.
    pub fn note(&self, consent: &Consent, aftermath: Aftermath, now: Moment) {
        let id = consent.id.digest();
        match (self.mark_of(consent.kind, aftermath), aftermath) {
            (Some(mark), _) => self.changes.mark(id, mark, now, self.remember_ended),
            (None, Aftermath::Altered) => self.doubt_tokens(id, now),
            (None, _) => {}
        }
        // Behind the mark: who finds the new number, and asks a registry that is
        // late, finds the mark as well.
        self.changes.advance(id);
        if let Some(linked) = &consent.linked {
            if matches!(aftermath, Aftermath::Altered | Aftermath::Deleted) {
                self.doubt_tokens(linked.digest(), now);
            }
            self.changes.advance(linked.digest());
        }
    }

    /// Ends what is kept of a consent that somebody says has changed.
    pub fn purge(&self, id: Digest, now: Moment) {
        self.doubt_tokens(id, now);
        self.changes.advance(id);
    }

    fn mark_of(&self, kind: ConsentKind, aftermath: Aftermath) -> Option<Mark> {
        let consumes = match (kind, aftermath, self.rules.consumption) {
            // In every ecosystem, and for good: what is deleted does not come back (decision 5).
            (_, Aftermath::Deleted, _) => return Some(Mark::Rejected),
            (ConsentKind::Consent, Aftermath::Created, consumption) => {
                consumption != Consumption::Never
            }
            (ConsentKind::Consent, Aftermath::Declined, consumption) => {
                consumption == Consumption::CreatedOrDeclined
            }
            (ConsentKind::Consent, Aftermath::Open | Aftermath::Altered, _)
            // An enrollment is there to be used again and again; no ecosystem has one that is consumed.
            | (ConsentKind::Enrollment, _, _) => false,
        };
        consumes.then_some(Mark::Consumed)
    }

    /// A registry can be asked again; what a token says of its consent is out of date from now on.
    fn doubt_tokens(&self, id: Digest, now: Moment) {
        if self.teller == ConsentSource::Token {
            let mark = Mark::Outdated { since: now.unix_seconds() };
            self.changes.mark(id, mark, now, self.remember_ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::{Changes, ConsentId, ConsentPreset, Memory};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn at(since_start: Duration) -> Moment {
        Moment::at(since_start, UNIX_EPOCH + since_start)
    }

    fn told_by(teller: ConsentSource) -> Consents {
        let memory = Memory {
            keep: SECOND,
            keep_unknown: SECOND,
            capacity: 1,
            ended: SECOND,
            stale_for: None,
        };
        Consents::new(
            None,
            teller,
            ConsentPreset::OpinV2.rules(),
            memory,
            Arc::<Changes>::default(),
        )
    }

    fn consent() -> Consent {
        let id = ConsentId::new("urn:x:1").unwrap();
        Consent { kind: ConsentKind::Consent, id, linked: None }
    }

    /// A registry says again what holds; a token only ever says what held when it was issued.
    #[test]
    fn what_a_token_tells_of_is_remembered_for_as_long_as_a_token_lives() {
        let (consents, consent) = (told_by(ConsentSource::Token), consent());
        let mark_at = |time| consents.changes().of(consent.id.digest(), at(time)).mark;
        consents.purge(consent.id.digest(), at(SECOND));
        consents.forget_ended(at(23 * HOUR));
        assert_eq!(mark_at(23 * HOUR), Some(Mark::Outdated { since: 1 }));
        assert_eq!(mark_at(25 * HOUR), None);
        consents.note(&consent, Aftermath::Created, at(30 * HOUR));
        consents.forget_ended(at(53 * HOUR));
        assert_eq!(mark_at(53 * HOUR), Some(Mark::Consumed));
        assert_eq!(mark_at(55 * HOUR), None);
    }

    #[test]
    fn what_a_registry_tells_of_is_remembered_for_as_long_as_configured() {
        let (consents, consent) = (told_by(ConsentSource::Registry), consent());
        let mark_at = |time| consents.changes().of(consent.id.digest(), at(time)).mark;
        consents.purge(consent.id.digest(), at(SECOND));
        assert_eq!(mark_at(SECOND), None, "it can be asked again");
        consents.note(&consent, Aftermath::Created, at(SECOND));
        assert_eq!(mark_at(SECOND), Some(Mark::Consumed));
        assert_eq!(mark_at(2 * SECOND), None);
    }
}
