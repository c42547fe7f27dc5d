//! The backend's part of an exchange: which server is asked, and how it is doing.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::Exchange;
use crate::moment::Moment;
use crate::upstream::{Chosen, Upstream};

/// How the backend is doing on this exchange.
#[derive(Default)]
pub(super) struct Backend {
    pub(super) answered: bool,
    pub(super) server: Option<usize>,
    pub(super) attempts: u32,
    pub(super) interim: u32,
}

impl Exchange {
    /// The upstream, if one of its servers was chosen.
    pub(super) fn asked(&self) -> Option<&Upstream> {
        self.upstream().filter(|_| self.backend.attempts > 0)
    }

    /// Chooses a server for the permit, for the first time or for a retry.
    pub fn choose_server(&mut self) -> Option<Chosen> {
        // A body that is passed on as it comes is passed on from its beginning.
        if self.awaits_body {
            self.await_body(self.received.declared());
        }
        let permit = self.permit.as_ref()?;
        let now = Instant::now();
        let chosen = self.serving.upstreams.choose(permit, self.backend.server, Moment::of(now))?;
        self.backend.server = Some(chosen.server);
        self.backend.attempts += 1;
        self.course.ask(now);
        Some(chosen)
    }

    /// How many servers were tried.
    pub fn attempts(&self) -> u32 {
        self.backend.attempts
    }

    /// Notes that the server chosen last gave no usable answer.
    pub fn note_backend_failure(&mut self) {
        self.note_body_received();
        self.course.hear(Instant::now(), Duration::ZERO);
        if let (Some(upstream), Some(server)) = (self.upstream(), self.backend.server) {
            upstream.note_failure(server, Moment::now());
        }
    }

    /// Notes the head of the backend's answer, and that an answer which may have changed a consent ends
    /// what is kept of it, before the caller sees the answer.
    pub fn note_backend_answer(&mut self, status: StatusCode) {
        // One that answers early wants no more of the body.
        self.note_body_received();
        self.note_backend_progress();
        self.backend.answered = true;
        self.note_aftermath(status);
        if let (Some(upstream), Some(server)) = (self.upstream(), self.backend.server) {
            upstream.note_answer(server);
        }
    }

    /// Notes that something of the backend's answer arrived.
    pub fn note_backend_progress(&mut self) {
        let now = Instant::now();
        self.course.hear(now, self.there_for(now));
    }

    /// Counts an interim answer (1xx) of the backend.
    pub fn note_interim(&mut self) -> u32 {
        self.backend.interim += 1;
        self.backend.interim
    }

    /// Whether the backend, when it was last heard of, had taken longer than its upstream admits.
    pub fn is_overdue(&self) -> bool {
        let total = self.upstream().map(|upstream| upstream.settings().total_timeout);
        match (self.course.backend_so_far(), total) {
            (Some(taken), Some(total)) => taken > total && !self.awaits_body,
            _ => false,
        }
    }
}
