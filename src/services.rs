//! The services that portaria asks and fetches from, over the network: the client that answers in service
//! ([`remote`]), and what is fetched on a schedule, of which the last good one is kept: key sets ([`key_sets`]) and revocation
//! lists ([`lists`]).
//!
//! A fault here means "cannot decide", never "no".

mod connect;
pub mod key_sets;
pub mod lists;
pub mod remote;

pub use remote::{Endpoint, Remote};
