//! What a case says of the client's certificate.

use time::{Duration, OffsetDateTime};
use x509_parser::der_parser::asn1_rs::{Oid, oid};

use super::case::{TIME, parse_time};
use crate::config::document::Table;

/// The certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientCertificate {
    /// Attributes of the subject that are there.
    pub(super) subject: Vec<(Oid<'static>, String)>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    pub(super) purpose: Option<KeyPurpose>,
    /// Whether the listener's anchor issued it.
    pub(super) is_trusted: bool,
}

/// What extendedKeyUsage names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyPurpose {
    Client,
    Server,
}

/// The attributes of a subject, under the keys of a case, with those of a good certificate: the order is
/// that of the OPIN certificate standard 5.2.2.1.
const SUBJECT: [(&str, Oid<'static>, &str); 10] = [
    ("business_category", oid!(2.5.4.15), "Private Organization"),
    ("jurisdiction", oid!(1.3.6.1.4.1.311.60.2.1.3), "BR"),
    ("cnpj", oid!(2.5.4.5), "11222333000181"),
    ("country", oid!(2.5.4.6), "BR"),
    ("organisation_name", oid!(2.5.4.10), "Seguradora Exemplo S.A."),
    ("state", oid!(2.5.4.8), "SP"),
    ("locality", oid!(2.5.4.7), "Sao Paulo"),
    ("organisation_id", oid!(2.5.4.97), "d7384bd0-842f-43c5-be02-9d2b2d5efc2c"),
    (
        "software_statement_id",
        oid!(0.9.2342.19200300.100.1.1),
        "bc97b8f0-cae0-4f2f-9978-d93f0e56a833",
    ),
    ("common_name", oid!(2.5.4.3), "tpp.example"),
];

/// Reads `certificate`: that of a good participant, unless the case says otherwise or there is none.
pub(super) fn read_certificate(
    table: &Table<'_>,
    prefix: &str,
    clock: OffsetDateTime,
) -> Option<ClientCertificate> {
    if table.raw_is("certificate", "none") {
        return None;
    }
    let mut certificate = good(prefix, clock);
    if let Some(table) = table.table("certificate") {
        change(&mut certificate, &table, clock);
    }
    Some(certificate)
}

/// A public listener asks for none.
pub(super) fn reject_certificate(table: &Table<'_>) {
    if table.has("certificate") {
        let place = table.place("certificate");
        place.reject("has no effect with listener = \"public\", accepted: \"mutual\"");
    }
}

/// That of a good participant.
pub(super) fn good(prefix: &str, clock: OffsetDateTime) -> ClientCertificate {
    let attribute = |(key, oid, value): (&str, Oid<'static>, &str)| match key {
        "organisation_id" => (oid, format!("{prefix}{value}")),
        _ => (oid, value.to_owned()),
    };
    ClientCertificate {
        subject: SUBJECT.map(attribute).to_vec(),
        // 330 days: within the 398 of the profile, and no case is about either end unless it says so.
        not_before: clock.saturating_sub(Duration::days(30)),
        not_after: clock.saturating_add(Duration::days(300)),
        purpose: Some(KeyPurpose::Client),
        is_trusted: true,
    }
}

/// The same, which names no participant.
pub(super) fn nameless(prefix: &str, clock: OffsetDateTime) -> ClientCertificate {
    let mut certificate = good(prefix, clock);
    certificate.subject.retain(|(known, _)| *known != oid!(2.5.4.97));
    certificate
}

fn change(certificate: &mut ClientCertificate, table: &Table<'_>, clock: OffsetDateTime) {
    for (key, oid, _) in SUBJECT {
        let accepted = "a text; an empty one stands for an attribute that is not there";
        if let Some(given) = table.string(key, accepted) {
            certificate.subject.retain(|(known, _)| *known != oid);
            if !given.value.is_empty() {
                certificate.subject.push((oid, given.value));
            }
        }
    }
    let time = |key| Some(table.parsed(key, TIME, |text| parse_time(text, clock))?.value);
    certificate.not_before = time("not_before").unwrap_or(certificate.not_before);
    certificate.not_after = time("not_after").unwrap_or(certificate.not_after);
    let purpose =
        table.parsed("purpose", "\"client\", \"server\" or \"none\"", |text| match text {
            "client" => Some(Some(KeyPurpose::Client)),
            "server" => Some(Some(KeyPurpose::Server)),
            "none" => Some(None),
            _ => None,
        });
    if let Some(purpose) = purpose {
        certificate.purpose = purpose.value;
    }
    certificate.is_trusted = table.boolean("trusted").unwrap_or(true);
}
