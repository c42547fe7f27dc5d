//! `portaria explain` without a gateway: what would become of a request, and why.
//!
//! Takes the configuration that the gateway would serve with, and what the request brings. Gives the verdict of
//! every stage in the words of the gateway's own decision records. Nobody is asked: the services that the
//! configuration names are stood in for by what is known here (`known`), and what would depend on what is not
//! known is undecided. Nothing was counted before, so the limits admit; the body and the backend come after.

mod known;
mod question;
mod record;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Version;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::rehearsal::{self, shake_hands};
use crate::admission::{Admission, Arriving, Note, Refused, Step};
use crate::ask::Ask;
use crate::assembly::{self, ListenerConfiguration, Loaded, StandIn};
use crate::config::Mistake;
use crate::identity::Peer;
use crate::inspect::InspectError;
use crate::inspect::explain_online::Records;
use crate::interaction::Interaction;
use crate::listener::Clients;
use crate::moment::{Moment, Stopwatch};
use crate::report::Metrics;
use crate::report::refusal_log::RefusedRequest;
use crate::request::form::HeadParts;
use crate::route::{Access, Door, Exposure, Route};
use known::{GivenAnswers, GivenServices};
use question::AskedRequest;
pub use question::ExplainArguments;

/// What would become of a request.
#[derive(Debug)]
pub struct OfflineExplanation {
    /// The record, as a gateway would keep it.
    pub record: Records,
    /// Whether it would reach the backend.
    pub is_allowed: bool,
    /// What deserves attention in the configuration.
    pub warnings: Vec<Mistake>,
}

/// Why nothing can be told.
#[derive(Debug)]
pub enum NotExplained {
    /// What is asked.
    Question(InspectError),
    /// The configuration.
    Configuration(Vec<Mistake>),
}

impl From<InspectError> for NotExplained {
    fn from(error: InspectError) -> Self {
        Self::Question(error)
    }
}

/// Tells what would become of a request.
pub fn explain(
    question: &ExplainArguments,
    config: &Path,
) -> Result<OfflineExplanation, NotExplained> {
    let (request, at) = (question.request()?, question.time()?);
    let known =
        GivenServices::new(GivenAnswers::new(question.consent()?, question.introspection()?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(InspectError::Runtime)?;
    runtime.block_on(async {
        // A clone of the handle: what is asked for in vain is read from the other one afterwards.
        let stand_in = Given { services: known.clone(), key_set: question.key_set() };
        // Fails only for two metrics of one name, and then no gateway starts either.
        let metrics = Metrics::new().map_err(|_| NotExplained::Configuration(Vec::new()))?;
        let loaded = assembly::load_offline(config, &metrics, &stand_in);
        let Loaded { configuration, warnings } = loaded.map_err(NotExplained::Configuration)?;
        let listeners = &configuration.listeners;
        let (position, listener) = choose(listeners, question.listener(), &request)?;
        let (request, known) = (&request, &known);
        // Read now, for what was loaded counts its age from when it was.
        let loaded = Moment::now();
        let now = at.map_or(loaded, |at| Moment::at(loaded.since_start(), at));
        let rehearsal = Rehearsal { position, listener, request, known, now };
        let record = rehearsal.run(&configuration.serving.admission).await;
        let verdict = record.get("verdict").and_then(Value::as_str);
        let is_allowed = matches!(verdict, Some("allowed" | "would_refuse"));
        Ok(OfflineExplanation { record: Records::of(record), is_allowed, warnings })
    })
}

/// What was given instead of the services that the configuration names.
struct Given {
    services: GivenServices,
    key_set: Option<PathBuf>,
}

impl StandIn for Given {
    fn service(&self, table: &str) -> Arc<dyn Ask> {
        self.services.service(table)
    }

    fn key_set(&self) -> Option<&Path> {
        self.key_set.as_deref()
    }
}

fn choose<'a>(
    listeners: &'a [ListenerConfiguration],
    name: Option<&str>,
    request: &AskedRequest,
) -> Result<(usize, &'a ListenerConfiguration), InspectError> {
    let exposure = match request.chain.is_empty() {
        true => Exposure::Public,
        false => Exposure::Mutual,
    };
    let mut all = listeners.iter().enumerate();
    let chosen = match name {
        Some(name) => all.find(|(_, listener)| listener.name == name),
        None => all.find(|(_, listener)| listener.exposure == exposure),
    };
    chosen.ok_or_else(|| {
        let names: Vec<&str> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let names = names.join(", ");
        InspectError::Argument(format!("--listener: there is none that fits, accepted: {names}"))
    })
}

/// One request, on one listener.
struct Rehearsal<'a> {
    position: usize,
    listener: &'a ListenerConfiguration,
    request: &'a AskedRequest,
    known: &'a GivenServices,
    now: Moment,
}

impl Rehearsal<'_> {
    async fn run(&self, admission: &Admission) -> Value {
        let AskedRequest { method, path, fields, has_body, address, .. } = self.request;
        let mut interaction = Interaction::read(fields);
        let peer = match self.connect() {
            Ok(peer) => peer,
            Err(reason) => {
                let (at, id) = (self.timestamp(), interaction.id().as_str());
                return record::without_connection(&self.subject(&at, id, None), &reason);
            }
        };
        let (path, query) =
            path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        let mut arriving = Arriving {
            head: HeadParts {
                method,
                path,
                query,
                authority: None,
                version: Version::HTTP_11,
                fields,
                has_body: *has_body,
                wire_fault: None,
            },
            address: *address,
            peer: &peer,
            door: Door { exposure: self.listener.exposure, listener: self.position },
            interaction: &mut interaction,
            route: None,
            watch: Stopwatch::start(),
            // What was carried out before is not known here.
            may_repeat: false,
        };
        let admitted = rehearsal::judge(admission, &mut arriving, self.now).await;
        match admitted {
            Err(refused) => self.tell(admission, &arriving, Some(&refused)).await,
            Ok(permit) => match permit.would_refuse() {
                None => self.tell(admission, &arriving, None).await,
                borne => record::in_shadow(self.tell(admission, &arriving, borne).await),
            },
        }
    }

    /// The handshake.
    fn connect(&self) -> Result<Peer, String> {
        let Some(Clients { trust, domain }) = &self.listener.clients else {
            return Ok(Peer::Anonymous);
        };
        let server_name = self.request.server_name.as_deref();
        shake_hands(
            &rehearsal::MutualDoor { trust, domain, server_name },
            &self.request.chain,
            self.now,
        )
    }

    /// The record of what became of the request.
    async fn tell(
        &self,
        admission: &Admission,
        arriving: &Arriving<'_>,
        refused: Option<&Refused>,
    ) -> Value {
        let end = refused.map(|refused| refused.step);
        let mut notes = admission.account(arriving, end, self.now).await;
        notes.push(Note { step: Step::Quota, text: "nothing was counted before".to_owned() });
        let at = self.timestamp();
        let subject =
            self.subject(&at, arriving.interaction.id().as_str(), arriving.route.as_deref());
        let Some(refused) = refused else {
            return match subject.route.map(|route| &route.asks.access) {
                Some(Access::Event) => record::event(&subject, &notes),
                _ => record::allowed(&subject, &notes),
            };
        };
        let explanation = admission.explain(arriving, &refused.refusal, self.now).await;
        let missing = self.known.missing(&refused.refusal);
        record::refused(&subject, refused, &explanation, missing, &notes)
    }

    fn subject<'s>(
        &'s self,
        at: &'s str,
        id: &'s str,
        route: Option<&'s Route>,
    ) -> RefusedRequest<'s> {
        RefusedRequest {
            timestamp: at,
            interaction_id: id,
            listener: &self.listener.name,
            method: &self.request.method,
            route,
        }
    }

    fn timestamp(&self) -> String {
        let seconds = i64::try_from(self.now.unix_seconds()).unwrap_or_default();
        let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
        time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
    }
}
