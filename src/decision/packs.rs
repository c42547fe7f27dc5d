//! Packs: what is a fact of an ecosystem and not of a gateway, one constant for each ecosystem.
//!
//! Plain data with the sources that it comes from. The stages take what they hold requests against from here; what an
//! ecosystem has in common with every other (the RFCs, FAPI) is theirs. A new ecosystem is a file beside
//! [`opin`] and [`ofb`], and the words by which a configuration chooses it.

pub mod ofb;
pub mod opin;

use std::num::NonZeroU32;
use std::time::Duration;

use time::UtcOffset;

pub use ofb::OFB;
pub use opin::OPIN;

/// The facts of an ecosystem.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// Of client certificates.
    pub certificates: CertificateFacts,
    /// Of access tokens.
    pub tokens: TokenFacts,
    /// Of consents.
    pub consents: ConsentFacts,
    /// Of what a participant must sustain.
    pub limits: LimitFacts,
    /// By which clock its days begin.
    pub day: UtcOffset,
}

/// What client certificates of participants have.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFacts {
    /// What organizationIdentifier begins with.
    pub organisation_prefix: &'static str,
    /// The organisation (O) that issues for production.
    pub production_issuer: &'static str,
    /// The organisation that issues for the directory's sandbox.
    pub sandbox_issuer: &'static str,
    /// From notBefore to notAfter.
    pub longest_validity: Duration,
}

/// What access tokens have.
#[derive(Clone, Copy, Debug)]
pub struct TokenFacts {
    /// From iat to exp.
    pub longest_lifetime: Duration,
}

/// How consents live.
#[derive(Clone, Copy, Debug)]
pub struct ConsentFacts {
    /// For how long one may await its confirmation.
    pub authorisation_window: Duration,
    /// Whether an initiation uses its consent up (CONSUMED).
    pub are_consumed: bool,
    /// Whether each has an end.
    pub always_end: bool,
    /// What an initiation under one that is not in force is told, in the terms of RFC 6750: that its token reaches
    /// less far (403), or that it is worth nothing any more (401).
    pub lapse_leaves_the_token: bool,
    /// Where a description names the consent that shares its fate, as a JSON pointer.
    pub linked_member: Option<&'static str>,
    /// Permissions that two versions of the consents API name differently, of which consents live side by side: the
    /// older version's name, the newer one's.
    pub renamed_permissions: &'static [(&'static str, &'static str)],
}

/// The floors that a participant must sustain: requests, and in what time.
#[derive(Clone, Copy, Debug)]
pub struct LimitFacts {
    /// Of all callers together.
    pub everyone: Floor,
    /// Of one source address.
    pub address: Floor,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// Requests.
    pub requests: NonZeroU32,
    /// In this time.
    pub per: Duration,
}

impl Floor {
    /// `requests` is at least one.
    const fn of(requests: u32, per: Duration) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { requests, per }
    }
}
