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
    let upgrade_at = match &table {
        Some(table) => table.place("upgrade_socket"),
        None => root.place("server.upgrade_socket"),
    };
    ServerSettings {
        threads: threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores),
        drain_timeout: drain.map_or(Duration::from_secs(10), |drain| drain.value),
        upgrade,
        upgrade_at: upgrade_at.spot(),
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
