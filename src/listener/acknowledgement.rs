//! The last flight of a handshake is acknowledged at once.
//!
//! With TLS 1.3 the client speaks last, and the gateway, which sends no tickets, has nothing to say that would carry
//! the acknowledgement. The system delays it then, by 40 ms; and a client that leaves Nagle's algorithm on sends
//! its first request only after it. So the system is told that what came is to be acknowledged now
//! (TCP_QUICKACK). It goes back to waiting by itself.

use std::os::fd::AsFd;

use rustix::net::sockopt;

/// Acknowledges what has arrived. If that cannot be done, it is done a little later by itself.
pub(super) fn hurry(socket: impl AsFd) {
    if let Err(error) = sockopt::set_tcp_quickack(socket, true) {
        tracing::debug!(%error, "a handshake is not acknowledged at once");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_is_told_to_acknowledge() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sockopt::set_tcp_quickack(&client, false).unwrap();
        hurry(&client);
        assert!(sockopt::tcp_quickack(&client).unwrap());
    }
}
