//! The last flight of a handshake is acknowledged at once.
//!
//! With TLS 1.3 the client speaks last, and the gateway, which sends no tickets, has nothing to say that would carry
//! the acknowledgement. The system delays it then, by 40 ms; and a client that leaves Nagle's algorithm on sends
//! its first request only after it. So the system is told that what came is to be acknowledged now
//! (TCP_QUICKACK). It goes back to waiting by itself.
//!
//! The framework tells of a socket only its number, of which nothing can be asked without `unsafe`. So the number
//! is passed through a pair of local sockets (SCM_RIGHTS), out of which comes a descriptor of the same socket.

use std::io::{IoSlice, IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};

/// Acknowledges what has arrived. If that cannot be done, it is done a little later by itself.
pub(super) fn hurry(socket: RawFd) {
    if let Err(error) = acknowledge(socket) {
        tracing::debug!(%error, "a handshake is not acknowledged at once");
    }
}

fn acknowledge(socket: RawFd) -> Result<()> {
    match duplicate(socket)? {
        Some(socket) => Ok(sockopt::set_tcp_quickack(socket, true)?),
        None => Ok(()),
    }
}

/// Another descriptor of the same socket.
fn duplicate(socket: RawFd) -> Result<Option<OwnedFd>> {
    let (here, there) = UnixDatagram::pair()?;
    let rights = [ControlMessage::ScmRights(&[socket])];
    sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(b".")], &rights, MsgFlags::MSG_DONTWAIT, None)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(&there, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let received = control.drain().find_map(|part| match part {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_duplicate_is_the_same_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let copy = TcpStream::from(duplicate(client.as_raw_fd()).unwrap().unwrap());
        assert_eq!(copy.local_addr().unwrap(), client.local_addr().unwrap());
        assert_ne!(copy.as_raw_fd(), client.as_raw_fd());
        sockopt::set_tcp_quickack(&client, false).unwrap();
        hurry(client.as_raw_fd());
        assert!(sockopt::tcp_quickack(&client).unwrap());
        assert!(acknowledge(-1).is_err(), "and what is none is none");
    }
}
