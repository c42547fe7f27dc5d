//! The PKI of the lab, shaped like ICP-Brasil: two generations of roots, an issuing authority, another one
//! delegated by it, and one that both roots certify.

use super::{CertificationAuthority, rsa_key};
use crate::lab::Result;

const HOUR: i64 = 3600;
/// How long the lab's revocation lists hold.
pub const LISTS_HOLD: i64 = 30 * 24 * HOUR;

/// The lab's authorities.
pub struct Hierarchy {
    /// The root that most lead to.
    pub root_one: CertificationAuthority,
    /// The root of another generation.
    pub root_two: CertificationAuthority,
    /// Issues certificates under root one.
    pub issuing: CertificationAuthority,
    /// Issues certificates under the issuing authority: a path of four certificates, as ICP-Brasil's.
    pub delegated: CertificationAuthority,
    /// Issues certificates under either root.
    pub crossed: CertificationAuthority,
    /// A root that nobody trusts.
    pub stranger: CertificationAuthority,
}

impl Hierarchy {
    /// New authorities.
    pub fn new() -> Result<Self> {
        let root_one = CertificationAuthority::root("portaria lab root v10", rsa_key()?)?;
        let root_two = CertificationAuthority::root("portaria lab root v5", rsa_key()?)?;
        let issuing = root_one.issuing("portaria lab SSL v1", rsa_key()?)?;
        Ok(Self {
            delegated: issuing.issuing("portaria lab SSL delegated", rsa_key()?)?,
            crossed: root_one
                .issuing("portaria lab SSL crossed", rsa_key()?)?
                .cross_signed_by(&root_two)?,
            stranger: CertificationAuthority::root("another root", rsa_key()?)?,
            issuing,
            root_one,
            root_two,
        })
    }

    /// The trust anchors in PEM.
    pub fn anchors_pem(&self) -> String {
        self.root_one.pem() + &self.root_two.pem()
    }

    /// The names of those that issue certificates to clients.
    pub const ISSUERS: [&str; 3] = ["issuing", "delegated", "crossed"];

    /// Those that issue certificates to clients, by name.
    pub fn issuers(&self) -> impl Iterator<Item = (&'static str, &CertificationAuthority)> {
        self.trusted().into_iter().filter(|(name, _)| Self::ISSUERS.contains(name))
    }

    /// Every authority that is trusted, by its name among files.
    pub fn trusted(&self) -> [(&'static str, &CertificationAuthority); 5] {
        [
            ("root-one", &self.root_one),
            ("root-two", &self.root_two),
            ("issuing", &self.issuing),
            ("delegated", &self.delegated),
            ("crossed", &self.crossed),
        ]
    }

    /// The revocation list in PEM of each of them, which names nobody.
    pub fn lists(&self) -> Result<Vec<(&'static str, String)>> {
        let list = |(name, authority): (&'static str, &CertificationAuthority)| {
            Ok((name, authority.revocation_list(1, &[], -HOUR, LISTS_HOLD)?))
        };
        self.trusted().into_iter().map(list).collect()
    }
}
