//! `portaria upgrade`: another process takes the place of the one that serves, and the command ends when it
//! did.
//!
//! The order is what a person would have to keep: the new process is started, and when it is ready and waits
//! for the sockets, the old one is told to hand them over. If anything goes wrong the old one goes on serving.
//! The logs of the new one go where the old one's go: whoever asked for the upgrade is not kept by them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;

use crate::listener::handover::{HandoverError, MeetingPlace};

/// From the start of the new process to its service.
const WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// Why the process that served before still does.
#[derive(Debug, Error)]
pub enum UpgradeError {
    /// The sockets cannot change hands.
    #[error("server.upgrade_socket {path}: {error}")]
    Place {
        /// The socket.
        path: String,
        /// Why not.
        error: HandoverError,
    },
    /// There is nothing to upgrade.
    #[error(
        "no gateway serves that would hand its sockets over at {0}: start one with `portaria run`"
    )]
    Nobody(String),
    /// The new one could not be started.
    #[error("cannot start the new process ({0})")]
    Start(std::io::Error),
    /// The new one is gone.
    #[error("the new process ended ({0}), and the log says why: process {1} goes on serving")]
    Ended(ExitStatus, i32),
    /// The old one does not listen.
    #[error("cannot send SIGQUIT to process {0} ({1})")]
    Signal(i32, std::io::Error),
    /// It took too long.
    #[error("the new process did not serve within {} s and was ended: process {} goes on serving", WITHIN.as_secs(), .0)]
    Late(i32),
}

/// Who served, and who does.
#[derive(Clone, Copy, Debug)]
pub struct Upgraded {
    /// The process before.
    pub before: i32,
    /// The process now.
    pub now: u32,
}

/// Puts a new process of this program in the place of the one that serves.
pub fn upgrade(place: &MeetingPlace, config: &Path) -> Result<Upgraded, UpgradeError> {
    let at = || place.path().display().to_string();
    let wrong = |error| UpgradeError::Place { path: at(), error };
    let before = place.living().map_err(wrong)?.ok_or_else(|| UpgradeError::Nobody(at()))?;
    // What is there afterwards is the new one's.
    place.clear().map_err(wrong)?;
    let program = std::env::current_exe().map_err(UpgradeError::Start)?;
    let mut command = Command::new(program);
    // In a group of its own: who interrupts the command must not end what serves.
    command.args(["run", "--upgrade", "--config"]).arg(config).process_group(0);
    command.stdin(Stdio::null());
    if let Some(output) = output_of(before, 1) {
        command.stdout(output);
    }
    if let Some(output) = output_of(before, 2) {
        command.stderr(output);
    }
    let mut new = command.spawn().map_err(UpgradeError::Start)?;
    let served = follow(place, &mut new, before);
    if served.is_err() {
        // If it is gone already there is nothing to end.
        let _ = new.kill();
        let _ = new.wait();
    }
    served.map(|()| Upgraded { before: before.as_raw_pid(), now: new.id() })
}

/// Where another process writes to. Nothing comes for what cannot be opened a second time, as a socket.
fn output_of(process: Pid, descriptor: u8) -> Option<File> {
    let path = format!("/proc/{}/fd/{descriptor}", process.as_raw_pid());
    // A pipe that nobody reads would keep whoever opens it.
    let patient = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
    let output = OpenOptions::new().append(true).custom_flags(patient).open(path).ok()?;
    // NONBLOCK was for the opening: later a full pipe must make the log's thread wait, not fail.
    fcntl_setfl(&output, OFlags::APPEND).ok()?;
    Some(output)
}

/// Waits for the new process, and tells the old one when it is awaited.
fn follow(place: &MeetingPlace, new: &mut Child, before: Pid) -> Result<(), UpgradeError> {
    let deadline = Instant::now() + WITHIN;
    let mut is_told = false;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = new.try_wait() {
            return Err(UpgradeError::Ended(status, before.as_raw_pid()));
        }
        if !is_told && place.is_awaited() {
            let told = kill_process(before, Signal::QUIT);
            told.map_err(|error| UpgradeError::Signal(before.as_raw_pid(), error.into()))?;
            is_told = true;
        }
        // What cannot be read now can be a moment later: the deadline ends it.
        let serves = place.living().ok().flatten().map(|pid| pid.as_raw_pid().unsigned_abs());
        if serves == Some(new.id()) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(UpgradeError::Late(before.as_raw_pid()))
}
