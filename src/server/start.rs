//! The start: where the listening sockets come from, and what is said once they are served.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::StartError;
use super::live::Fixed;
use crate::listener::Bound;
use crate::listener::handover::{Announced, MeetingPlace, Predecessor};

/// How long a new process waits for the sockets of the one before.
const PREDECESSOR_WITHIN: Duration = Duration::from_secs(20);

/// The sockets of the process.
pub(super) struct Sockets {
    pub(super) admin: Bound,
    /// In the order of the listeners.
    pub(super) listeners: Vec<Bound>,
    predecessor: Option<Predecessor>,
}

impl Sockets {
    /// Binds all addresses.
    pub(super) fn bind(fixed: &Fixed) -> Result<Self, StartError> {
        Self::settle(fixed, Vec::new(), None)
    }

    /// Takes those of the process before, and binds what it does not have.
    pub(super) fn take_over(fixed: &Fixed) -> Result<Self, StartError> {
        let place = &fixed.server.upgrade;
        tracing::info!(
            socket = %place.path().display(),
            "waiting for the sockets of the process that serves: portaria upgrade, or SIGQUIT, makes it hand them over"
        );
        let inheritance = place.await_sockets(PREDECESSOR_WITHIN);
        let inheritance = inheritance.map_err(|error| StartError::Handover {
            path: place.path().display().to_string(),
            error,
        })?;
        let wanted: Vec<SocketAddr> =
            fixed.listeners.iter().map(|(_, address, _)| *address).chain([fixed.admin]).collect();
        let (sockets, predecessor) = inheritance.settle(&wanted);
        let pid = predecessor.pid();
        tracing::info!(pid, sockets = sockets.len(), "sockets taken from process {pid}");
        Self::settle(fixed, sockets, Some(predecessor))
    }

    fn settle(
        fixed: &Fixed,
        mut inherited: Vec<TcpListener>,
        predecessor: Option<Predecessor>,
    ) -> Result<Self, StartError> {
        let mut bind = |name: &str, address| {
            Bound::bind(address, &mut inherited).map_err(|error| StartError::Bind {
                name: name.to_owned(),
                address,
                error,
            })
        };
        let admin = bind("admin", fixed.admin)?;
        let listeners = fixed.listeners.iter().map(|(name, address, _)| bind(name, *address));
        let listeners: Result<Vec<Bound>, StartError> = listeners.collect();
        Ok(Self { admin, listeners: listeners?, predecessor })
    }

    /// The same sockets, for the process that comes after.
    pub(super) fn duplicates(&self) -> std::io::Result<Vec<TcpListener>> {
        self.listeners.iter().chain([&self.admin]).map(Bound::duplicate).collect()
    }

    /// What is to be said once they are served.
    pub(super) fn debut(&mut self, place: MeetingPlace) -> Debut {
        Debut { place, predecessor: self.predecessor.take() }
    }
}

/// What is to be said once the process serves: to the service manager, to the process before, which ends then, and
/// to who upgrades. Nothing of it may be said while the one before goes on: its name would be lost.
pub(super) struct Debut {
    place: MeetingPlace,
    predecessor: Option<Predecessor>,
}

impl Debut {
    /// Says it. Nothing comes if the process before goes on: then this one must not.
    pub(super) fn make(self) -> Option<Debuted> {
        let Self { place, predecessor } = self;
        if let Some(predecessor) = predecessor.as_ref().filter(|before| !before.waits()) {
            let before = predecessor.pid();
            tracing::error!(
                "process {before} waits no more for this one to serve: it goes on, this one ends"
            );
            return None;
        }
        // Before the one before ends: the manager would take that for the end of the service.
        tell_manager(std::process::id());
        let is_heir = predecessor.is_some();
        if let Some(predecessor) = predecessor {
            let before = predecessor.pid();
            if let Err(error) = predecessor.dismiss() {
                tracing::error!(%error, "process {before} does not hear that this one serves: it goes on, this one ends");
                // It is the service again.
                tell_manager(before.unsigned_abs());
                return None;
            }
        }
        Some(Debuted { _announced: announce(&place, is_heir) })
    }
}

/// Says to the service manager who serves.
fn tell_manager(pid: u32) {
    let told = [sd_notify::NotifyState::MainPid(pid), sd_notify::NotifyState::Ready];
    if let Err(error) = sd_notify::notify(false, &told) {
        tracing::warn!(%error, "the service manager cannot be told that process {pid} serves");
    }
}

/// Says to who upgrades that this process serves.
fn announce(place: &MeetingPlace, is_heir: bool) -> Option<Announced> {
    // What is wrong with the place was a warning of the configuration.
    let before = place.living().ok()?;
    if let (Some(before), false) = (before, is_heir) {
        let before = before.as_raw_pid();
        tracing::warn!(
            "process {before} has the same server.upgrade_socket: give each gateway its own"
        );
    }
    match place.announce() {
        Ok(announced) => Some(announced),
        Err(error) => {
            tracing::warn!("portaria upgrade will not find this process: {error}");
            None
        }
    }
}

/// As long as it is kept, `portaria upgrade` finds this process.
pub(super) struct Debuted {
    _announced: Option<Announced>,
}
