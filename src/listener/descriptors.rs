//! The descriptors of the process: for how many connections they suffice.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are neither a caller's nor its request's: logs, the admin endpoint, the store of idempotent
/// answers, revocation lists, the services that are asked.
pub const RESERVE: u32 = 128;

/// How many descriptors the process may have, once [`raise`] was called.
pub fn limit() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    // No maximum is no limit (RLIM_INFINITY).
    let most = limit.maximum.or(limit.current);
    most.map_or(u32::MAX, |most| u32::try_from(most).unwrap_or(u32::MAX))
}

/// Takes what the process may have: what it gets at first (1024 with most service managers) is meant for
/// programs that cannot take more.
pub fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Told and borne: fewer connections are better than none.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of descriptors (RLIMIT_NOFILE) cannot be raised");
    }
}
