//! Open Finance Brasil: what it does otherwise than Open Insurance Brasil, which took over most of it.

use std::time::Duration;

use super::{CertificateFacts, ConsentFacts, OPIN, Pack};

/// Its facts.
pub const OFB: Pack = Pack {
    certificates: CertificateFacts {
        organisation_prefix: "OFBBR-",
        sandbox_issuer: "Open Banking Brasil",
        ..OPIN.certificates
    },
    // Guide of the consents API (60 minutes, no CONSUMED, consents without end) and FAPI profile 7.2.2.
    consents: ConsentFacts {
        authorisation_window: Duration::from_secs(3600),
        are_consumed: false,
        always_end: false,
        lapse_leaves_the_token: false,
        linked_member: Some("/data/journey/linkId"),
        renamed_permissions: &[],
    },
    ..OPIN
};
