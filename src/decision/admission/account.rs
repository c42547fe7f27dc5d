//! What a request was held against at each question that it passed: for `portaria explain` without a gateway,
//! never for one that serves.
//!
//! Worked out after the verdict, from what the stages keep anyway, like the explanation of a refusal and under
//! the same rule: nothing that is personal, and nothing that is secret.

use serde::{Deserialize, Serialize};

use super::explanation::{permission, scope};
use super::{Admission, Arriving, Comparison, Step};
use crate::identity::{Participant, Peer};
use crate::moment::Moment;
use crate::token::{Grant, VerifiedToken};

/// What a passed question was about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Note {
    /// The question.
    pub step: Step,
    /// What was found, or what was compared.
    pub text: String,
}

impl Admission {
    /// Tells what a request met before `end`; all of it, if there is none.
    pub async fn account(
        &self,
        request: &Arriving<'_>,
        end: Option<Step>,
        now: Moment,
    ) -> Vec<Note> {
        // Recalled and not judged again: an explanation asks nobody, and may come when the services are gone.
        let token = self.tokens.recall(request.head.fields).await;
        let inquiry = request.route.as_deref().map(|route| route.asks.inquiry);
        let consent = match (&token, inquiry) {
            (Some(token), Some(inquiry)) => self.consents.recall(token, inquiry, now).await,
            _ => None,
        };
        let (token, route) = (token.as_deref(), request.route.as_deref());
        let told = |step: Step| match step {
            Step::Trust => Some(trust(request.peer).to_owned()),
            Step::Participant => request.peer.participant(now).ok().map(participant),
            Step::Route => {
                route.map(|route| format!("{} {}", route.published.method, route.published.label))
            }
            Step::Token => token.map(|token| grant(token).to_owned()),
            Step::Scope => Some(held(&scope(route?, token?)?)),
            Step::Consent => Some(held(&permission(route?, &*consent.clone()?)?)),
            Step::Quota
            | Step::Head
            | Step::Target
            | Step::Version
            | Step::Media
            | Step::Interaction
            | Step::Repetition
            | Step::Parameters
            | Step::Body
            | Step::Operation
            | Step::Event
            | Step::Upstream => None,
        };
        let passed = Step::ALL.into_iter().filter(|step| end.is_none_or(|end| *step < end));
        let asked = passed.filter(|step| route.is_none_or(|route| step.is_asked_by(route)));
        asked.filter_map(|step| Some(Note { step, text: told(step)? })).collect()
    }
}

fn held(Comparison { what, wanted, found }: &Comparison) -> String {
    format!("{what}: wanted {wanted}, found {found}")
}

fn trust(peer: &Peer) -> &'static str {
    match peer {
        Peer::Anonymous => "the listener asks for no certificate",
        Peer::Certified(_) => "the certificate leads to a trust anchor",
    }
}

fn participant(participant: &Participant) -> String {
    // Ids are letters, digits and hyphens by their type, so they are always text.
    let organisation = participant.organisation_id().as_value().to_str().unwrap_or_default();
    let software = participant.software_statement_id().as_value().to_str().unwrap_or_default();
    format!("organisation {organisation}, software statement {software}")
}

fn grant(token: &VerifiedToken) -> &'static str {
    match token.grant() {
        Grant::Client => "valid, bound to the certificate, the client's own",
        Grant::User => "valid, bound to the certificate, a customer's",
    }
}
