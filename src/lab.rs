//! The ecosystem on one machine, for demos, tests and benches: a PKI shaped like ICP-Brasil, an
//! authorization server, a consent registry, a legacy backend, a client, and a tour of the gateway.
//!
//! Behind the cargo feature `lab`: the production binary contains none of it. What it does not do is
//! what the real ones do beyond what the gateway sees: there is no login and no customer.

pub mod pki;
pub mod http;
pub mod authorization;
pub mod bad_tokens;
pub mod consents;
pub mod backend;
pub mod client;
pub mod directory;
pub mod tour;

/// The lab's errors go to whoever runs it: any will do.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result of the lab.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Listens on an address, or says which one is taken.
async fn bind(address: std::net::SocketAddr) -> Result<tokio::net::TcpListener> {
    let listener = tokio::net::TcpListener::bind(address).await;
    listener.map_err(|error| format!("cannot listen on {address} ({error})").into())
}
