//! The connections that are open: how many there may be, and what is told of them.
//!
//! A connection has a place from its first moment, before anything of it is read: half-made and idle ones use up
//! descriptors, too. Whom it is made for and whose it is comes to light later: with the PROXY header, with the
//! certificate. One without a place is closed without a word, for a word would cost a handshake. It is counted,
//! and said once in a while.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::identity::OrganisationId;
use crate::limits::{Ceilings, Crowd, Crowded, HeldPlace, Whose};
use crate::report::connections::{ConnectionMetrics, OpenConnection};

/// How often it is said that connections are refused.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// The connections of all listeners.
pub struct Guests {
    crowd: Arc<Crowd>,
    metrics: ConnectionMetrics,
    /// When it was said last, by whose ceiling it was.
    said: Mutex<Vec<(Whose, Instant)>>,
}

impl Guests {
    /// Nobody yet.
    pub fn new(ceilings: Ceilings, metrics: ConnectionMetrics) -> Self {
        Self { crowd: Crowd::new(ceilings), metrics, said: Mutex::new(Vec::new()) }
    }

    /// Other ceilings from now on.
    pub fn set(&self, ceilings: Ceilings) {
        self.crowd.set(ceilings);
    }

    /// A place for a connection, if there is one.
    pub(super) fn admit(&self, listener: &str) -> Option<Guest> {
        match self.crowd.enter() {
            Ok(place) => Some(Guest { place, _open: self.metrics.open(listener) }),
            Err(crowded) => {
                self.refuse(listener, crowded);
                None
            }
        }
    }

    /// Counts a connection that a ceiling leaves no place for.
    pub(super) fn refuse(&self, listener: &str, Crowded { whose, ceiling }: Crowded) {
        self.metrics.note_refused(listener, whose);
        if self.is_to_be_said(whose, Instant::now()) {
            let open = self.crowd.count();
            let whose = whose.as_str();
            tracing::warn!(
                listener,
                open,
                ceiling,
                "connections are closed at the ceiling of limits.connections ({whose}): portaria_refused_connections_total counts them"
            );
        }
    }

    fn is_to_be_said(&self, whose: Whose, now: Instant) -> bool {
        let mut said = self.said.lock();
        match said.iter_mut().find(|(of, _)| *of == whose) {
            Some((_, at)) if now.saturating_duration_since(*at) < SAID_EVERY => return false,
            Some((_, at)) => *at = now,
            None => said.push((whose, now)),
        }
        true
    }

    /// Counts a connection that is cut for what it sends.
    pub(super) fn note_cut(&self, listener: &str, reason: &str) {
        self.metrics.note_cut(listener, reason);
    }
}

/// A connection that has a place.
pub(super) struct Guest {
    place: HeldPlace,
    _open: OpenConnection,
}

impl Guest {
    pub(super) fn of_address(&mut self, address: IpAddr) -> Result<(), Crowded> {
        self.place.of_address(address)
    }

    pub(super) fn of_organisation(&mut self, id: &OrganisationId) -> Result<(), Crowded> {
        self.place.of_organisation(id)
    }
}
