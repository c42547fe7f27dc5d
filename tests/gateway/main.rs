//! The real gateway, over real sockets: certificates and tokens made here, an authorization server, a
//! consent registry and a backend that records what reached it. Modules stand in the order of a
//! request's path.

#![expect(unreachable_pub, reason = "the harness is this crate's library")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

mod harness;
mod listener;
mod inspect;
mod address;
mod interaction;
mod request;
mod identity;
mod route;
mod version;
mod parameters;
mod limits;
mod ceilings;
mod tls;
mod token;
mod oidc;
mod trust;
mod revocation;
mod lists;
mod hostile;
mod scope;
mod shadow;
mod consent;
mod idempotency;
mod explain;
mod headers;
mod links;
mod upstream;
mod http;
mod measure;
mod report;
mod reload;
mod life;
mod upgrade;
mod certificate;
mod config;
mod errors;
mod policies;
mod authoring;
mod review;
mod profile;
