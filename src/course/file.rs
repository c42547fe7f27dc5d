//! What is told of an exchange when it is over: everything that its one sample says.
//!
//! The stages of the course note here what came of them. The sample is made when the file is closed, or dropped: an
//! exchange that is cut off, or that panicked, ends in one, too.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, StatusCode, Version};

use super::{Arrival, Connection, Gateway, Serving};
use crate::address;
use crate::admission::{Admission, Arriving, Explanation, Permit, Refused};
use crate::consent::ConsentId;
use crate::headers::AnswerFacts;
use crate::identity::{Participant, Peer};
use crate::interaction::Interaction;
use crate::limits::Standing;
use crate::measure::{Clock, Outcome, Sample};
use crate::moment::{Moment, Stopwatch};
use crate::refusal::Refusal;
use crate::request::{RequestHead, Target};
use crate::route::{Door, ErrorForm, Route};
use crate::token::BoundToken;

const ANONYMOUS: &Peer = &Peer::Anonymous;

/// The file of an exchange.
pub(super) struct ExchangeFile<'a> {
    gateway: &'a Gateway,
    /// What serves this exchange, to its end.
    pub(super) serving: Arc<Serving>,
    /// When the request is judged.
    pub(super) arrived: Moment,
    /// Whose time passes.
    pub(super) clock: Clock,
    address: IpAddr,
    connection: Option<Arc<Connection>>,
    version: Version,
    method: Method,
    interaction: Interaction,
    /// The id of the attempt to notify, on the routes that have one.
    attempt: Option<(HeaderName, HeaderValue)>,
    route: Option<Arc<Route>>,
    granted: Option<Granted>,
    refused: Option<Refused>,
    explanation: Option<Box<Explanation>>,
    status: Option<StatusCode>,
    /// The upstream that was asked.
    asked: Option<usize>,
    replays: bool,
    awaits_body: bool,
    is_closed: bool,
}

/// What a permit says that is told.
struct Granted {
    token: Option<BoundToken>,
    consent: Option<ConsentId>,
    standing: Standing,
    would_refuse: Option<Refused>,
}

impl<'a> ExchangeFile<'a> {
    /// Opens the file of a request that arrived.
    pub(super) fn open(gateway: &'a Gateway, arrival: &Arrival) -> Self {
        let serving = gateway.serving.load_full();
        let head = &arrival.head;
        let address = match serving.forwarded_for.get(gateway.entrance.position) {
            Some(Some(trusted)) => address::told_by_hops(arrival.address, &head.fields, trusted),
            Some(None) | None => arrival.address,
        };
        Self {
            gateway,
            serving,
            // One time for all stages: no two of them are on different sides of an expiry.
            arrived: Moment::of(arrival.clock.began()),
            clock: arrival.clock,
            address,
            connection: arrival.connection.clone(),
            version: head.version,
            method: head.method.clone(),
            interaction: Interaction::read(&head.fields),
            attempt: None,
            route: None,
            granted: None,
            refused: None,
            explanation: None,
            status: None,
            asked: None,
            replays: false,
            awaits_body: false,
            is_closed: false,
        }
    }

    /// Has the request judged by every stage. Gives the permit, or nothing for `OPTIONS *`, which asks of nothing in
    /// particular.
    pub(super) async fn admit(&mut self, arrival: &Arrival) -> Result<Option<Permit>, Refused> {
        let head = &arrival.head;
        let serving = self.serving.clone();
        let admission = &serving.admission;
        let mut arriving = Arriving {
            head: head.judged(arrival.has_body, arrival.fault),
            address: self.address,
            peer: peer_of(self.connection.as_ref()),
            door: Door {
                exposure: self.gateway.entrance.exposure,
                listener: self.gateway.entrance.position,
            },
            interaction: &mut self.interaction,
            route: None,
            watch: Stopwatch::since(self.clock.began()),
            may_repeat: serving.idempotency.is_some(),
        };
        if arriving.head.is_greeting() {
            return admission.greet(&arriving, self.arrived).map(|()| None);
        }
        let verdict = admission.admit(&mut arriving, self.arrived).await;
        self.explanation = explain(admission, &arriving, &verdict, self.arrived).await;
        // Before the refusal is given back: it is counted by its route, and told in its form.
        self.route = arriving.route.take();
        let rule = self.route.as_ref().map(|route| &route.asks.interaction);
        self.attempt = rule.and_then(|rule| rule.attempt(&head.fields));
        let permit = verdict?;
        self.note_permit(&permit);
        Ok(Some(permit))
    }

    /// Notes what a permit says, now that it was issued or judged again.
    pub(super) fn note_permit(&mut self, permit: &Permit) {
        self.granted = Some(Granted {
            token: permit.token().cloned(),
            consent: permit.consent().map(|consent| consent.id().clone()),
            standing: permit.standing(),
            would_refuse: permit.would_refuse().cloned(),
        });
    }

    /// The other end of the connection.
    pub(super) fn peer(&self) -> &Peer {
        peer_of(self.connection.as_ref())
    }

    /// The caller's address.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// The interaction id that the exchange carries.
    pub(super) fn interaction(&self) -> &Interaction {
        &self.interaction
    }

    /// The form in which a refusal is told: the route's, or what its path has.
    pub(super) fn error_form(&self, refusal: &Refusal) -> ErrorForm {
        self.route.as_ref().map_or_else(|| refusal.error_form(), |route| route.answers.errors)
    }

    /// Takes the refusal that ends the exchange. Says whether it is one too many for its connection.
    pub(super) fn refuse(&mut self, refused: Refused) -> bool {
        let asks_too_much = matches!(refused.refusal, Refusal::Limits(_) | Refusal::Crowded(_));
        self.refused = Some(refused);
        self.connection.as_ref().is_some_and(|known| asks_too_much && known.note_refused())
    }

    /// Notes the status that the caller gets.
    pub(super) fn note_status(&mut self, status: StatusCode, now: Instant) {
        self.status = Some(status);
        self.clock.hand_over(now);
    }

    /// Notes that an upstream is asked, for the first time or again.
    pub(super) fn note_asked(&mut self, upstream: usize, now: Instant) {
        self.asked = Some(upstream);
        self.clock.ask(now);
    }

    /// Notes that part of the request's body is still to come, perhaps while a backend has the rest.
    pub(super) fn note_streaming(&mut self) {
        self.awaits_body = true;
    }

    /// Notes that nothing of the request is still to come, or of interest.
    pub(super) fn note_whole(&mut self, now: Instant) {
        self.awaits_body = false;
        self.clock.have_body(now);
    }

    /// Notes that the caller gets the answer of an earlier exchange.
    pub(super) fn note_replay(&mut self) {
        self.replays = true;
    }

    /// How the exchange counts if it ends with this refusal.
    pub(super) fn refused(&self) -> Outcome {
        match self.refused.as_ref().map(|refused| &refused.refusal) {
            Some(Refusal::Limits(_) | Refusal::Crowded(_)) => Outcome::OverLimit,
            _ => Outcome::Refused,
        }
    }

    /// What the answer says of the exchange.
    pub(super) fn answer_facts<'b>(&'b self, head: &RequestHead) -> AnswerFacts<'b> {
        let routes = &self.serving.admission.routes;
        let version = match &self.route {
            Some(route) => Some(&route.answers.version),
            None => match Target::parse(head.path(), None) {
                Ok(target) => routes.version_of(target.path()),
                Err(_) => routes.version_of(head.path()),
            },
        };
        AnswerFacts {
            interaction: self.interaction.id(),
            attempt: self.attempt.as_ref(),
            version,
            lifetime: self.route.as_ref().map(|route| &route.bounds.lifetime),
            standing: self.standing(),
        }
    }

    fn standing(&self) -> Option<Standing> {
        let refused = self.refused.as_ref().and_then(|refused| refused.refusal.standing());
        refused.or_else(|| self.granted.as_ref().map(|granted| granted.standing))
    }

    fn participant(&self) -> Option<&Participant> {
        self.connection.as_ref()?.peer()?.participant(self.arrived).ok()
    }

    /// Closes the file: one sample. `is_taking` as in [`Clock::end`].
    pub(super) fn close(&mut self, outcome: Outcome, is_taking: bool) {
        // An exchange that ended in order is dropped as well.
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        if let Some(connection) = self.connection.as_ref().filter(|_| outcome != Outcome::OverLimit)
        {
            connection.note_within();
        }
        let now = Instant::now();
        let granted = self.granted.as_ref();
        let would_refuse = granted.and_then(|granted| granted.would_refuse.as_ref());
        let went_on = self.asked.is_some() || self.replays;
        let upstream = self.asked.and_then(|index| self.serving.upstreams.get(index));
        let sample = Sample {
            arrived: self.arrived,
            listener: &self.gateway.entrance.listener,
            address: self.address,
            version: self.version,
            method: &self.method,
            route: self.route.as_deref(),
            status: self.status,
            outcome,
            refused: self.refused.as_ref(),
            // Of a request that ended otherwise shadow mode decided nothing.
            would_refuse: would_refuse.filter(|_| went_on),
            explanation: self.explanation.as_deref().filter(|_| went_on || would_refuse.is_none()),
            ended: self.arrived.later(now),
            times: self.clock.end(now, is_taking),
            is_whole: self.clock.is_whole(),
            upstream: upstream.map(|upstream| upstream.settings().name.as_str()),
            interaction: self.interaction.id(),
            participant: self.participant(),
            client_id: granted.and_then(|g| Some(g.token.as_ref()?.token().client_id())),
            consent: granted.and_then(|granted| granted.consent.as_ref()),
        };
        if let Some(meter) = sample.route.and_then(|route| self.serving.meters.get(route.index)) {
            meter.note(&sample);
        }
        self.gateway.sink.take(&sample);
    }
}

impl Drop for ExchangeFile<'_> {
    /// The exchange was cut off, or panicked, before its end: the caller got no whole answer.
    fn drop(&mut self) {
        let awaits_answer = self.status.is_none() && self.asked.is_some();
        let fault_is_backends = awaits_answer && !self.awaits_body;
        let outcome = if fault_is_backends { Outcome::Interrupted } else { Outcome::ClientAbort };
        // A backend that falls silent in its answer is noticed long before.
        self.close(outcome, true);
    }
}

fn peer_of(connection: Option<&Arc<Connection>>) -> &Peer {
    connection.and_then(|connection| connection.peer()).map_or(ANONYMOUS, |peer| peer)
}

/// What a refusal was held against, or would have been.
async fn explain(
    admission: &Admission,
    arriving: &Arriving<'_>,
    verdict: &Result<Permit, Refused>,
    now: Moment,
) -> Option<Box<Explanation>> {
    let refusal = match verdict {
        Ok(permit) => match (permit.would_refuse(), permit.spent()) {
            (Some(refused), _) => refused.refusal.clone(),
            // It may get an earlier answer, and no other.
            (None, Some(spent)) => spent.error().into(),
            (None, None) => return None,
        },
        Err(refused) => refused.refusal.clone(),
    };
    // Boxed, for most requests are not refused.
    Some(Box::new(Box::pin(admission.explain(arriving, &refusal, now)).await))
}
