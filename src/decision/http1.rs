//! HTTP/1.1 messages without I/O: what stands where in a head ([`mod@line`], [`answer`]), where a body ends ([`body`]),
//! and whether a connection may carry another exchange ([`ledger`]).
//!
//! Functions and small machines over buffers that their caller owns: they say how much is consumed and what it was,
//! or that more is needed, whichever way the bytes are cut into reads. No socket, no clock. Both sides of the gateway
//! read bodies with the same machine; heads are read by `request::framing` (callers', stricter) and [`answer`]
//! (backends'). What two readers could understand differently is a fault, with few leniencies towards backends,
//! each at its line.
//!
//! Standard: RFC 9112.

pub mod line;
pub mod body;
pub mod answer;
pub mod ledger;
#[cfg(any(test, portaria_fuzz))]
pub mod scrutiny;
