//! `[server]`: threads, the end of the process, and the process that comes after.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Table;
use super::{ServerSettings, values};
use crate::listener::handover::MeetingPlace;

const UPGRADE_SOCKET: &str = "/run/portaria/upgrade.sock";

/// Reads `[server]`.
pub(super) fn read_server(root: &Table<'_>) -> ServerSettings {
    let table = root.table("server");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = table.as_ref().and_then(|table| table.number("threads", 1, 1024));
    let drain = table
        .as_ref()
        .and_then(|table| table.parsed("drain_timeout", values::DURATION, values::duration));
    let upgrade = read_upgrade(table.as_ref());
    // Whoever only asks what would become of a request hands nothing over.
    if root.stand_in().is_none() {
        check(&upgrade, root, table.as_ref());
    }
    ServerSettings {
        threads: threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores),
        drain_timeout: drain.map_or(Duration::from_secs(10), |drain| drain.value),
        upgrade,
    }
}

/// Reads `server.upgrade_socket`.
fn read_upgrade(server: Option<&Table<'_>>) -> MeetingPlace {
    let configured = server.and_then(|table| {
        let socket = table.string("upgrade_socket", "a path")?;
        Some(table.directory().join(socket.value))
    });
    MeetingPlace::new(configured.unwrap_or_else(|| PathBuf::from(UPGRADE_SOCKET)))
}

/// A gateway serves without it, so that this is no mistake.
fn check(upgrade: &MeetingPlace, root: &Table<'_>, server: Option<&Table<'_>>) {
    let Err(error) = upgrade.check() else { return };
    let place = match server {
        Some(server) => server.place("upgrade_socket"),
        None => root.place("server.upgrade_socket"),
    };
    let path = upgrade.path().display();
    place.warn(format!(
        "no upgrade is possible at {path}: {error}, accepted: a socket in a directory of mode 0700 that \
         belongs to the gateway's user"
    ));
}
