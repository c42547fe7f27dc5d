//! The course of an exchange: what happens to a request, from its head to its one sample. Read [`Gateway::serve`] and
//! the column below it aloud.
//!
//! Takes a request of either version of HTTP, as its connection read it; works over the caller's side of the exchange
//! ([`caller::Caller`]) and a connection to a server. The exchange may be dropped at any time: what is half done lies
//! in the connections, what is told lies in its file, and a backend gets a whole request only by a [`leave`].

pub mod caller;
mod aftermath;
mod connection;
mod file;
mod forward;
pub mod leave;
mod operation;
mod pass;
mod received;
mod reply;
mod under_way;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header;

use crate::address::Networks;
use crate::admission::{Admission, At, Permit, Refused, Step};
use crate::alarm::Alarm;
use crate::idempotency::{Idempotency, Record};
use crate::measure::{Clock, Meter, Outcome, Sink};
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::request::{RequestError, RequestHead};
use crate::route::{Destination, Exposure};
use crate::upstream::Upstreams;
use crate::upstream::pool::Pool;
use aftermath::ExchangeAftermath;
use caller::Caller;
pub use connection::Connection;
use file::ExchangeFile;
use forward::Forward;
use leave::{Leave, OwnTurn};
use operation::{ExchangeOperation, WhoseTurn};
use received::ReceivedBody;
pub use under_way::{Entered, ExchangesUnderWay};

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
    /// From when a request's body is awaited to its end.
    pub body_timeout: Duration,
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

/// A request as its connection read it.
pub struct Arrival {
    /// Its head; what could be made out of it, if it cannot be one.
    pub head: RequestHead,
    /// Why it cannot be one, if it cannot.
    pub fault: Option<RequestError>,
    /// Whether a body follows.
    pub has_body: bool,
    /// The length that it declares.
    pub declared: Option<u64>,
    /// From the moment when it was whole.
    pub clock: Clock,
    /// Where the connection comes from.
    pub address: IpAddr,
    /// What its exchanges know of it.
    pub connection: Option<Arc<Connection>>,
}

/// What an exchange borrows from who runs it.
pub struct Seat<'a> {
    /// The connections to servers of this thread.
    pub pool: &'a Pool,
    /// For its deadlines.
    pub alarm: &'a mut Alarm,
    /// It is counted: the process does not end before it.
    pub entered: &'a Entered,
}

/// One listener's gateway.
pub struct Gateway {
    /// What serves new exchanges: swapped on reload.
    pub serving: Arc<ArcSwap<Serving>>,
    /// The listener.
    pub entrance: Entrance,
    /// Where samples go.
    pub sink: Arc<dyn Sink>,
    /// The exchanges of the process that have not ended.
    pub under_way: ExchangesUnderWay,
}

/// Why an exchange ends before its answer was given.
enum End {
    /// With a refusal, which the caller is told.
    Refused(Refused),
    /// Nobody is there any more who could be told anything.
    Left,
    /// Within the answer: so it counts, and whether the caller had yet to take what it was given.
    Cut(Outcome, bool),
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Gateway {
    /// Serves one request. Whatever ends the exchange, it ends in one sample.
    pub async fn serve(&self, arrival: &Arrival, caller: &mut impl Caller, seat: &mut Seat<'_>) {
        let mut file = ExchangeFile::open(self, arrival);
        let (outcome, is_taking) = match self.course(arrival, caller, seat, &mut file).await {
            Ok(outcome) => (outcome, true),
            Err(End::Refused(refused)) => {
                (reply::refuse(caller, arrival, &mut file, refused).await, true)
            }
            Err(End::Left) => (Outcome::ClientAbort, false),
            Err(End::Cut(outcome, is_taking)) => {
                caller.cut();
                (outcome, is_taking)
            }
        };
        file.close(outcome, is_taking);
    }

    /// The course: what must be so before a backend is asked, and what follows.
    async fn course(
        &self,
        arrival: &Arrival,
        caller: &mut impl Caller,
        seat: &mut Seat<'_>,
        file: &mut ExchangeFile<'_>,
    ) -> Result<Outcome, End> {
        // Every stage, in the order that admission has.
        let Some(permit) = file.admit(arrival).await? else {
            return reply::greet(caller, arrival, file).await;
        };
        // Behind the permit: an operation is named by its client, its consent and its canonical path.
        let stage = file.serving.idempotency.clone();
        let mut operation = ExchangeOperation::of(
            stage.as_ref(),
            &permit,
            file.peer(),
            &arrival.head,
            file.arrived,
        )?;
        // Its body: whole, or as much of a long one as is kept. Whoever waited is judged again.
        let (permit, mut body) =
            receive(permit, &mut operation, arrival, caller, seat, file).await?;
        let Destination::Upstream(upstream) = permit.route().to else {
            // Before `Leave`: what goes to the gateway itself has no backend to ask leave for.
            take_event(&body, file)?;
            return reply::done(caller, arrival, file).await;
        };
        let serving = file.serving.clone();
        let upstream = serving.upstreams.get(upstream);
        let upstream = upstream.ok_or(Refusal::Internal).at(Step::Upstream)?;
        let mut aftermath = ExchangeAftermath::of(&serving, &permit);
        if permit.route().answers.revokes_tokens {
            // Before the backend is asked: afterwards it is too late to refuse a form of which the tokens
            // cannot be told.
            aftermath.read_form(&body, file.peer()).await?;
        }
        // Whose turn it is: an operation is carried out once. The second waits as long as the first may take.
        let longest = upstream.settings().total_timeout;
        let (whose, has_waited) = operation.take_turn(body.is_whole(), longest, file).await?;
        let leave = match whose {
            WhoseTurn::Own(turn) => lead(permit, turn, has_waited, file).await?,
            WhoseTurn::Past(record) => {
                if has_waited || !body.is_whole() {
                    // Read to its end all the same: whether it is the same request is in the
                    // fingerprint of the whole.
                    body.discard(caller, &mut operation, seat).await?;
                    file.note_whole(Instant::now());
                    confirm_repetition(permit, file).await?;
                }
                return again(&record, &operation, arrival, caller, file).await;
            }
        };
        // Noted anew: what was judged again may have been borne by shadow mode only the second time.
        file.note_permit(leave.permit());
        let mut forward =
            Forward { caller, arrival, file, seat, upstream, body, operation, aftermath };
        forward.run(leave).await
    }
}

/// Receives the body of an admitted request: whole, or the first part of a long one. Then what was admitted is judged
/// again: a caller that holds its last byte back gains nothing by it.
async fn receive(
    permit: Permit,
    operation: &mut ExchangeOperation,
    arrival: &Arrival,
    caller: &mut impl Caller,
    seat: &mut Seat<'_>,
    file: &mut ExchangeFile<'_>,
) -> Result<(Permit, ReceivedBody), End> {
    if !arrival.has_body {
        return Ok((permit, ReceivedBody::none()));
    }
    let now = Instant::now();
    file.clock.await_body(now);
    // From the moment when it is awaited: what the stages took is not the caller's to make up for.
    let due = now + file.serving.body_timeout;
    let admission = &file.serving.admission;
    let mut body = ReceivedBody::begin(admission, permit.route(), arrival.declared, due);
    // Only now, behind every stage: who is refused sends no body in vain (RFC 9110
    // section 10.1.1, decision 24).
    if arrival.head.fields.contains_key(header::EXPECT) {
        caller.proceed();
    }
    body.receive(caller, operation, seat).await?;
    if body.is_whole() {
        file.note_whole(Instant::now());
    } else {
        file.note_streaming();
    }
    let permit = confirm(permit, file).await?;
    Ok((permit, body))
}

/// Judges a permit again, of which time has passed.
async fn confirm(permit: Permit, file: &mut ExchangeFile<'_>) -> Result<Permit, Refused> {
    let serving = file.serving.clone();
    let waiting = permit.wait();
    // Boxed: whoever waited has the time, and every request's future would be larger.
    let judged = serving.admission.confirm(waiting, file.peer(), Moment::now());
    let permit = Box::pin(judged).await?;
    file.note_permit(&permit);
    Ok(permit)
}

/// Leave for whose turn it is: nothing was answered yet to what is asked here.
async fn lead(
    permit: Permit,
    turn: OwnTurn,
    has_waited: bool,
    file: &mut ExchangeFile<'_>,
) -> Result<Leave, Refused> {
    // Before another judgement is asked for: a consent that is used up has no turn to lead.
    let permit = permit.unspent()?;
    let permit = if has_waited { confirm(permit, file).await? } else { permit };
    Leave::new(permit, turn)
}

/// Judges a permit again, to give the answer that an earlier exchange got.
async fn confirm_repetition(permit: Permit, file: &ExchangeFile<'_>) -> Result<(), Refused> {
    let admission = &file.serving.admission;
    Box::pin(admission.confirm_repetition(permit.wait(), file.peer(), Moment::now())).await
}

/// Takes the event that the body is: it is for the gateway, and no backend sees it.
fn take_event(body: &ReceivedBody, file: &ExchangeFile<'_>) -> Result<(), Refused> {
    // Nothing of it was kept that could be read whole, and an event is some hundred bytes.
    if body.is_long() {
        return Err(Step::Body.refuse(RequestError::BodyTooLarge));
    }
    let consents = &file.serving.admission.consents;
    consents.take_event(body.kept(), Moment::now()).at(Step::Event)
}

/// Gives the answer of an earlier exchange, if what is asked is what was asked there.
async fn again(
    record: &Record,
    operation: &ExchangeOperation,
    arrival: &Arrival,
    caller: &mut impl Caller,
    file: &mut ExchangeFile<'_>,
) -> Result<Outcome, End> {
    // Compared before anything is said of it: a key may stand for another content.
    let answer = operation.repeat(record)?;
    file.note_replay();
    reply::repeat(caller, arrival, file, answer).await
}
