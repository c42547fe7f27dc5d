//! The handover: listening sockets pass from the process that serves to the one that comes after it.
//!
//! Both meet at a socket in a directory that is nobody else's ([`MeetingPlace::check`]). The one that comes
//! after waits there; the one that serves comes when it is told to (SIGQUIT), gives, and goes on serving until
//! it hears that the other does. Each looks whose process the other is (SO_PEERCRED), for a file's mode alone
//! says nothing about who had it open before. What is given is believed only for what the system says of it:
//! a listening TCP socket, and its address ([`Inheritance`]).
//!
//! The framework has a handover of its own, which lets any user of the machine give sockets, and ends the old
//! process whether or not anybody took them: it is not used.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::fs::{FlockOperation, flock};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, sockopt,
};
use rustix::process::{Pid, Uid, geteuid};
use thiserror::Error;

/// What comes with the sockets: another program's are not taken for a gateway's.
const GREETING: &[u8] = b"portaria sockets 1\n";
/// What the one that takes them says once it serves.
const SERVING: u8 = b'S';
/// The kernel passes no more at a time.
const MOST_SOCKETS: usize = 253;
/// Longest path of a socket.
const LONGEST_PATH: usize = 107;
/// How long the other side may take for what is done at once.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long it may take from the sockets to the first exchange.
const UNTIL_SERVING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Why no sockets change hands at a place.
#[derive(Debug, Error)]
pub enum HandoverError {
    /// There is no directory.
    #[error("its directory {directory} cannot be read ({error})")]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Somebody else could put a socket there.
    #[error("its directory {directory} is open to others (mode {mode:o}, owner {owner})")]
    Open {
        /// The directory.
        directory: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Whose it is.
        owner: u32,
    },
    /// The system takes no such path.
    #[error("it is longer than a socket's path may be ({LONGEST_PATH} bytes)")]
    Long,
    /// Something else is there.
    #[error("there is something that is no socket")]
    NoSocket,
    /// Another process waits already.
    #[error("another process waits there")]
    Taken,
    /// Nobody waits.
    #[error("nobody waits there")]
    Nobody,
    /// The other end is another user's.
    #[error("user {0} is at the other end")]
    Stranger(u32),
    /// The other end does not say what a gateway says.
    #[error("what was received is no gateway's handover")]
    Foreign,
    /// Nobody came.
    #[error("nobody handed sockets over within {} s", .0.as_secs())]
    Deserted(Duration),
    /// The other end took the sockets, and does not serve.
    #[error("process {0} took the sockets and ended before it served")]
    Died(i32),
    /// There are too many.
    #[error("more than {MOST_SOCKETS} sockets")]
    TooMany,
    /// Anything else.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for HandoverError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::System(error.into())
    }
}

/// Where two processes of a user meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingPlace(PathBuf);

impl MeetingPlace {
    /// The place of a socket.
    pub fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Requires that nobody else can put anything there.
    pub fn check(&self) -> Result<(), HandoverError> {
        let directory = match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let facts = std::fs::metadata(directory).and_then(|facts| match facts.is_dir() {
            true => Ok(facts),
            false => Err(ErrorKind::NotADirectory.into()),
        });
        let directory = directory.to_owned();
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => return Err(HandoverError::Directory { directory, error }),
        };
        let (mode, owner) = (facts.mode() & 0o7777, facts.uid());
        // The directory, since a socket's own mode counts on Linux alone.
        if mode & 0o077 != 0 || owner != geteuid().as_raw() {
            return Err(HandoverError::Open { directory, mode, owner });
        }
        match self.0.as_os_str().len() <= LONGEST_PATH {
            true => Ok(()),
            false => Err(HandoverError::Long),
        }
    }

    /// Gives sockets to whoever waits, and returns when it serves them. Takes as long as that does.
    pub fn give(&self, sockets: &[TcpListener]) -> Result<Pid, HandoverError> {
        self.check()?;
        // Refused as well: a socket whose process died is still there.
        let stream = UnixStream::connect(&self.0).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => HandoverError::Nobody,
            _ => error.into(),
        })?;
        // Before anything is sent: whoever has the sockets can answer for the gateway.
        let pid = own_peer(&stream, geteuid())?;
        stream.set_write_timeout(Some(AT_ONCE))?;
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(HandoverError::TooMany);
        }
        // One message: the sockets go with its first byte.
        let sent = sendmsg(&stream, &[IoSlice::new(GREETING)], &mut control, SendFlags::NOSIGNAL)?;
        if sent != GREETING.len() {
            return Err(HandoverError::Foreign);
        }
        stream.set_read_timeout(Some(UNTIL_SERVING))?;
        let mut word = [0];
        match (&stream).read_exact(&mut word) {
            Ok(()) if word == [SERVING] => Ok(pid),
            // However it ended: only the word counts, for this process must not end on a guess.
            _ => Err(HandoverError::Died(pid.as_raw_pid())),
        }
    }

    /// Waits for sockets.
    pub fn await_sockets(&self, within: Duration) -> Result<Inheritance, HandoverError> {
        self.clear()?;
        let waiting = WaitingSocket::at(&self.0)?;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            match waiting.listener.accept() {
                Ok((stream, _)) => match receive(stream) {
                    Ok(inheritance) => return Ok(inheritance),
                    Err(error) => {
                        // And waits on: a stranger who connects first must not keep the real one away.
                        tracing::warn!("{}: a connection was refused: {error}", self.0.display());
                    }
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => return Err(error.into()),
            }
        }
        Err(HandoverError::Deserted(within))
    }

    /// Removes what a process left that waited here and died.
    pub fn clear(&self) -> Result<(), HandoverError> {
        self.check()?;
        let facts = match std::fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            facts => facts?,
        };
        if !facts.file_type().is_socket() {
            return Err(HandoverError::NoSocket);
        }
        // Whoever waits there accepts: only a socket of nobody refuses.
        match UnixStream::connect(&self.0) {
            Ok(_) => Err(HandoverError::Taken),
            Err(_) => Ok(std::fs::remove_file(&self.0)?),
        }
    }

    /// Whether somebody waits, as far as can be seen without a word.
    pub fn is_awaited(&self) -> bool {
        std::fs::symlink_metadata(&self.0).is_ok_and(|facts| facts.file_type().is_socket())
    }

    /// Says in a file beside the socket that this process serves, as long as what is returned is kept.
    pub fn announce(&self) -> Result<Announced, HandoverError> {
        self.check()?;
        let own = std::process::id();
        // Under a name of its own until it is locked: nobody reads an empty or an unlocked file.
        let new = self.0.with_extension(format!("pid.{own}"));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        // The lock ends with the process, however that ends; a number alone may be another's by now.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(own.to_string().as_bytes())?;
        // In one step; the file of the process before keeps its lock and is seen by nobody.
        std::fs::rename(&new, self.announcement())?;
        Ok(Announced { _locked: file })
    }

    /// The process that serves. A file that nobody holds is one that a process left.
    pub fn living(&self) -> Result<Option<Pid>, HandoverError> {
        self.check()?;
        let mut file = match File::open(self.announcement()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        // Could it be locked, nobody holds it; what was got is given back with the file.
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            locked => return Ok(locked.map(|()| None)?),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text.trim().parse().ok().and_then(Pid::from_raw))
    }

    fn announcement(&self) -> PathBuf {
        self.0.with_extension("pid")
    }
}

/// That a process serves.
#[derive(Debug)]
pub struct Announced {
    _locked: File,
}

/// A socket that is gone when nobody waits at it any more.
struct WaitingSocket<'a> {
    listener: UnixListener,
    path: &'a Path,
}

impl<'a> WaitingSocket<'a> {
    fn at(path: &'a Path) -> Result<Self, HandoverError> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path })
    }
}

impl Drop for WaitingSocket<'_> {
    fn drop(&mut self) {
        // What stays behind is cleared by the next one that waits (`clear`).
        let _ = std::fs::remove_file(self.path);
    }
}

/// The process at the other end, if it is this user's.
fn own_peer(stream: &UnixStream, user: Uid) -> Result<Pid, HandoverError> {
    let peer = sockopt::socket_peercred(stream)?;
    match peer.uid == user {
        true => Ok(peer.pid),
        false => Err(HandoverError::Stranger(peer.uid.as_raw())),
    }
}

fn receive(stream: UnixStream) -> Result<Inheritance, HandoverError> {
    let from = own_peer(&stream, geteuid())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(AT_ONCE))?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // One more than it is long: a longer message is seen to be another.
    let mut greeting = [0; GREETING.len() + 1];
    let mut parts = [IoSliceMut::new(&mut greeting)];
    // At once: a program that is started in between would keep the ports open.
    let message = recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
        _ => None,
    });
    // What was received is owned from here on, whatever becomes of it.
    let sockets: Vec<OwnedFd> = rights.flatten().collect();
    let is_whole = !message.flags.intersects(ReturnFlags::CTRUNC | ReturnFlags::TRUNC);
    if !is_whole || greeting.get(..message.bytes) != Some(GREETING) {
        return Err(HandoverError::Foreign);
    }
    Ok(Inheritance { sockets, predecessor: Predecessor { stream, pid: from } })
}

/// Sockets of the process before.
#[derive(Debug)]
pub struct Inheritance {
    sockets: Vec<OwnedFd>,
    /// Whose they were.
    pub predecessor: Predecessor,
}

impl Inheritance {
    /// The listening sockets among what was given that `wanted` names, and who else they came from. What is
    /// not wanted is closed, and said.
    pub fn settle(self, wanted: &[SocketAddr]) -> (Vec<TcpListener>, Predecessor) {
        let mut known: Vec<(SocketAddr, TcpListener)> = Vec::new();
        for socket in self.sockets {
            let Some((address, listener)) = listener_of(socket) else {
                tracing::warn!("what was handed over is no listening TCP socket: closed");
                continue;
            };
            // A second socket of one address would get connections that nobody accepts.
            let is_known = known.iter().any(|(other, _)| *other == address);
            if is_known || !wanted.contains(&address) {
                tracing::warn!(%address, "no listener has the address of a socket that was handed over: closed");
                continue;
            }
            known.push((address, listener));
        }
        (known.into_iter().map(|(_, listener)| listener).collect(), self.predecessor)
    }
}

/// What the system says of a descriptor, if it is one that connections are accepted from.
fn listener_of(socket: OwnedFd) -> Option<(SocketAddr, TcpListener)> {
    let family = sockopt::socket_domain(&socket).ok()?;
    let is_stream = sockopt::socket_type(&socket).ok()? == SocketType::STREAM;
    let is_listening = sockopt::socket_acceptconn(&socket).ok()?;
    if !is_stream || !is_listening || !matches!(family, AddressFamily::INET | AddressFamily::INET6)
    {
        return None;
    }
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true).ok()?;
    Some((listener.local_addr().ok()?, listener))
}

/// The process before, which serves until it hears from this one.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    pid: Pid,
}

impl Predecessor {
    /// Its process.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Whether it still waits to hear that this process serves: who gives up closes its end.
    pub fn waits(&self) -> bool {
        // Nothing is sent on this side: end of file is the one thing that there can be to read.
        let silent = self.stream.set_nonblocking(true).and_then(|()| (&self.stream).read(&mut [0]));
        let waits = silent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        waits && self.stream.set_nonblocking(false).is_ok()
    }

    /// Lets it end: this process serves.
    pub fn dismiss(mut self) -> std::io::Result<()> {
        self.stream.write_all(&[SERVING])
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn another_users_process_is_a_stranger() {
        let (here, _there) = UnixStream::pair().unwrap();
        let own = own_peer(&here, geteuid()).unwrap();
        assert_eq!(own.as_raw_pid().unsigned_abs(), std::process::id());
        let other = Uid::from_raw(geteuid().as_raw() + 1);
        let refused = own_peer(&here, other);
        assert!(matches!(refused, Err(HandoverError::Stranger(_))), "{refused:?}");
    }

    fn directory() -> tempfile::TempDir {
        let private = std::fs::Permissions::from_mode(0o700);
        tempfile::Builder::new().permissions(private).tempdir().unwrap()
    }

    #[test]
    fn whoever_waits_for_nobody_gives_up() {
        let directory = directory();
        let place = MeetingPlace::new(directory.path().join("upgrade.sock"));
        let given_up = place.await_sockets(Duration::from_millis(1));
        assert!(matches!(given_up, Err(HandoverError::Deserted(_))), "{given_up:?}");
        assert!(!place.is_awaited(), "nothing is left");
        assert!(matches!(place.give(&[]), Err(HandoverError::Nobody)));
    }

    #[test]
    fn an_announcement_counts_as_long_as_its_process_lives() {
        let directory = directory();
        let place = MeetingPlace::new(directory.path().join("upgrade.sock"));
        assert!(place.living().unwrap().is_none());
        let announced = place.announce().unwrap();
        let living = place.living().unwrap().map(|pid| pid.as_raw_pid().unsigned_abs());
        assert_eq!(living, Some(std::process::id()));
        drop(announced);
        assert!(place.living().unwrap().is_none(), "the file is there, and nobody holds it");
    }
}
