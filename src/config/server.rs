//! `[server]`: threads, the end of the process, and the process that comes after.

use super::ServerSettings;
use super::document::Table;
use crate::listener::handover::MeetingPlace;

/// Reads `[server]`.
pub(super) fn read_server(root: &Table<'_>) -> ServerSettings {
    let table = root.table_or_none("server");
    // Which heeds the CPU quota of a container (cgroups) and the affinity of the process.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = table.whole("threads").and_then(|threads| usize::try_from(threads).ok());
    ServerSettings {
        threads: threads.unwrap_or(cores),
        drain_timeout: table.duration_or_default("drain_timeout"),
        upgrade: read_upgrade(&table),
        upgrade_at: table.place("upgrade_socket").spot(),
    }
}

/// Reads `server.upgrade_socket`.
fn read_upgrade(server: &Table<'_>) -> MeetingPlace {
    let configured = server.string("upgrade_socket", "a path").map(|socket| socket.value);
    let socket = configured.unwrap_or_else(|| server.default_text("upgrade_socket"));
    MeetingPlace::new(server.directory().join(socket))
}
