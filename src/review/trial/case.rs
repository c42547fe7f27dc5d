//! A case: a request, who sends it, what is known of its token and consent, and what is expected.
//!
//! Whatever a case does not say is that of a good request, so that a case is about what it says.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::certificate::{ClientCertificate, read_certificate, reject_certificate};
use super::token::{Token, read_token};
use super::verdict::{self, TrialVerdict};
use crate::config::document::{Document, Located, Mistakes, Place, Table};
use crate::config::offline::CONTENT_METHODS;
use crate::config::values;
use crate::consent::ConsentKind;
use crate::review::rehearsal::{good_fields, parse_field, replace};
use crate::route::Exposure;

/// The host that a good request asks for, in its handshake and in its head.
pub(super) const HOST: &str = "gateway.example";
/// The client that a token or a consent is, unless it says otherwise.
pub(super) const CLIENT: &str = "client-1";
/// Where a request comes from, unless it says otherwise.
pub(super) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLOCK: &str = "a time such as \"2026-11-22T12:00:00Z\"";
/// What a time in a case looks like.
pub(super) const TIME: &str = "a time such as \"2026-11-22T12:00:00Z\", or one before or after the clock such as \"-1m\" or \"+15m\"";

/// One case.
#[derive(Debug)]
pub(super) struct TrialCase {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) clock: OffsetDateTime,
    pub(super) exposure: Exposure,
    pub(super) address: IpAddr,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) has_body: bool,
    pub(super) token: Option<Token>,
    /// What the registry knows; nothing if it does not answer.
    pub(super) consents: Option<Vec<KnownConsent>>,
    pub(super) before: Before,
    pub(super) expected: TrialVerdict,
}

/// A consent as the registry knows it.
#[derive(Debug)]
pub(super) struct KnownConsent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) permissions: Vec<String>,
    pub(super) client_id: String,
    pub(super) expires: OffsetDateTime,
    /// Under which names the registry knows it; both, in a case.
    pub(super) kinds: &'static [ConsentKind],
}

/// What the registry may know a consent as.
pub(super) const KINDS: [ConsentKind; 2] = [ConsentKind::Consent, ConsentKind::Enrollment];

/// Requests that came before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) of_address: u32,
    pub(super) of_others: u32,
    /// Evenly spread over this time, which ended
    pub(super) within: Duration,
    /// so long ago.
    pub(super) ago: Duration,
    /// Whether a backend answered 201 to this very request.
    pub(super) is_created: bool,
}

/// Reads the cases of a file. `prefix` is that of organizationIdentifier.
pub(super) fn read(document: &Document, prefix: &str, mistakes: &Mistakes) -> Vec<TrialCase> {
    let cases = document.with_root(|root| {
        let clock = root.parsed("clock", CLOCK, parse_clock).map(|clock| clock.value);
        let clock = clock.unwrap_or_else(OffsetDateTime::now_utc);
        let tables = root.tables("cases");
        if tables.is_empty() {
            root.place("cases").reject("is missing or empty, accepted: [[cases]] tables");
        }
        tables.iter().map(|table| read_case(table, clock, prefix)).collect::<Vec<_>>()
    });
    let cases = cases.unwrap_or_default();
    let read: Option<Vec<TrialCase>> = cases.into_iter().collect();
    read.filter(|_| !mistakes.prevent_loading()).unwrap_or_default()
}

fn read_case(table: &Table<'_>, clock: OffsetDateTime, prefix: &str) -> Option<TrialCase> {
    let name = table.required("name", "a name");
    let own_clock = table.parsed("clock", CLOCK, parse_clock).map(|clock| clock.value);
    let clock = own_clock.unwrap_or(clock);
    let exposure = read_exposure(table);
    let address = table.parsed("address", "an IP address", |text| text.parse().ok());
    let certificate = match exposure.unwrap_or(Exposure::Mutual) {
        Exposure::Mutual => read_certificate(table, prefix, clock),
        Exposure::Public => {
            reject_certificate(table);
            None
        }
    };
    let method = table.required_parsed("method", "a method such as \"GET\"", |text| {
        Method::from_bytes(text.as_bytes()).ok()
    });
    let path = table.required("path", "a path, with a query or without");
    let has_body = table.boolean("body");
    let has_body =
        has_body.unwrap_or(method.as_ref().is_some_and(|m| CONTENT_METHODS.contains(&m.value)));
    let headers = read_headers(table, has_body);
    let token = table.table("token").map(|table| read_token(&table, clock));
    let consents = read_consents(table, clock);
    let before = table.table("before").map(|table| read_before(&table)).unwrap_or_default();
    let expected = table.required_parsed("expect", verdict::ACCEPTED, TrialVerdict::parse);
    Some(TrialCase {
        place: table.place(""),
        name: name?.value,
        clock,
        exposure: exposure?,
        address: address.map_or(ADDRESS, |address| address.value),
        certificate,
        method: method?.value,
        path: path?.value,
        headers: headers?,
        has_body,
        token: token.map_or(Some(None), |token| token.map(Some))?,
        consents: consents?,
        before,
        expected: expected?.value,
    })
}

fn read_exposure(table: &Table<'_>) -> Option<Exposure> {
    let accepted = "\"mutual\" or \"public\"";
    let exposure = table.parsed("listener", accepted, |text| match text {
        "mutual" => Some(Exposure::Mutual),
        "public" => Some(Exposure::Public),
        _ => None,
    });
    match exposure {
        Some(exposure) => Some(exposure.value),
        None => (!table.has("listener")).then_some(Exposure::Mutual),
    }
}

/// The fields of a good request, but for those that the case names itself.
fn read_headers(table: &Table<'_>, has_body: bool) -> Option<HeaderMap> {
    let accepted = "fields such as \"x-idempotency-key: key-1\"";
    let given = table.strings("headers", accepted);
    let without = table.strings("without", "names of fields that a good request has");
    let mut headers = good_fields(HOST, has_body)?;
    if let Some(Located { value: names, place }) = without {
        for name in names {
            if headers.remove(&name).is_none() {
                let known: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
                let known = known.join(", ");
                place.reject(format!("{name:?} is not there anyway, accepted: {known}"));
            }
        }
    }
    let Some(Located { value: fields, place }) = given else {
        return Some(headers);
    };
    let mut own = Vec::new();
    for field in &fields {
        let Some(field) = parse_field(field) else {
            place.reject(format!("{field:?} is no field, accepted: {accepted}"));
            return None;
        };
        own.push(field);
    }
    replace(&mut headers, own);
    Some(headers)
}

fn read_consents(table: &Table<'_>, clock: OffsetDateTime) -> Option<Option<Vec<KnownConsent>>> {
    let answers = table.parsed("registry", "\"answers\" or \"unavailable\"", |text| match text {
        "answers" => Some(true),
        "unavailable" => Some(false),
        _ => None,
    });
    if answers.as_ref().is_some_and(|answers| !answers.value) {
        if table.has("consents") {
            let place = table.place("consents");
            place.reject("has no effect with registry = \"unavailable\", accepted: \"answers\"");
        }
        return Some(None);
    }
    let read: Option<Vec<KnownConsent>> =
        table.tables("consents").iter().map(|table| read_consent(table, clock)).collect();
    read.map(Some)
}

fn read_consent(table: &Table<'_>, clock: OffsetDateTime) -> Option<KnownConsent> {
    let id = table.required("id", "the consent's id");
    let status = table.string("status", "a state such as \"AUTHORISED\"");
    let permissions = table.strings("permissions", "names of permissions");
    let client_id = table.string("client_id", "the client that created it");
    let expires = table.parsed("expires", TIME, |text| parse_time(text, clock));
    Some(KnownConsent {
        id: id?.value,
        status: status.map_or_else(|| "AUTHORISED".to_owned(), |status| status.value),
        permissions: permissions.map(|names| names.value).unwrap_or_default(),
        client_id: client_id.map_or_else(|| CLIENT.to_owned(), |client| client.value),
        expires: expires.map_or(clock.saturating_add(time::Duration::DAY), |expires| expires.value),
        kinds: &KINDS,
    })
}

fn read_before(table: &Table<'_>) -> Before {
    let count = |key| {
        // Each of them is counted by itself: so many are a bound on how long a case takes.
        let most = 1_000_000;
        table.number(key, 0, most).and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    };
    let duration = |key| {
        let read = table.parsed(key, values::DURATION, values::duration);
        read.map(|duration| duration.value).unwrap_or_default()
    };
    Before {
        of_address: count("same_address"),
        of_others: count("other_addresses"),
        within: duration("within"),
        ago: duration("ago"),
        is_created: table.boolean("created").unwrap_or(false),
    }
}

fn parse_clock(text: &str) -> Option<OffsetDateTime> {
    // The gateway's clock counts seconds since 1970 and has none before.
    OffsetDateTime::parse(text, &Rfc3339).ok().filter(|time| time.unix_timestamp() >= 0)
}

/// A time, or one before or after the clock.
pub(super) fn parse_time(text: &str, clock: OffsetDateTime) -> Option<OffsetDateTime> {
    let shift = |text: &str| time::Duration::try_from(values::duration(text)?).ok();
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(after), _) => clock.checked_add(shift(after)?),
        (_, Some(before)) => clock.checked_sub(shift(before)?),
        (None, None) => parse_clock(text),
    }
}
