//! The configuration: one TOML file and a directory of policies, read whole, with all that is wrong in them at once.
//!
//! Gives [`Settings`]: plain data, and no more than the files say. Asks nobody, counts nothing and makes nothing that
//! serves: that is [`crate::assembly`]'s. What is wrong is left out of the settings, and among the mistakes, so that
//! whoever assembles the rest tells the others with them. Who needs only a part of the settings reads them all and
//! takes it: [`Judging`], [`admin_address`], [`policies_directory`].

pub mod document;
pub mod keys;
pub mod values;
pub mod words;
mod breaker;
mod carried;
mod ceilings;
mod consent;
mod endpoint;
mod idempotency;
mod identity;
mod issuers;
mod judging;
mod listeners;
mod lists;
mod networks;
mod pem;
mod points;
mod policy;
mod secret;
mod server;
mod services;
mod tls;
mod token;
mod traffic;
mod trust;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::consent::ConsentSource;
use crate::identity::Profile;
use crate::listener::handover::MeetingPlace;
use crate::route::Exposure;
pub use consent::{ConsentSettings, StaleFor};
use document::{Document, Located, Table};
pub use document::{Mistake, Mistakes, Place, Severity, Spot};
pub use endpoint::EndpointSettings;
pub use idempotency::{DIRECTORY as STORE_DIRECTORY, IdempotencySettings};
pub use issuers::{IssuerSettings, KeySettings, OriginSettings, read_key_set};
pub use judging::Judging;
use keys::KeysOf;
pub use listeners::ListenerSettings;
pub use lists::{Authorities, Filed, LISTS};
pub use points::PointSettings;
pub use policy::{PolicySettings, offline};
pub use secret::Secret;
pub use services::{Authentication, IntrospectionSettings};
pub use tls::ServerCertificate;
pub use token::TokenSettings;
pub use traffic::{HttpSettings, LimitSettings, SERVERS, UpstreamTable};
pub use trust::{RevocationSettings, TrustSettings};
pub use webhook::WebhookSettings;

/// What `[server]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Threads per listener.
    pub threads: usize,
    /// How long SIGTERM waits for the exchanges under way.
    pub drain_timeout: Duration,
    /// Where a new process asks for the listening sockets.
    pub upgrade: MeetingPlace,
    /// Where that is configured.
    pub upgrade_at: Spot,
}

/// What `[log]` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Whether the access log is written.
    pub access: bool,
    /// The least severe level of the application log.
    pub level: LevelFilter,
    /// How many refusals are kept for `portaria explain`.
    pub decisions: usize,
}

/// A part of the settings: nothing, if it is wrong, which is among the mistakes.
pub type Part<T> = Option<T>;

/// What a configuration file and its policies say.
#[derive(Debug)]
pub struct Settings {
    /// Threads, drain, upgrade.
    pub server: ServerSettings,
    /// The logs.
    pub log: LogSettings,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
    /// The listeners that are not wrong.
    pub listeners: Vec<ListenerSettings>,
    /// What client certificates are asked for.
    pub profile: Profile,
    /// What may come in.
    pub http: HttpSettings,
    /// How much.
    pub limits: LimitSettings,
    /// Where it goes: the upstreams that are not wrong.
    pub upstreams: Vec<UpstreamTable>,
    /// By which rules consents are judged, and who tells of them.
    pub consent: Part<ConsentSettings>,
    /// Which tokens are accepted.
    pub token: Part<TokenSettings>,
    /// Where the policies are.
    pub policies_directory: Part<PathBuf>,
    /// The policies.
    pub policies: Part<PolicySettings>,
    /// Whether answers are kept for those who ask twice.
    pub idempotency: Part<Option<IdempotencySettings>>,
}

/// Reads a configuration file and its policies; nothing, if the file is no TOML.
pub fn read(path: &Path, mistakes: &Mistakes) -> Option<Settings> {
    let document = Document::read(path, mistakes)?;
    document.of(KeysOf::Configuration).with_root(|root| {
        let settings = read_root(&root, mistakes);
        // What is left out would be missed here.
        if !mistakes.prevent_loading() {
            check_needs(&settings);
            check_bodies(&settings);
        }
        settings
    })
}

/// Where a gateway with this configuration serves metrics, health and decision records.
pub fn admin_address(path: &Path) -> Result<SocketAddr, Vec<Mistake>> {
    project(path, |mistake| mistake.is_of("admin"), |settings| Some(settings.admin))
}

/// Where a configuration has its policies.
pub fn policies_directory(path: &Path) -> Result<PathBuf, Vec<Mistake>> {
    project(path, |mistake| mistake.is_of("policies"), |settings| settings.policies_directory)
}

/// A part of the settings, whatever is wrong with the others.
fn project<T>(
    path: &Path,
    is_about_it: impl Fn(&Mistake) -> bool,
    take: impl FnOnce(Settings) -> Option<T>,
) -> Result<T, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let taken = read(path, &mistakes).and_then(take);
    let mut errors = mistakes.take();
    // Of the file itself, and not of those that it names.
    let file = path.display().to_string();
    // Without a key: the file cannot be read or is no TOML, which concerns everybody.
    let concerns = |mistake: &Mistake| mistake.key.is_empty() || is_about_it(mistake);
    errors
        .retain(|mistake| mistake.prevents_loading() && mistake.file == file && concerns(mistake));
    taken.filter(|_| errors.is_empty()).ok_or(errors)
}

fn read_root(root: &Table<'_>, mistakes: &Mistakes) -> Settings {
    let listeners = listeners::read_listeners(root);
    let consent = consent::read_consents(root, &listeners);
    let directory = policy::directory(root);
    Settings {
        server: server::read_server(root),
        log: read_log(root),
        admin: listeners::read_admin(root),
        profile: identity::read_profile(root),
        http: traffic::read_http(root),
        limits: traffic::read_limits(root),
        upstreams: traffic::read_upstreams(root),
        token: token::read_tokens(root, consent.as_ref()),
        policies: read_policies(root, directory.as_ref(), consent.as_ref(), mistakes),
        policies_directory: directory.map(|directory| directory.value),
        idempotency: idempotency::read_idempotency(root),
        listeners,
        consent,
    }
}

fn read_policies(
    root: &Table<'_>,
    directory: Option<&Located<PathBuf>>,
    consent: Option<&ConsentSettings>,
    mistakes: &Mistakes,
) -> Part<PolicySettings> {
    let webhook = consent.and_then(|consent| consent.webhook.as_ref());
    let events = webhook.and_then(|webhook| Some((webhook.route()?, mistakes.at(webhook.at()))));
    // Where `[consent]` is wrong nothing is loaded; the policies are read on for their own mistakes.
    let stale_for = consent.map(|consent| consent.stale_for).unwrap_or_default();
    // Of all tables, not of those that are right: a policy is not wrong for naming one that is.
    let names = traffic::names_of(root, "upstreams");
    let names: Option<Vec<&str>> =
        names.as_ref().map(|names| names.iter().map(String::as_str).collect());
    policy::read_policies(directory?, names.as_deref(), stale_for, events, mistakes)
}

/// Policies that nothing configured can ever satisfy are mistakes.
fn check_needs(settings: &Settings) {
    let (Some(policies), Some(consent)) = (&settings.policies, &settings.consent) else { return };
    let needs_registry = match consent.teller {
        ConsentSource::Registry => {
            policies.needs_consents.as_ref().or(policies.needs_registry.as_ref())
        }
        ConsentSource::Token => policies.needs_registry.as_ref(),
    };
    if let (Some(place), None) = (needs_registry, &consent.registry) {
        place.reject("needs a consent registry, accepted: registry in [consent]");
    }
    let is_mutual = |listener: &ListenerSettings| listener.exposure == Exposure::Mutual;
    let is_any_mutual = settings.listeners.iter().any(is_mutual);
    if let (Some(place), false) = (&policies.needs_certificates, is_any_mutual) {
        place.reject(
            "needs client certificates, accepted: a listener with client_auth = \"required\"",
        );
    }
}

/// What a route asks for beyond the bound of all requests would never be served.
fn check_bodies(settings: &Settings) {
    let most = settings.http.max_body;
    let bodies = settings.policies.iter().flat_map(|policies| &policies.bodies);
    for (bytes, place) in bodies.filter(|(bytes, _)| *bytes > most) {
        place.reject(format!(
            "has a max_body_size of {bytes} bytes, accepted: up to the {most} of http.max_body_size"
        ));
    }
}

fn read_log(root: &Table<'_>) -> LogSettings {
    let table = root.table_or_none("log");
    LogSettings {
        access: table.flag("access"),
        level: table.word_or_default("level"),
        decisions: table.count("decisions"),
    }
}
