//! `[consent.webhook]`: where the registry says that a consent has changed, and how it signs that.

use aws_lc_rs::hmac;
use http::{HeaderValue, Method};

use super::document::{Spot, Table};
use super::listeners::ListenerSettings;
use super::pem;
use super::secret::Secret;
use crate::consent::{ConsentKind, EventKey, Inquiry};
use crate::interaction::{Form, InteractionRule, Unusable};
use crate::parameters::ParameterRules;
use crate::request::media::Media;
use crate::route::{
    Access, Answers, Asks, Bounds, Destination, ErrorForm, Lifetime, PriorityClass, Published,
    Route, ShadowMode, Template,
};
use crate::token::Algorithm;
use crate::token::jwks::KeySet;

const PATH: &str = "a path without parameters such as \"/portaria/consents\"";
/// What events are signed by.
const ALGORITHMS: [Algorithm; 1] = [Algorithm::Ps256];
const KEYS: &str = "a JSON Web Key Set with RSA keys of at least 2048 bits for PS256";
const SECRET: &str = "a secret of at least 32 bytes";

/// What `[consent.webhook]` says.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSettings {
    listener: usize,
    path: String,
    at: Spot,
    key: EventKeySettings,
    /// The claim that names the consent.
    pub claim: String,
}

#[derive(Clone, Debug, PartialEq)]
enum EventKeySettings {
    /// The JSON of a key set that was parsed once.
    Keys(Vec<u8>),
    Secret(Secret<String>),
}

/// Reads `[consent.webhook]`.
pub(super) fn read_webhook(
    consent: &Table<'_>,
    listeners: &[ListenerSettings],
    names: Option<&[String]>,
) -> Option<WebhookSettings> {
    let table = consent.table("webhook")?;
    let listener = read_listener(&table, listeners, names);
    let path = table.required_parsed("path", PATH, |text| {
        (Template::parse(text).is_ok() && !text.contains('{')).then(|| text.to_owned())
    });
    let claim = table.parsed("claim", "the claim that names the consent", |text| {
        (!text.is_empty()).then(|| text.to_owned())
    });
    let key = match (table.has("keys"), table.has("secret_file")) {
        (true, false) => read_keys(&table),
        (false, true) => read_secret(&table),
        _ => {
            let text = "has neither or both of keys and secret_file, accepted: one of them";
            table.place("").reject(text);
            None
        }
    };
    let path = path?;
    let claim = claim.map_or_else(|| table.default_text("claim"), |claim| claim.value);
    let at = path.place.spot();
    Some(WebhookSettings { listener: listener?, path: path.value, at, key: key?, claim })
}

/// `names` are those of all listeners, also of one that is wrong: then that is told, and not here.
fn read_listener(
    table: &Table<'_>,
    listeners: &[ListenerSettings],
    names: Option<&[String]>,
) -> Option<usize> {
    let name = table.required("listener", "the name of a listener")?;
    let found = listeners.iter().position(|listener| listener.name == name.value);
    if let Some(names) = names
        && !names.contains(&name.value)
    {
        let known = names.join(", ");
        let text = format!("{:?} is an unknown listener, accepted: {known}", name.value);
        name.place.reject(text);
    }
    found
}

fn read_keys(table: &Table<'_>) -> Option<EventKeySettings> {
    let file = pem::path(table, "keys", KEYS)?;
    let json = pem::read(&file.value, &file.place, KEYS)?;
    match KeySet::parse(&json, &ALGORITHMS) {
        Ok(_) => Some(EventKeySettings::Keys(json)),
        Err(error) => {
            let shown = file.value.display();
            file.place.reject(format!("{shown} is not usable ({error}), accepted: {KEYS}"));
            None
        }
    }
}

/// RFC 7518 section 3.2: a key for HS256 is no shorter than its hash.
fn read_secret(table: &Table<'_>) -> Option<EventKeySettings> {
    let secret = pem::secret(table, "secret_file")?;
    if secret.len() < 32 {
        table.place("secret_file").reject(format!("is too short, accepted: {SECRET}"));
        return None;
    }
    Some(EventKeySettings::Secret(Secret(secret)))
}

impl WebhookSettings {
    /// What events are verified with.
    pub fn key(&self) -> Option<EventKey> {
        Some(match &self.key {
            EventKeySettings::Keys(json) => EventKey::Keys(KeySet::parse(json, &ALGORITHMS).ok()?),
            EventKeySettings::Secret(Secret(secret)) => {
                EventKey::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
            }
        })
    }

    /// Where their path stands.
    pub(super) fn at(&self) -> &Spot {
        &self.at
    }

    /// The route by which they come.
    pub(super) fn route(&self) -> Option<Route> {
        let template = Template::parse(&self.path).ok()?;
        // A registry is no client of the ecosystem, and knows nothing of its ids.
        let mint = Unusable::Mint;
        let label = template.to_string().into();
        let interaction =
            InteractionRule { form: Form::Uuid, missing: mint, malformed: mint, also: None };
        Some(Route {
            index: 0,
            published: Published {
                api: "consent-events".into(),
                method: Method::POST,
                template,
                label,
                class: PriorityClass::Admin,
            },
            asks: Asks {
                access: Access::Event,
                interaction,
                idempotency_key: false,
                media: Media::Jws,
                parameters: ParameterRules::default(),
                negotiated: None,
                consent_parameter: None,
                // An event asks for no consent: it tells of one.
                inquiry: Inquiry { kind: ConsentKind::Consent, stale_for: None },
            },
            // On its own listener alone: strangers of a public one could else try signatures.
            bounds: Bounds {
                max_body: None,
                lifetime: Lifetime::default(),
                shadow: ShadowMode::default(),
                listener: Some(self.listener),
            },
            answers: Answers {
                // Every answer has an x-v (OPIN, HTTP headers); of this API there has been one version.
                version: HeaderValue::from_static("1.0.0"),
                errors: ErrorForm::Common,
                revokes_tokens: false,
            },
            to: Destination::Gateway,
        })
    }
}
