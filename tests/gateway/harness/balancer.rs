//! A load balancer that passes TLS through, and says for whom.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::LOOPBACK;

/// How the header goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// In one write with what the client sends first.
    Glued,
    /// Byte by byte, each in a segment of its own.
    Bytewise,
}

/// A balancer that stops when it is dropped.
pub struct Balancer {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Balancer {
    /// A balancer in front of `gateway` whose own address is `from`. Each connection that it makes
    /// begins with `header`.
    pub async fn start(gateway: SocketAddr, from: IpAddr, header: &[u8], pace: Pace) -> Self {
        let listener = TcpListener::bind(LOOPBACK).await.unwrap();
        let address = listener.local_addr().unwrap();
        let header = header.to_vec();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let header = header.clone();
                connections.spawn(async move {
                    // A gateway that refuses is what the test asks about.
                    let _ = relay(client, gateway, from, header, pace).await;
                });
            }
        });
        Self { address, task }
    }
}

async fn relay(
    mut client: TcpStream,
    gateway: SocketAddr,
    from: IpAddr,
    mut header: Vec<u8>,
    pace: Pace,
) -> std::io::Result<()> {
    let mut server = connect_from(from, gateway).await?;
    if pace == Pace::Bytewise {
        for byte in header.drain(..) {
            server.write_all(&[byte]).await?;
        }
    }
    client.read_buf(&mut header).await?;
    server.write_all(&header).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// A connection whose own address is chosen: all of 127.0.0.0/8 is this machine.
pub async fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
