//! The gatehouse of an insurer in Open Insurance Brasil: one binary that proves who calls, what they may
//! do and for whose consent, and forwards to the legacy system behind it.
//!
//! # Life of a request
//!
//! The modules below stand in the order in which a request meets them. Reading this page, [`course`]
//! and [`admission`] is enough to know what happens to every request.
//!
//! 1. A connection arrives at a [`listener`]. If a trusted load balancer made it, a header says for
//!    whom. With `client_auth = "required"` the handshake needs a client certificate with a path to a
//!    trust anchor; its subject is read once into a [`identity::Participant`] that stays with the
//!    connection.
//! 2. The listener reads a request's head itself and refuses a framing that two readers could
//!    understand differently ([`request`]). The clock starts when it is whole ([`measure`]).
//! 3. The [`interaction`] id is accepted or minted; every answer from here on carries it. The client is who
//!    the connection came from, or who trusted hops say ([`address`]).
//! 4. [`admission::Admission::admit`] judges, cheap before dear and local before remote: the [`route`],
//!    the [`limits`], the form of the [`request`], the [`version`] that is asked for, the [`token`] and its
//!    binding to the connection's certificate (RFC 8705), the [`scope`], the [`parameters`], the [`consent`]
//!    by its [`terms`]. It gives a [`admission::Permit`], or the first [`refusal`] and where it was.
//! 5. Where the policy asks for an idempotency key, [`idempotency`] knows whether the operation was
//!    carried out already: then its answer is given again, and no backend is asked.
//! 6. With a permit, [`upstream`] chooses a server of the legacy system, [`headers`] removes what a
//!    caller must not say and tells the backend who calls.
//! 7. The answer gets the fields of the ecosystem ([`headers`]), and its [`links`] the public host where the
//!    configuration names one. A refusal, or a backend's fault, becomes
//!    the ecosystem's error body in one place.
//! 8. The exchange ends in one sample, which [`report`] counts, measures and logs; [`admin`] shows it.
//!
//! A stage that must know what another service knows asks through a seam ([`ask`], [`token::IssuerKeys`]); [`services`] are who
//! answers, over the network.
//!
//! [`config`] reads the files and says everything that is wrong at once; [`assembly`] makes of its settings, and of
//! what a reload keeps, what serves; [`server`] runs it and swaps it on SIGHUP. [`authoring`] writes the policies from the ecosystem's specifications.
//! [`inspect`] and [`review`] answer questions without a gateway.
//!
//! # The house
//!
//! Who decides is a crate without network, file or thread: src/decision, from the facts of an ecosystem ([`packs`]) to
//! [`admission`]. [`course`] leads an exchange through it, with [`idempotency`], [`upstream`], [`headers`] and [`links`] on the way to the
//! legacy system and back, and [`measure`] and [`report`] beside it; [`admin`] shows what they know. [`listener`] brings
//! callers in, [`services`] ask and fetch elsewhere. [`config`] reads, [`assembly`] makes, [`server`] runs. [`inspect`], `authoring`
//! and `review` are tools, which a gateway at the edge is built without; `lab` is the ecosystem on one machine.
//!
//! # The ladder
//!
//! A module uses only modules that stand above it in the list; `tests/architecture.rs` holds this. Up to
//! `admission` they are a crate of their own, `portaria-decision` (src/decision): plain Rust on the types of the `http` crate,
//! without socket, framework, file or thread.
//!
//! # Invariants
//!
//! 1. Nothing reaches a backend without a [`admission::Permit`], and only [`admission`] makes one.
//! 2. An unknown answer is a refusal; what cannot be decided now is 503 with `Retry-After`, never 401.
//! 3. Nothing that a caller sends reaches a backend under a field name that the gateway owns.
//! 4. Every exchange ends in exactly one sample.
//! 5. Nothing secret or personal is `Display`, and its `Debug` says nothing.

// Named here as what they are: the first rungs of the ladder.
pub use portaria_decision::{
    address, admission, ask, consent, digest, http1, identity, interaction, limits, moment, packs,
    parameters, printed, pseudonym, refusal, request, route, scope, strict, terms, token, version,
};

pub mod scratch;
pub mod last_good;
pub mod idempotency;
pub mod headers;
pub mod links;
pub mod alarm;
pub mod upstream;
pub mod measure;
pub mod course;
pub mod report;
pub mod admin;
pub mod listener;
pub mod services;
pub mod config;
pub mod assembly;
pub mod inspect;
#[cfg(feature = "tools")]
pub mod authoring;
#[cfg(feature = "tools")]
pub mod review;
pub mod server;
#[cfg(feature = "lab")]
pub mod lab;
