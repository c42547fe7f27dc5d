//! The profile of client certificates (BRCAC): what an ecosystem asks of a certificate beyond its path.
//!
//! Takes an end entity whose path holds; gives the rules that it breaks, each with its [`Level`]. A rule
//! that is enforced refuses every request of the connection, one that warns is counted and logged.
//! Which organisation and software statement a certificate names is read elsewhere
//! (`identity::subject`) and is never a matter of level.
//!
//! Standards: OPIN certificate standard 5.2.2.1 and 7.1.2, Open Finance Brasil certificate standard (BRC).
//! Where they leave a bound open (the validity period) or samples of the ecosystem contradict them
//! (keyEncipherment, attributes in the sandboxes), the presets warn.

mod cnpj;
mod preset;
mod rule;

use std::time::Duration;

use x509_parser::der_parser::asn1_rs::{Oid, Tag, oid};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::subject::{
    COMMON_NAME, ORGANISATION_IDENTIFIER, ORGANISATION_NAME, SERIAL_NUMBER, USER_ID, once,
};
pub use preset::Preset;
pub use rule::{Level, Levels, Rule};

const COUNTRY: Oid<'static> = oid!(2.5.4.6);
const LOCALITY: Oid<'static> = oid!(2.5.4.7);
const STATE: Oid<'static> = oid!(2.5.4.8);
const BUSINESS_CATEGORY: Oid<'static> = oid!(2.5.4.15);
const JURISDICTION: Oid<'static> = oid!(1.3.6.1.4.1.311.60.2.1.3);

/// The attributes of a subject that mean something to the ecosystem.
const MEANT: [Oid<'static>; 10] = [
    BUSINESS_CATEGORY,
    JURISDICTION,
    SERIAL_NUMBER,
    COUNTRY,
    ORGANISATION_NAME,
    STATE,
    LOCALITY,
    ORGANISATION_IDENTIFIER,
    USER_ID,
    COMMON_NAME,
];

const BUSINESS_CATEGORIES: [&str; 4] =
    ["Private Organization", "Government Entity", "Business Entity", "Non-Commercial Entity"];

/// What is asked of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Accepted prefixes of organizationIdentifier, such as `OPIBR-`.
    pub organisation_prefixes: Vec<String>,
    /// The organisation (O) of the authorities that issue for this environment.
    pub issuer_organisation: String,
    /// Longest time from notBefore to notAfter.
    pub longest_validity: Duration,
    /// What each rule does.
    pub levels: Levels,
}

/// A rule that a certificate breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// What it does.
    pub level: Level,
}

impl Profile {
    /// The rules that a certificate breaks, without those that are off.
    pub fn examine(&self, certificate: &X509Certificate<'_>) -> Vec<Finding> {
        let on = Rule::ALL.into_iter().map(|rule| Finding { rule, level: self.levels.of(rule) });
        on.filter(|finding| finding.level != Level::Off)
            .filter(|finding| !self.is_met(finding.rule, certificate))
            .collect()
    }

    /// Whether a certificate keeps a rule.
    pub fn is_met(&self, rule: Rule, certificate: &X509Certificate<'_>) -> bool {
        let subject = certificate.subject();
        let says = |oid, is_right: &dyn Fn(&str) -> bool| once(subject, oid).is_some_and(is_right);
        match rule {
            Rule::OrganisationId => says(&ORGANISATION_IDENTIFIER, &|text| {
                self.without_prefix(text).is_some_and(is_uuid)
            }),
            Rule::SoftwareStatementId => says(&USER_ID, &is_uuid),
            Rule::Cnpj => says(&SERIAL_NUMBER, &cnpj::is_valid),
            Rule::BusinessCategory => {
                says(&BUSINESS_CATEGORY, &|text| BUSINESS_CATEGORIES.contains(&text))
            }
            Rule::Jurisdiction => says(&JURISDICTION, &|text| text == "BR"),
            Rule::Country => says(&COUNTRY, &|text| text == "BR"),
            Rule::Names => [&ORGANISATION_NAME, &STATE, &LOCALITY]
                .into_iter()
                .all(|oid| says(oid, &|text| !text.trim().is_empty())),
            Rule::Encoding => is_in_usual_encodings(subject),
            Rule::CommonName => says(&COMMON_NAME, &is_host),
            Rule::SubjectAlternativeName => names_a_host(certificate),
            Rule::KeyEncipherment => has_both_usages(certificate),
            Rule::KeyType => {
                matches!(certificate.public_key().parsed(), Ok(PublicKey::RSA(_)))
            }
            Rule::Validity => is_short(certificate, self.longest_validity),
            Rule::Issuer => {
                let organisation = once(certificate.issuer(), &ORGANISATION_NAME);
                // Sandbox authorities must not be trusted in production, even where a file of anchors has
                // both.
                organisation == Some(self.issuer_organisation.as_str())
            }
        }
    }

    /// What follows an accepted prefix.
    pub(super) fn without_prefix<'a>(&self, identifier: &'a str) -> Option<&'a str> {
        let prefixes = self.organisation_prefixes.iter();
        prefixes.map(String::as_str).find_map(|prefix| identifier.strip_prefix(prefix))
    }
}

fn is_uuid(text: &str) -> bool {
    // The library also takes braces, `urn:uuid:` and no hyphens; the directory writes none of them.
    text.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(text).is_ok()
}

/// UTF8String or PrintableString: any order, either encoding (OPIN certificate standard 7.1.2).
fn is_in_usual_encodings(subject: &X509Name<'_>) -> bool {
    let meant = subject.iter_attributes().filter(|a| MEANT.contains(a.attr_type()));
    let mut tags = meant.map(|attribute| attribute.attr_value().tag());
    tags.all(|tag| tag == Tag::Utf8String || tag == Tag::PrintableString)
}

fn names_a_host(certificate: &X509Certificate<'_>) -> bool {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.is_some_and(|names| {
        let mut hosts = names.value.general_names.iter();
        hosts.any(|name| matches!(name, GeneralName::DNSName(host) if is_host(host)))
    })
}

/// keyUsage, critical, of digitalSignature and keyEncipherment.
fn has_both_usages(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    usage.is_some_and(|usage| {
        usage.critical && usage.value.digital_signature() && usage.value.key_encipherment()
    })
}

fn is_short(certificate: &X509Certificate<'_>, longest: Duration) -> bool {
    let validity = certificate.validity();
    let seconds = validity.not_after.timestamp().saturating_sub(validity.not_before.timestamp());
    // Negative if it ends before it begins: webpki has refused that.
    u64::try_from(seconds).is_ok_and(|seconds| seconds <= longest.as_secs())
}

/// A fully qualified name, or a wildcard for one label of it.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        // RFC 1035 section 2.3.4, as the 253 below.
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_everything_else() {
        for host in ["tpp.example", "*.tpp.example", "a-b.c1.com.br"] {
            assert!(is_host(host), "{host}");
        }
        for other in
            ["", "client_one", "localhost", "https://tpp.example", "*", "a..b", "-a.b", "a.*.b"]
        {
            assert!(!is_host(other), "{other}");
        }
    }

    #[test]
    fn only_the_hyphenated_form_is_a_uuid() {
        assert!(is_uuid("d7384bd0-842f-43c5-be02-9d2b2d5efc2c"));
        for other in
            ["d7384bd0842f43c5be029d2b2d5efc2c", "{d7384bd0-842f-43c5-be02-9d2b2d5efc2c}", ""]
        {
            assert!(!is_uuid(other), "{other}");
        }
    }
}
