//! Leave to ask a backend: the only thing that `forward` takes.
//!
//! A permit alone is none. Its consent may be used up, so that its request may get an earlier answer and no other; its
//! destination may be the gateway itself; another request may have the turn of its operation; and time may have passed
//! since it was judged, while a body or a turn was awaited. So leave is made in one place, of a permit that holds now
//! ([`Permit`]; what waits is a [`crate::admission::Waiting`]), and of the turn that is this request's own.

use crate::admission::{Admission, Permit, Refused, Step};
use crate::identity::Peer;
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::route::{Destination, Route};

/// Leave to ask the backend of a request. Nobody can make one up:
///
/// ```compile_fail,E0451
/// use portaria::course::leave::Leave;
/// fn forge(leave: Leave) -> Leave { Leave { upstream: 0, ..leave } }
/// ```
///
/// nor ask for one outside the course, which alone knows whose turn it is:
///
/// ```compile_fail,E0624
/// use portaria::course::leave::{Leave, OwnTurn};
/// fn ask(permit: portaria::admission::Permit, turn: OwnTurn) { let _ = Leave::new(permit, turn); }
/// ```
///
/// nor of what waits, before it was judged again:
///
/// ```compile_fail,E0308
/// use portaria::admission::{Permit, Waiting};
/// fn hurry(waiting: Waiting) -> Permit { waiting }
/// ```
#[derive(Debug)]
pub struct Leave {
    permit: Permit,
    turn: OwnTurn,
    upstream: usize,
}

/// That it is this request's turn. Only the stage that knows of operations (`operation`) has one to give:
///
/// ```compile_fail,E0423
/// let forged = portaria::course::leave::OwnTurn(());
/// ```
#[derive(Debug)]
pub struct OwnTurn(());

impl OwnTurn {
    /// For a request whose turn it is.
    pub(super) fn given() -> Self {
        Self(())
    }
}

impl Leave {
    /// Leave for a permit that holds, whose turn it is.
    pub(super) fn new(permit: Permit, turn: OwnTurn) -> Result<Self, Refused> {
        // Asked by the column already; here nothing stands any more between a spent consent and a backend.
        let permit = permit.unspent()?;
        match permit.route().to {
            Destination::Upstream(upstream) => Ok(Self { permit, turn, upstream }),
            Destination::Gateway => Err(Step::Upstream.refuse(Refusal::Internal)),
        }
    }

    /// Leave once more, of which time has passed with a server before: what was admitted may have ended meanwhile.
    pub(super) async fn renew(self, admission: &Admission, peer: &Peer) -> Result<Self, Refused> {
        let waiting = self.permit.wait();
        // Boxed: few requests are sent twice, and all would carry its room.
        let permit = Box::pin(admission.confirm(waiting, peer, Moment::now())).await?;
        Self::new(permit, self.turn)
    }

    /// The permit.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The route.
    pub(super) fn route(&self) -> &Route {
        self.permit.route()
    }

    /// The upstream, as an index.
    pub(super) fn upstream(&self) -> usize {
        self.upstream
    }
}
