//! Open Insurance Brasil.

use std::time::Duration;

use time::macros::offset;

use super::{CertificateFacts, ConsentFacts, Floor, LimitFacts, Pack, TokenFacts};

/// Its facts.
pub const OPIN: Pack = Pack {
    // Certificate standard of Open Insurance Brasil: BRCAC of ICP-Brasil in production, the directory's own
    // authority in the sandbox.
    certificates: CertificateFacts {
        organisation_prefix: "OPIBR-",
        production_issuer: "ICP-Brasil",
        sandbox_issuer: "Open Insurance Brasil",
        // What public authorities may issue for, and more than ICP-Brasil's type A1 has.
        longest_validity: Duration::from_secs(398 * 86_400),
    },
    // FAPI profile of Open Banking Brasil, 5.2.2 item 13 (300 to 900 seconds), which OPIN took over.
    tokens: TokenFacts { longest_lifetime: Duration::from_secs(900) },
    // Consents API 2.7.0 and 3.0.0, which agree in all of these, and the state machines of OPIN.
    consents: ConsentFacts {
        authorisation_window: Duration::from_secs(3600),
        are_consumed: true,
        always_end: true,
        lapse_leaves_the_token: true,
        linked_member: None,
        // The permission enumerations of OPIN consents 2.7.0 and 3.0.0.
        renamed_permissions: &[
            ("LIFE_PENSION_CLAIM", "LIFE_PENSION_CLAIM_READ"),
            ("PENSION_PLAN_CLAIM", "PENSION_PLAN_CLAIM_READ"),
            ("QUOTE_CAPITALIZATION_TITLE_RAFFLE_CREATE", "CAPITALIZATION_TITLE_RAFFLE_CREATE"),
        ],
    },
    // Non-functional requirements: 300 requests a second in total, 500 a minute and address.
    limits: LimitFacts {
        everyone: Floor::of(300, Duration::from_secs(1)),
        address: Floor::of(500, Duration::from_secs(60)),
    },
    // Policy of API versions 1.3: days are those of Brasília, without daylight saving since 2019.
    day: offset!(-3),
};
