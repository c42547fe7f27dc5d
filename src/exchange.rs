//! What is known so far of one request: the context that pingora carries from phase to phase.
//!
//! An exchange ends in exactly one sample, whatever ends it: [`Exchange::conclude`] at the end of the
//! last phase, or the drop of an exchange whose task was cancelled or panicked.

mod aftermath;
mod backend;
mod connection;
mod operation;
mod received;
mod turns;
mod under_way;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::address::{self, Networks};
use crate::admission::{Admission, Arriving, At, Explanation, Permit, Refused, Step};
use crate::consent::Consent;
use crate::headers::AnswerFacts;
use crate::headers::caller::CallerFacts;
use crate::idempotency::Idempotency;
use crate::identity::{Participant, Peer};
use crate::interaction::Interaction;
use crate::limits::Standing;
use crate::links::{self, LinkRewriter};
use crate::measure::{Course, Meter, Outcome, Sample, Sink};
use crate::moment::{Moment, Stopwatch};
use crate::refusal::{Refusal, foreign};
use crate::request::form::Head;
use crate::request::media::Media;
use crate::request::{RequestError, Target};
use crate::route::{Destination, Door, ErrorForm, Exposure, Route};
use crate::token::Revocation;
use crate::upstream::{Upstream, Upstreams};
use backend::Backend;
pub use connection::Connection;
use operation::OwnOperation;
use received::Received;
pub use turns::Line;
pub use under_way::{Entered, UnderWay};

/// What one configuration makes of requests: swapped whole on reload, held by each exchange until its
/// end.
pub struct Serving {
    /// The stages.
    pub admission: Admission,
    /// What was carried out already, if that is kept.
    pub idempotency: Option<Arc<Idempotency>>,
    /// The backends.
    pub upstreams: Upstreams,
    /// What counts the exchanges of each route, by the route's index.
    pub meters: Vec<Box<dyn Meter>>,
    /// Whose X-Forwarded-For is believed, by the listener's position.
    pub forwarded_for: Vec<Option<Networks>>,
    /// From the end of a request's head to the end of its body.
    pub body_timeout: Duration,
    /// Longest time that a caller takes nothing of an answer.
    pub write_timeout: Duration,
}

/// A listener, as its exchanges know it.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// Its name in logs.
    pub listener: Arc<str>,
    /// Its position among the listeners.
    pub position: usize,
    /// Which routes it has.
    pub exposure: Exposure,
}

/// What the wire knows of a request before it is one.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its head, and its body as far as it was awaited already.
    pub course: Course,
    /// Why it cannot be one, if it cannot.
    pub fault: Option<RequestError>,
}

/// One request and its answer.
pub struct Exchange {
    serving: Arc<Serving>,
    entrance: Entrance,
    sink: Arc<dyn Sink>,
    _entered: Entered,
    arrived: Moment,
    course: Course,
    line: Option<Box<dyn Line>>,
    /// Of the answer's body.
    handed_bytes: usize,
    wire_fault: Option<RequestError>,
    address: IpAddr,
    connection: Option<Arc<Connection>>,
    version: Version,
    method: Method,
    interaction: Option<Interaction>,
    /// The id of the attempt to notify, on the routes that have one.
    attempt: Option<(HeaderName, HeaderValue)>,
    route: Option<Arc<Route>>,
    permit: Option<Permit>,
    refusal: Option<Refused>,
    explanation: Option<Box<Explanation>>,
    /// The tokens that the request asks to revoke.
    revocation: Option<Revocation>,
    operation: Option<Box<OwnOperation>>,
    replays: bool,
    status: Option<StatusCode>,
    backend: Backend,
    received: Received,
    links: Option<LinkRewriter>,
    /// The body that the caller gets instead of the backend's.
    replacement: Option<Bytes>,
    awaits_body: bool,
    is_greeting: bool,
    concluded: bool,
}

const ANONYMOUS: &Peer = &Peer::Anonymous;

impl Exchange {
    /// An exchange of which nothing is known yet but where it came in.
    pub fn new(
        serving: Arc<Serving>,
        entrance: Entrance,
        sink: Arc<dyn Sink>,
        entered: Entered,
    ) -> Self {
        let now = Instant::now();
        Self {
            serving,
            entrance,
            sink,
            _entered: entered,
            arrived: Moment::of(now),
            course: Course::new(now),
            line: None,
            handed_bytes: 0,
            wire_fault: None,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            connection: None,
            version: Version::HTTP_11,
            method: Method::GET,
            interaction: None,
            attempt: None,
            route: None,
            permit: None,
            refusal: None,
            explanation: None,
            revocation: None,
            operation: None,
            replays: false,
            status: None,
            backend: Backend::default(),
            received: Received::default(),
            links: None,
            replacement: None,
            awaits_body: false,
            is_greeting: false,
            concluded: false,
        }
    }

    /// Takes what the wire knows (HTTP/1; an HTTP/2 request begins with a whole head).
    pub fn note_arrival(&mut self, arrival: Arrival) {
        self.course = arrival.course;
        self.wire_fault = arrival.fault;
    }

    /// Takes what the connection and the head say. `address` is the connection's.
    pub fn begin(
        &mut self,
        head: &Parts,
        address: Option<IpAddr>,
        connection: Option<Arc<Connection>>,
    ) {
        if let Some(address) = address {
            self.address = self.client_address(address, &head.headers);
        }
        self.connection = connection;
        self.version = head.version;
        self.method = head.method.clone();
        self.interaction = Some(Interaction::read(&head.headers));
    }

    fn client_address(&self, connection: IpAddr, fields: &HeaderMap) -> IpAddr {
        match self.serving.forwarded_for.get(self.entrance.position) {
            Some(Some(trusted)) => address::told_by_hops(connection, fields, trusted),
            Some(None) | None => connection,
        }
    }

    /// Runs the stages. Afterwards there is a permit, or the refusal is returned.
    pub async fn admit(&mut self, head: &Parts, has_body: bool) -> Result<(), Refused> {
        let interaction = self.interaction.get_or_insert_with(|| Interaction::read(&head.headers));
        let mut arriving = Arriving {
            head: Head {
                method: &head.method,
                path: head.uri.path(),
                query: head.uri.query(),
                authority: head.uri.authority().map(Authority::as_str),
                version: head.version,
                fields: &head.headers,
                has_body,
                wire_fault: self.wire_fault,
            },
            address: self.address,
            peer: peer_of(self.connection.as_ref()),
            door: Door { exposure: self.entrance.exposure, listener: self.entrance.position },
            interaction,
            route: None,
            watch: Stopwatch::start(),
            may_repeat: self.serving.idempotency.is_some(),
        };
        let admission = &self.serving.admission;
        if arriving.head.is_greeting() {
            self.is_greeting = true;
            return admission.greet(&arriving, self.arrived);
        }
        let verdict = admission.admit(&mut arriving, self.arrived).await;
        let refusal = match &verdict {
            Ok(permit) => would_refuse(permit).or_else(|| spent(permit)),
            Err(refused) => Some(refused.refusal.clone()),
        };
        if let Some(refusal) = refusal {
            let explanation = admission.explain(&arriving, &refusal, self.arrived).await;
            self.explanation = Some(Box::new(explanation));
        }
        self.route = arriving.route.take();
        let rule = self.route.as_ref().map(|route| &route.asks.interaction);
        self.attempt = rule.and_then(|rule| rule.attempt(&head.headers));
        let permit = verdict?;
        if let Some(stage) = &self.serving.idempotency {
            let peer = peer_of(self.connection.as_ref());
            self.operation = OwnOperation::of(stage, &permit, peer, head, self.arrived)?;
        }
        self.permit = Some(permit);
        Ok(())
    }

    /// Judges the permit again, now that the whole body is here.
    pub async fn confirm(&mut self) -> Result<(), Refused> {
        let permit = self.permit.as_mut().ok_or(Refusal::Internal).at(Step::Body)?;
        let peer = peer_of(self.connection.as_ref());
        self.serving.admission.confirm(permit, peer, Moment::now()).await
    }

    /// The other end of the connection.
    pub fn peer(&self) -> &Peer {
        peer_of(self.connection.as_ref())
    }

    /// The permit.
    pub fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// Whether the body is an event for the gateway itself.
    pub fn is_event(&self) -> bool {
        self.permit.as_ref().is_some_and(|permit| permit.route().to == Destination::Gateway)
    }

    /// Whether it is `OPTIONS *`, which has no route and no permit.
    pub fn is_greeting(&self) -> bool {
        self.is_greeting
    }

    /// Takes the event that the body is.
    pub fn take_event(&self, body: &[u8]) -> Result<(), Refused> {
        if self.awaits_body {
            return Err(Step::Body.refuse(RequestError::BodyTooLarge));
        }
        self.serving.admission.consents.take_event(body, Moment::now()).at(Step::Event)
    }

    /// What serves this exchange.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The upstream of the permit.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.serving.upstreams.of(self.permit.as_ref()?)
    }

    /// The refusal, if the exchange was refused.
    pub fn refusal(&self) -> Option<&Refused> {
        self.refusal.as_ref()
    }

    /// The form in which a refusal is told: the route's, or what its path has.
    pub fn error_form(&self, refusal: &Refusal) -> ErrorForm {
        self.route.as_ref().map_or_else(|| refusal.error_form(), |route| route.answers.errors)
    }

    /// Takes the refusal that ends this exchange.
    pub fn refuse(&mut self, refusal: Refused) {
        self.refusal = Some(refusal);
    }

    /// Whether a refusal is one too many for its connection.
    pub fn is_enough(&self, refusal: &Refusal) -> bool {
        let asks_too_much = matches!(refusal, Refusal::Limits(_) | Refusal::Crowded(_));
        self.connection.as_ref().is_some_and(|known| asks_too_much && known.note_refused())
    }

    /// When the request was judged.
    pub fn arrived(&self) -> Moment {
        self.arrived
    }

    /// What rewrites the links of an answer, if its upstream has a public URL.
    pub fn begin_links(&mut self, status: StatusCode, answer: &HeaderMap) -> bool {
        let public = self.upstream().and_then(|upstream| upstream.settings().public_url.clone());
        self.links = public.filter(|_| links::are_in(status, answer)).map(LinkRewriter::new);
        self.links.is_some()
    }

    /// The status and the length of what the caller gets instead of an error that the backend tells in a form of
    /// its own; nothing if it is the backend's word. What an authorization server says to forms has its own form.
    pub fn replace_error(
        &mut self,
        answered: StatusCode,
        answer: &HeaderMap,
    ) -> Option<(StatusCode, usize)> {
        let route = self.permit.as_ref()?.route();
        let replaces =
            self.upstream()?.settings().replaces_errors && route.asks.media != Media::Form;
        if !replaces || !foreign::is_foreign(answered, answer) {
            return None;
        }
        let status = foreign::status_for(answered);
        let body = Bytes::from(foreign::body(status, route.answers.errors, self.arrived));
        let length = body.len();
        // Who asks for the fields alone gets those that the body would have.
        self.replacement = (self.method != Method::HEAD).then_some(body);
        Some((status, length))
    }

    /// What passes instead of a piece of the backend's answer: nothing, and the whole at the end.
    pub fn replaced(&self, is_last: bool) -> Option<Option<Bytes>> {
        let replacement = self.replacement.as_ref()?;
        Some(is_last.then(|| replacement.clone()))
    }

    /// What rewrites the links of the answer that passes.
    pub fn links(&mut self) -> Option<&mut LinkRewriter> {
        self.links.as_mut()
    }

    /// Takes the status that the caller gets.
    pub fn note_status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// What the backend is told of the caller. A participant that was admitted and is none any more, while a
    /// server was awaited, is refused: no backend gets its request without its name.
    pub fn caller_facts(&self) -> Result<CallerFacts<'_>, Refused> {
        let internal = || Step::Upstream.refuse(Refusal::Internal);
        let permit = self.permit.as_ref().ok_or_else(internal)?;
        let now = Moment::now();
        let participant = match permit.route().asks.access.needs_participant() {
            true => Some(self.peer().participant(now).at(Step::Participant)?),
            false => None,
        };
        Ok(CallerFacts {
            address: self.address,
            interaction: self.interaction.as_ref().ok_or_else(internal)?.id(),
            participant,
            peer: self.peer(),
            now,
            client_id: permit.token().map(|token| token.token().client_id()),
            consent: permit.consent().map(Consent::id),
        })
    }

    /// What the answer says of the exchange.
    pub fn answer_facts<'a>(&'a self, path: &str) -> Option<AnswerFacts<'a>> {
        let routes = &self.serving.admission.routes;
        let version = match &self.route {
            Some(route) => Some(&route.answers.version),
            None => match Target::parse(path, None) {
                Ok(target) => routes.version_of(target.path()),
                Err(_) => routes.version_of(path),
            },
        };
        Some(AnswerFacts {
            interaction: self.interaction.as_ref()?.id(),
            attempt: self.attempt.as_ref(),
            version,
            lifetime: self.route.as_ref().map(|route| &route.bounds.lifetime),
            standing: self.standing(),
        })
    }

    fn standing(&self) -> Option<Standing> {
        let refused = self.refusal.as_ref().and_then(|refused| refused.refusal.standing());
        refused.or_else(|| self.permit.as_ref().map(Permit::standing))
    }

    fn participant(&self) -> Option<&Participant> {
        self.connection.as_ref()?.peer()?.participant(self.arrived).ok()
    }

    /// Ends the exchange: one sample. `is_taking` as in [`Course::end`].
    pub fn conclude(&mut self, outcome: Outcome, is_taking: bool) {
        if std::mem::replace(&mut self.concluded, true) {
            return;
        }
        self.note_aftermath_at_end();
        self.end_operation(outcome);
        let Some(interaction) = &self.interaction else {
            return;
        };
        if let Some(connection) = self.connection.as_ref().filter(|_| outcome != Outcome::OverLimit)
        {
            connection.note_within();
        }
        let now = Instant::now();
        let token = self.permit.as_ref().and_then(Permit::token);
        let would_refuse = self.permit.as_ref().and_then(Permit::would_refuse);
        let went_on = self.backend.attempts > 0 || self.replays;
        let sample = Sample {
            arrived: self.arrived,
            listener: &self.entrance.listener,
            address: self.address,
            version: self.version,
            method: &self.method,
            route: self.route.as_deref(),
            status: self.status,
            outcome,
            refused: self.refusal.as_ref(),
            would_refuse: would_refuse.filter(|_| went_on),
            explanation: self.explanation.as_deref().filter(|_| went_on || would_refuse.is_none()),
            ended: Moment::of(now),
            times: self.course.end(now, is_taking),
            is_whole: self.course.is_whole(),
            upstream: self.asked().map(|upstream| upstream.settings().name.as_str()),
            interaction: interaction.id(),
            participant: self.participant(),
            client_id: token.map(|token| token.token().client_id()),
            consent: self.permit.as_ref().and_then(Permit::consent).map(Consent::id),
        };
        if let Some(meter) = sample.route.and_then(|route| self.serving.meters.get(route.index)) {
            meter.note(&sample);
        }
        self.sink.take(&sample);
    }
}

fn peer_of(connection: Option<&Arc<Connection>>) -> &Peer {
    connection.and_then(|connection| connection.peer()).map_or(ANONYMOUS, |peer| peer)
}

fn would_refuse(permit: &Permit) -> Option<Refusal> {
    permit.would_refuse().map(|refused| refused.refusal.clone())
}

/// The refusal of a request that may get an earlier answer and no other.
fn spent(permit: &Permit) -> Option<Refusal> {
    permit.spent().map(|spent| spent.error().into())
}

impl Drop for Exchange {
    /// The exchange was cut off, or panicked, before the last phase: the caller got no whole answer.
    fn drop(&mut self) {
        let awaits_answer = self.status.is_none() && self.course.has_asked();
        let fault_is_backends = awaits_answer && !self.awaits_body;
        let outcome = if fault_is_backends { Outcome::Interrupted } else { Outcome::ClientAbort };
        // A backend that falls silent in its answer is noticed long before.
        self.conclude(outcome, true);
    }
}
