//! The tokens: whose keys verify them, and who is asked of those that nobody signed.

use std::sync::Arc;
use std::time::Duration;

use super::Assembler;
use super::witnesses::{BreakerWords, Causes};
use crate::ask::Breakers;
use crate::config::{
    Authentication, IntrospectionSettings, IssuerSettings, KeySettings, OriginSettings, Place,
    Secret, TokenSettings, read_key_set,
};
use crate::moment::Moment;
use crate::report::Metrics;
use crate::services::key_sets::kept::{KeySetKeeper, Recalled};
use crate::services::key_sets::origin::Metadata;
use crate::services::key_sets::{KeySetEvent, KeySetWitness, KeySource, Origin, Setup};
use crate::token::introspection::{Assertion, ClientAuthentication, Introspector};
use crate::token::jwks::KeySet;
use crate::token::{InquiryNotice, InquiryWitness, Issuer, IssuerKeys, Issuers, Tokens};

const BREAKER: BreakerWords = BreakerWords {
    service: "introspection",
    opened: "the introspection endpoint failed repeatedly and is left alone for a while, for one organisation",
    closed: "the introspection endpoint is asked again, for one organisation",
};

/// The stage, what it was built of, and the key sets that it asks.
pub(super) struct BuiltTokens {
    pub(super) settings: TokenSettings,
    pub(super) stage: Arc<Tokens>,
    /// Of each issuer; nothing of one whose tokens are introspected.
    pub(super) key_sets: Vec<Option<Arc<KeySource>>>,
}

impl BuiltTokens {
    /// The key set that the same settings of an issuer built.
    fn key_set(&self, settings: &IssuerSettings) -> Option<Arc<KeySource>> {
        let position = self.settings.issuers.iter().position(|issuer| issuer == settings)?;
        self.key_sets.get(position)?.clone()
    }
}

impl Assembler<'_> {
    /// The stage that the same settings built before, or a new one that knows the same revoked tokens. Of a stage that
    /// changed, the key sets of issuers that did not are kept.
    pub(super) fn tokens(&self, settings: TokenSettings) -> Option<BuiltTokens> {
        if let Some(kept) = self.before.filter(|kept| kept.token.settings == settings) {
            let (stage, key_sets) = (kept.token.stage.clone(), kept.token.key_sets.clone());
            return Some(BuiltTokens { settings, stage, key_sets });
        }
        let read: Vec<Option<Option<Arc<KeySource>>>> =
            settings.issuers.iter().map(|issuer| self.keys_of(issuer)).collect();
        let key_sets: Option<Vec<Option<Arc<KeySource>>>> = read.into_iter().collect();
        let introspection = match &settings.introspection {
            Some(introspection) => Some(self.introspector(introspection)?),
            None => None,
        };
        // Only when all were made: each tells its own mistakes.
        let key_sets = key_sets?;
        let issuer = |(settings, keys): (&IssuerSettings, &Option<Arc<KeySource>>)| {
            let keys = keys.clone().map(|keys| keys as Arc<dyn IssuerKeys>);
            Issuer { name: settings.name.clone(), keys }
        };
        let issuers = Issuers::new(settings.issuers.iter().zip(&key_sets).map(issuer).collect());
        let (rules, signed_rules) = (settings.rules.clone(), settings.signed_rules.clone());
        // Whatever changed: a signed token cannot be asked about, so nobody else knows of its revocation.
        let revoked = self.before.map(|kept| kept.token.stage.revoked()).unwrap_or_default();
        let tokens =
            Tokens::new(rules, signed_rules, settings.limits, issuers, introspection, revoked);
        Some(BuiltTokens { settings, stage: Arc::new(tokens), key_sets })
    }

    fn introspector(
        &self,
        settings: &IntrospectionSettings,
    ) -> Option<(Introspector, InquiryWitness)> {
        let authentication = match self.stand_in {
            // Who stands in for the authorization server is told no secret, and nothing that is signed.
            Some(_) => ClientAuthentication::TlsClientAuth { client_id: String::new() },
            None => authentication(&settings.authentication)?,
        };
        let breakers = Breakers::new(settings.breaker, Moment::now, BREAKER.witness(self.metrics));
        let service = self.service(&settings.endpoint)?;
        Some((Introspector::new(service, breakers, authentication), witness(self.metrics)))
    }

    /// The keys of an issuer: nothing if they are wrong, nothing inside if its tokens are introspected.
    fn keys_of(&self, settings: &IssuerSettings) -> Option<Option<Arc<KeySource>>> {
        match (&settings.keys, self.before.and_then(|kept| kept.token.key_set(settings))) {
            // With the keys that it has: who did not change must not be without any for a moment.
            (_, Some(kept)) => Some(Some(kept)),
            (Some(keys), None) => Some(Some(self.key_source(&settings.name, keys)?)),
            (None, None) => Some(None),
        }
    }

    /// A source that begins with what is known: the file, or what was kept.
    fn key_source(&self, issuer: &str, settings: &KeySettings) -> Option<Arc<KeySource>> {
        let place = self.mistakes.at(&settings.at);
        let now = Moment::now();
        let keeper =
            settings.directory.as_ref().map(|directory| KeySetKeeper::new(directory, issuer));
        let (origin, keys) = self.origin(issuer, settings, &place)?;
        let begin_with = match (keys, &keeper) {
            (Some(keys), _) => Some(Recalled { keys, age: Duration::ZERO }),
            (None, Some(keeper)) => recall(keeper, settings, &place, now),
            (None, None) => None,
        };
        let source = KeySource::new(Setup {
            issuer: issuer.to_owned(),
            origin,
            algorithms: settings.algorithms.clone(),
            pace: settings.pace,
            // What is given where nobody is asked must never become what a gateway trusts at its next start.
            keeper: keeper.filter(|_| self.stand_in.is_none()),
            witness: Some(key_witness(self.metrics)),
        });
        if let Some(Recalled { keys, age }) = begin_with {
            let read_at = now.unix_seconds().saturating_sub(age.as_secs());
            self.metrics.key_sets().note_in_force(issuer, read_at);
            source.begin_with(keys, age, now);
        }
        Some(Arc::new(source))
    }

    /// Where keys come from, and those of a file.
    fn origin(
        &self,
        issuer: &str,
        settings: &KeySettings,
        place: &Place,
    ) -> Option<(Origin, Option<KeySet>)> {
        let given = self.stand_in.and_then(|stand_in| stand_in.key_set());
        let table = self.mistakes.at(&settings.table);
        let (file, place) = match (given, &settings.origin) {
            (Some(file), _) => (file, &table),
            (None, OriginSettings::File(file)) => (file.as_path(), place),
            (None, OriginSettings::Url(endpoint)) => {
                return Some((Origin::Url(self.service(endpoint)?), None));
            }
            (None, OriginSettings::Metadata(endpoint)) => {
                let metadata = Metadata::new(issuer, &endpoint.url, self.service(endpoint)?);
                return Some((Origin::Metadata(metadata), None));
            }
        };
        // Read here as well as by the source, so that a mistake in the file is one of the configuration.
        let keys = read_key_set(file, place, &settings.algorithms)?;
        Some((Origin::File(file.to_owned()), Some(keys)))
    }
}

fn authentication(settings: &Authentication) -> Option<ClientAuthentication> {
    Some(match settings {
        Authentication::Secret { client_id, secret: Secret(secret) } => {
            ClientAuthentication::ClientSecretBasic {
                client_id: client_id.clone(),
                client_secret: secret.clone(),
            }
        }
        Authentication::Assertion { client_id, audience, key_id, key: Secret(key) } => {
            // The key was looked at when it was read.
            let assertion = Assertion::new(client_id, audience, key_id.as_deref(), key)?;
            ClientAuthentication::PrivateKeyJwt(assertion)
        }
        Authentication::Certificate { client_id } => {
            ClientAuthentication::TlsClientAuth { client_id: client_id.clone() }
        }
    })
}

/// What was kept, unless it is too old or no key set; that is no reason not to start.
fn recall(
    keeper: &KeySetKeeper,
    keys: &KeySettings,
    place: &Place,
    now: Moment,
) -> Option<Recalled> {
    match keeper.recall(&keys.algorithms, now) {
        // As old as a set in service may become, and no older for having been on a disk.
        Ok(recalled) => recalled.filter(|recalled| recalled.age < keys.pace.stale_for),
        Err(error) => {
            let file = keeper.file().display();
            // A warning: the issuer is asked anyway, and what was kept is for when it cannot be.
            place.warn(format!("the kept key set {file} does not count: it {error}"));
            None
        }
    }
}

fn witness(metrics: &Metrics) -> InquiryWitness {
    let words = ["active", "refused", "failed"];
    let [active, refused, failed] = words.map(|word| metrics.services().introspections(word));
    let causes = Causes::new("introspection gave no answer that decides");
    Arc::new(move |notice| match notice {
        InquiryNotice::Active => {
            causes.note(None);
            active.inc();
        }
        InquiryNotice::Refused => {
            causes.note(None);
            refused.inc();
        }
        InquiryNotice::Failed(error) => {
            causes.note(Some(error));
            failed.inc();
        }
    })
}

/// Counts and logs what happens to key sets.
fn key_witness(metrics: &Metrics) -> KeySetWitness {
    let key_sets = metrics.key_sets();
    Arc::new(move |issuer, event| match event {
        KeySetEvent::Read { cause, changed } => {
            key_sets.note_read(issuer, cause.as_str(), Moment::now());
            if *changed {
                tracing::info!(issuer, cause = cause.as_str(), "the key set changed");
            }
        }
        KeySetEvent::Failed { cause, error, counts_on } => {
            key_sets.note_failure(issuer, cause.as_str(), error.reason(), Moment::now());
            let cause = cause.as_str();
            match counts_on {
                true => {
                    tracing::warn!(issuer, cause, %error, "the key set was not read: the last one counts on")
                }
                false => {
                    tracing::error!(issuer, cause, %error, "the key set was not read, and there is none that counts")
                }
            }
        }
        KeySetEvent::NotKept(error) => {
            tracing::warn!(issuer, %error, "the key set cannot be kept for the next start");
        }
        KeySetEvent::UnknownKey => key_sets.note_unknown_key(issuer),
    })
}
