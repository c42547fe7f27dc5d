//! What is known to have changed: how what is kept of a consent ends, and which consents ended for good.
//!
//! One set for the life of the process: a request that began under one configuration ends what another
//! one keeps. What is kept is filed under a revision number, so that it ends with the number. A final
//! state that the gateway saw come about is marked beside it, for a time: a registry that learns of it
//! late must not bring the consent back.
//!
//! A look costs two loads. Only where some consent of the same slot is marked is there a lock to take.
//! There are as many marks as deletions and initiations passed within the time that they are remembered,
//! which the limits bound.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::EventError;
use crate::digest::Digest;
use crate::moment::Moment;

/// The revisions and marks of all consents. Consents that share a slot share the number: advancing one
/// costs the other a lookup, nothing else.
pub struct Changes {
    slots: Box<[ConsentSlot]>,
    /// The digests of the events that were taken, and when they are too old to be taken again, in seconds
    /// since 1970.
    events: Mutex<HashMap<[u8; 32], u64>>,
}

#[derive(Default)]
struct ConsentSlot {
    revision: AtomicU64,
    /// Nanoseconds on the monotonic clock until which there may be marks.
    marked_until: AtomicU64,
    marks: Mutex<Vec<Marked>>,
}

/// What the gateway saw come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// An initiation consumed it.
    Consumed,
    /// It was deleted.
    Rejected,
    /// It changed at that time, in seconds since 1970: what a token that is as old as that says of it is
    /// out of date.
    Outdated {
        /// When.
        since: u64,
    },
}

impl Mark {
    /// What weighs more is not replaced by what weighs less.
    fn weight(self) -> u8 {
        match self {
            Self::Outdated { .. } => 0,
            Self::Consumed => 1,
            Self::Rejected => 2,
        }
    }
}

struct Marked {
    id: Digest,
    mark: Mark,
    until: Duration,
}

/// What is known of one consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownChanges {
    pub(super) revision: u64,
    pub(super) mark: Option<Mark>,
}

// 192 KiB in all. What shares a slot costs the other a lookup, never a wrong answer.
const SLOTS: u64 = 4096;

/// Events that are remembered. Who signs them sends no more within ten minutes.
const MOST_EVENTS: usize = 100_000;

impl Default for Changes {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| ConsentSlot::default()).collect();
        Self { slots, events: Mutex::default() }
    }
}

impl Changes {
    fn slot(&self, id: Digest) -> Option<&ConsentSlot> {
        self.slots.get(usize::try_from(id.prefix() % SLOTS).unwrap_or(0))
    }

    pub(super) fn of(&self, id: Digest, now: Moment) -> KnownChanges {
        let Some(slot) = self.slot(id) else {
            return KnownChanges { revision: 0, mark: None };
        };
        // The number before the mark, since they are written the other way round (`Consents::note`).
        let revision = slot.revision.load(Ordering::Acquire);
        let is_marked = slot.marked_until.load(Ordering::Acquire) > nanoseconds(now.since_start());
        let mark = if is_marked { slot.mark_of(id, now) } else { None };
        KnownChanges { revision, mark }
    }

    /// Ends what is kept of a consent.
    pub(super) fn advance(&self, id: Digest) {
        if let Some(slot) = self.slot(id) {
            slot.revision.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Marks a consent, from now on for a time.
    pub(super) fn mark(&self, id: Digest, mark: Mark, now: Moment, remembered: Duration) {
        let until = now.since_start() + remembered;
        let Some(slot) = self.slot(id) else { return };
        {
            let mut marks = slot.marks.lock();
            // As they come: between two sweeps a slot must not fill with what is over.
            marks.retain(|marked| marked.is_live(now));
            match marks.iter_mut().find(|marked| marked.id == id) {
                // What is final stays so: a deletion most of all, though an initiation ends after it.
                Some(marked) if mark.weight() < marked.mark.weight() => {
                    marked.until = marked.until.max(until);
                }
                Some(marked) => *marked = Marked { id, mark, until },
                None => marks.push(Marked { id, mark, until }),
            }
        }
        // Behind the mark that it announces; and never back, for another in the slot may last longer.
        slot.marked_until.fetch_max(nanoseconds(until), Ordering::AcqRel);
    }

    /// Takes an event once: it is remembered until it is too old.
    pub(super) fn take_event(
        &self,
        event: [u8; 32],
        until: u64,
        now: Moment,
    ) -> Result<(), EventError> {
        let mut events = self.events.lock();
        // Looked through only when it is full: else each event would cost a walk over all of them.
        if events.len() >= MOST_EVENTS {
            events.retain(|_, until| *until >= now.unix_seconds());
        }
        match events.len() {
            // Before the question of room: a full memory must not turn a replay into "try again".
            _ if events.contains_key(&event) => Err(EventError::Replayed),
            MOST_EVENTS.. => Err(EventError::TooMany),
            _ => {
                events.insert(event, until);
                Ok(())
            }
        }
    }

    /// Drops the marks and events whose time is over.
    pub(super) fn drop_old(&self, now: Moment) {
        self.events.lock().retain(|_, until| *until >= now.unix_seconds());
        for slot in &self.slots {
            slot.marks.lock().retain(|marked| marked.is_live(now));
        }
    }
}

impl ConsentSlot {
    fn mark_of(&self, id: Digest, now: Moment) -> Option<Mark> {
        let marks = self.marks.lock();
        marks.iter().find(|marked| marked.id == id && marked.is_live(now)).map(|found| found.mark)
    }
}

impl Marked {
    fn is_live(&self, now: Moment) -> bool {
        now.since_start() < self.until
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::scope::ConsentId;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(since_start: Duration) -> Moment {
        Moment::at(since_start, UNIX_EPOCH)
    }

    fn digest(number: u32) -> Digest {
        ConsentId::new(&format!("urn:x:{number}")).unwrap().digest()
    }

    #[test]
    fn a_mark_lasts_as_long_as_it_is_remembered() {
        let (changes, id) = (Changes::default(), digest(1));
        let start = at(Duration::from_nanos(1));
        changes.mark(id, Mark::Consumed, start, MINUTE);
        let mark_at = |time| changes.of(id, at(time)).mark;
        assert_eq!(changes.of(id, start).mark, Some(Mark::Consumed));
        assert_eq!(mark_at(MINUTE), Some(Mark::Consumed), "a nanosecond before its end");
        assert_eq!(mark_at(MINUTE + Duration::from_nanos(1)), None);
        changes.mark(id, Mark::Rejected, at(MINUTE), MINUTE);
        assert_eq!(mark_at(MINUTE), Some(Mark::Rejected), "the later one counts");
        changes.mark(id, Mark::Outdated { since: 7 }, at(MINUTE), MINUTE);
        assert_eq!(mark_at(MINUTE), Some(Mark::Rejected), "what is final stays so");
        changes.mark(digest(2), Mark::Outdated { since: 7 }, at(MINUTE), MINUTE);
        assert_eq!(changes.of(digest(2), at(MINUTE)).mark, Some(Mark::Outdated { since: 7 }));
    }

    #[test]
    fn consents_of_one_slot_share_the_revision_and_no_mark() {
        let (changes, id) = (Changes::default(), digest(0));
        let slot_of = |id: Digest| id.prefix() % SLOTS;
        let other = (1..).map(digest).find(|other| slot_of(*other) == slot_of(id)).unwrap();
        let now = at(MINUTE);
        changes.advance(id);
        assert_eq!(changes.of(other, now), KnownChanges { revision: 1, mark: None });
        changes.mark(id, Mark::Consumed, now, MINUTE);
        assert_eq!(changes.of(other, now).mark, None);
        changes.mark(other, Mark::Rejected, now, MINUTE);
        assert_eq!(changes.of(id, now).mark, Some(Mark::Consumed));
        assert_eq!(changes.of(other, now).mark, Some(Mark::Rejected));
    }

    #[test]
    fn an_event_is_taken_once_and_remembered_until_it_is_too_old() {
        let changes = Changes::default();
        let wall = |seconds| Moment::at(Duration::ZERO, UNIX_EPOCH + Duration::from_secs(seconds));
        let event = |number: usize| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..MOST_EVENTS {
            assert_eq!(changes.take_event(event(number), 100, wall(50)), Ok(()));
        }
        let replayed = changes.take_event(event(0), 100, wall(100));
        assert_eq!(replayed, Err(EventError::Replayed));
        let another = || changes.take_event(event(MOST_EVENTS), 200, wall(100));
        assert_eq!(another(), Err(EventError::TooMany));
        changes.drop_old(wall(100));
        assert_eq!(another(), Err(EventError::TooMany));
        changes.drop_old(wall(101));
        assert_eq!(another(), Ok(()));
        assert_eq!(another(), Err(EventError::Replayed));
    }

    #[test]
    fn old_marks_take_no_memory() {
        let changes = Changes::default();
        for number in 0..100 {
            changes.mark(digest(number), Mark::Rejected, at(Duration::ZERO), MINUTE);
        }
        changes.mark(digest(100), Mark::Rejected, at(MINUTE), MINUTE);
        changes.drop_old(at(MINUTE));
        let left: usize = changes.slots.iter().map(|slot| slot.marks.lock().len()).sum();
        assert_eq!(left, 1);
        assert_eq!(changes.of(digest(100), at(MINUTE)).mark, Some(Mark::Rejected));
    }
}
