//! What the exchanges of one connection know of it: its other end, and how often that was refused of late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::identity::Peer;

/// Refusals in a row for asking too much, after which a connection ends. Who reads Retry-After never sees one.
const MOST_REFUSALS: u32 = 50;

/// A connection.
#[derive(Debug, Default)]
pub struct Connection {
    peer: Option<Arc<Peer>>,
    refused: AtomicU32,
}

impl Connection {
    /// A connection with a peer, if there is a certificate that says who it is.
    pub fn new(peer: Option<Peer>) -> Self {
        Self { peer: peer.map(Arc::new), refused: AtomicU32::new(0) }
    }

    /// Its other end.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref()
    }

    /// Whether it is to end: its certificate, or its manners, were refused.
    pub fn is_to_end(&self) -> bool {
        self.is_impatient() || self.peer.as_ref().is_some_and(|peer| peer.is_dismissed())
    }

    fn is_impatient(&self) -> bool {
        self.refused.load(Ordering::Relaxed) >= MOST_REFUSALS
    }

    /// Counts a request that asks too much. Says whether that was often enough.
    pub(super) fn note_refused(&self) -> bool {
        // Relaxed: streams that count at once may end the connection one refusal later, and
        // nothing else hangs on it.
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.is_impatient()
    }

    /// Forgets them: a request was within the limits.
    pub(super) fn note_within(&self) {
        // Read first: most have nothing to forget, and all streams of a connection would write to one place.
        if self.refused.load(Ordering::Relaxed) > 0 && !self.is_impatient() {
            self.refused.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_a_row_end_a_connection_and_others_do_not() {
        let connection = Connection::default();
        for _ in 0..10 {
            assert!((1..MOST_REFUSALS).all(|_| !connection.note_refused()));
            connection.note_within();
        }
        assert!(!connection.is_to_end());
        assert!((1..MOST_REFUSALS).all(|_| !connection.note_refused()));
        assert!(connection.note_refused() && connection.is_to_end());
        connection.note_within();
        assert!(connection.is_to_end(), "what was decided stays");
    }
}
