//! The decision of a gateway: may this request reach the backend?
//!
//! Takes a request as it arrived and what is known of where it came from; gives an [`admission::Permit`], or the first
//! [`refusal`]. Knows no network, no file and no thread: whoever asks other services ([`ask`], [`token::IssuerKeys`]), reads files
//! and counts is given. Time is given too: nothing here asks what time it is in order to decide.
//!
//! The modules stand in the order in which they may use each other; read [`admission`] for what happens to a request. An
//! example of the whole is at [`admission::Admission`].
//!
//! # Invariants
//!
//! 1. Only [`admission`] makes a [`admission::Permit`].
//! 2. An unknown answer is a refusal; what cannot be decided now is 503 with `Retry-After`, never 401.
//! 3. Nothing secret or personal is `Display`, and its `Debug` says nothing.

#![warn(clippy::missing_errors_doc)]

pub mod packs;
pub mod moment;
pub mod printed;
pub mod pseudonym;
pub mod digest;
pub mod strict;
pub mod address;
pub mod interaction;
pub mod http1;
pub mod request;
pub mod identity;
pub mod ask;
pub mod scope;
pub mod terms;
pub mod token;
pub mod consent;
pub mod version;
pub mod parameters;
pub mod route;
pub mod limits;
pub mod refusal;
pub mod admission;
