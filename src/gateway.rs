//! The gateway: the only implementation of pingora's phases. Each phase calls one stage, and a refusal
//! is answered in exactly one place (`Gateway::answer`).
//!
//! Also decides what the framework leaves open: that a request's body is whole before its backend is
//! chosen (or its length declared, if it is long), which failures are tried again, and what a failure of
//! either side means to the other.

mod answer;
mod body;
mod failure;
mod fields;
mod framing;
mod line;

use std::any::Any;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::admission::{Refused, Step};
use crate::exchange::{Arrival, Connection, Entrance, Exchange, Serving, UnderWay};
use crate::headers::{self, caller};
use crate::idempotency::Record;
use crate::measure::Sink;
use crate::refusal::{Refusal, UpstreamError, foreign};
use crate::request::RequestError;
use crate::upstream::Upstream;

/// Interim answers (1xx) that a backend may send before its answer.
const MOST_INTERIM: u32 = 16;

/// What routes may have, for who asks of nothing in particular.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// One listener's proxy.
pub struct Gateway {
    /// What serves new exchanges: swapped on reload.
    pub serving: Arc<ArcSwap<Serving>>,
    /// The listener.
    pub entrance: Entrance,
    /// Where samples go.
    pub sink: Arc<dyn Sink>,
    /// The exchanges of the process that have not ended.
    pub under_way: UnderWay,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        let serving = self.serving.load_full();
        let entered = self.under_way.enter();
        Exchange::new(serving, self.entrance.clone(), self.sink.clone(), entered)
    }

    /// No modules: the framework's default one would compress.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
        arrival: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(arrival) = arrival.downcast::<Arrival>() {
            exchange.note_arrival(*arrival);
        }
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        session.set_read_timeout(Some(exchange.serving().body_timeout));
        session.set_total_drain_timeout(Some(exchange.serving().body_timeout));
        if session.is_http2() {
            // HTTP/1 writes are bounded at the listener.
            session.set_write_timeout(Some(exchange.serving().write_timeout));
        }
        session.set_ignore_info_resp(true);
        let address = session.client_addr().and_then(|address| address.as_inet());
        let address = address.map(|address| address.ip().to_canonical());
        exchange.begin(session.req_header(), address, connection_of(session));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let has_body = !session.is_body_empty();
        if let Err(refusal) = exchange.admit(session.req_header(), has_body).await {
            return self.answer(session, exchange, refusal).await.map(|()| true);
        }
        if exchange.is_greeting() {
            return answer::no_content(session, exchange, Some(METHODS)).await.map(|()| true);
        }
        if let Some(refusal) = body::receive(session, exchange).await? {
            return self.answer(session, exchange, refusal).await.map(|()| true);
        }
        if exchange.is_event() {
            return self.take_event(session, exchange).await.map(|()| true);
        }
        if exchange.permit().is_some_and(|permit| permit.route().answers.revokes_tokens) {
            let form = session.as_downstream().get_retry_buffer().unwrap_or_default();
            if let Err(refusal) = exchange.read_revocation(&form).await {
                return self.answer(session, exchange, refusal).await.map(|()| true);
            }
        }
        let record = match exchange.take_turn().await {
            Ok(None) => return Ok(false),
            Ok(Some(record)) => record,
            Err(refused) => return self.answer(session, exchange, refused).await.map(|()| true),
        };
        self.repeat(session, exchange, &record).await.map(|()| true)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        piece: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        body::watch(piece.as_ref(), end_of_stream, exchange).await
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        // Time went by with the server before: what was admitted may have ended meanwhile.
        if exchange.attempts() > 0
            && let Err(refusal) = exchange.confirm().await
        {
            exchange.refuse(refusal);
            return Err(Error::new_in(ErrorType::InternalError));
        }
        match exchange.choose_server() {
            Some(mut chosen) => {
                if exchange.awaits_body() {
                    body::be_patient(&mut chosen.peer, exchange);
                }
                Ok(chosen.peer)
            }
            // Unreachable: `request_filter` goes on only with a permit, and upstreams have servers.
            None => Err(Error::new_in(ErrorType::InternalError)),
        }
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        // Its body is read from now on, for a server is there that takes it.
        if exchange.awaits_body() {
            exchange.note_body_awaited();
        }
        let facts = match exchange.caller_facts() {
            Ok(facts) => facts,
            Err(refusal) => {
                exchange.refuse(refusal);
                return Err(Error::new_in(ErrorType::InternalError));
            }
        };
        let (Some(permit), Some(upstream)) = (exchange.permit(), exchange.upstream()) else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let settings = upstream.settings();
        let length = body::length(session, exchange);
        // Who gets the answer later may not accept what this caller does; and links are rewritten in what can be
        // read.
        let is_for_others = exchange.may_be_repeated();
        let is_head = request.method == Method::HEAD;
        fields::edit_request(request, |headers| {
            caller::introduce(headers, facts, &settings.passing);
            if let Some(host) = &settings.host {
                headers.insert(header::HOST, host.clone());
            }
            let is_plain = is_for_others || settings.public_url.is_some();
            if is_plain && headers.contains_key(header::ACCEPT_ENCODING) {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            fields::frame(headers, length, is_head);
        });
        fields::make_canonical(request, permit.canonical_path())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let status = response.status.as_u16();
        let is_interim = response.status.is_informational();
        let is_flood = is_interim && exchange.note_interim() > MOST_INTERIM;
        // No upgrade was asked for, so 101 answers nothing; nor does a status that no class has.
        if status == 101 || status >= 600 || is_flood || !framing::is_sound(response) {
            exchange.refuse(Step::Upstream.refuse(UpstreamError::Malformed));
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        }
        framing::own(response);
        if is_interim {
            exchange.note_backend_progress();
        } else {
            exchange.note_backend_answer(response.status);
        }
        // A backend that sends its head drop by drop is no faster than a silent one.
        if exchange.is_overdue() {
            return Err(Error::new_up(ErrorType::ReadTimedout));
        }
        Ok(())
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(socket) = digest.and_then(|digest| digest.socket_digest.clone()) {
            exchange.note_line(Box::new(line::Connected(socket)));
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        piece: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        exchange.note_backend_progress();
        if exchange.is_overdue() {
            return Err(Error::new_up(ErrorType::ReadTimedout));
        }
        if let Some(replaced) = exchange.replaced(end_of_stream) {
            *piece = replaced;
            exchange.note_handed_over(piece.as_ref().map_or(0, Bytes::len));
            return Ok(None);
        }
        // What is kept for a repetition is what the caller gets.
        if let Some(links) = exchange.links() {
            *piece = links.rewrite(piece.as_deref().unwrap_or_default(), end_of_stream);
        }
        exchange.note_answer_piece(piece.as_deref().unwrap_or_default(), end_of_stream);
        exchange.note_handed_over(piece.as_ref().map_or(0, Bytes::len));
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status.is_informational() {
            fields::edit_response(response, HeaderMap::clear);
            return Ok(());
        }
        let rewrites_links = exchange.begin_links(response.status, &response.headers);
        let replaced = exchange.replace_error(response.status, &response.headers);
        if let Some((status, _)) = replaced {
            response.set_status(status)?;
        }
        let host = session.req_header().headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let settings = exchange.upstream().map(Upstream::settings);
        let Some(facts) = exchange.answer_facts(session.req_header().uri.path()) else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let has_no_content = response.status == StatusCode::NO_CONTENT;
        let mut lasting = None;
        fields::edit_response(response, |headers| {
            headers::clear(headers, settings.is_some_and(|settings| settings.keeps_cookies));
            if let Some((_, length)) = replaced {
                foreign::dress(headers, length);
            }
            if let Some(settings) = settings {
                fields::lead_outside(headers, settings, host);
            }
            lasting = exchange.may_be_repeated().then(|| headers::lasting(headers));
            if has_no_content {
                headers.remove(header::CONTENT_LENGTH);
            }
            if rewrites_links {
                answer::leave_length_open(headers);
            }
            headers::complete(headers, facts);
        });
        answer::suit_version(session, response);
        exchange.note_status(response.status);
        exchange.note_handed_over(0);
        if let Some(fields) = lasting {
            exchange.note_answer_head(response.status.as_u16(), fields);
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        exchange.note_backend_failure();
        // Nothing was sent: another server may try, whatever the method.
        error.set_retry(failure::may_try_again(exchange));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        _reused: bool,
    ) -> Box<Error> {
        if failure::is_callers(&error, exchange) {
            exchange.refuse(Step::Body.refuse(RequestError::BodyTimeout));
        } else if failure::is_backends(&error) {
            exchange.note_backend_failure();
        }
        let retry = failure::may_repeat(session, &error) && failure::may_try_again(exchange);
        error.set_retry(retry);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        // The framework ends the connection after a failure: the answer says so.
        session.set_keepalive(None);
        let Some(refused) = failure::refusal_for(session, error, exchange) else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let error_code = refused.refusal.status().as_u16();
        // A caller that is gone cannot be answered: `logging` tells it from the status.
        let answered = self.answer(session, exchange, refused).await;
        if answered.is_ok() && !session.is_http2() {
            exchange.conclude(failure::outcome(Some(error), exchange), true);
            // The framework would drop the connection, and with it the answer if the caller still sends.
            session.as_downstream_mut().shutdown().await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let outcome = failure::outcome(error, exchange);
        let is_taking = failure::is_taking(session, error, exchange);
        exchange.conclude(outcome, is_taking);
    }

    // The framework's own error log names paths: the access log and the metrics say what happened.
    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _: &Session, _: &Exchange) -> String {
        String::new()
    }
}

impl Gateway {
    /// An event of the registry is for the gateway: no backend sees it.
    async fn take_event(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let body = session.as_downstream().get_retry_buffer().unwrap_or_default();
        match exchange.take_event(&body) {
            Ok(()) => answer::no_content(session, exchange, None).await,
            Err(refusal) => self.answer(session, exchange, refusal).await,
        }
    }

    /// The one place where a refusal becomes an answer.
    async fn answer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        refused: Refused,
    ) -> Result<()> {
        let refusal = &refused.refusal;
        if !refusal.ends_connection() {
            body::take_what_is_here(session).await;
        }
        let head = answer::head(session.req_header(), exchange, refusal);
        let form = exchange.error_form(refusal);
        let body = (session.req_header().method != Method::HEAD)
            .then(|| Bytes::from(refusal.body(form, exchange.arrived())));
        exchange.note_status(head.status);
        if refusal.ends_connection() || exchange.is_enough(refusal) {
            session.set_keepalive(None);
        }
        if matches!(refusal, Refusal::Identity(_)) {
            exchange.peer().dismiss();
        }
        exchange.refuse(refused);
        exchange.note_handed_over(body.as_ref().map_or(0, Bytes::len));
        answer::write(session, head, body).await?;
        body::drain(session).await;
        Ok(())
    }

    /// Gives the answer of an earlier exchange, if what is asked is what was asked there.
    async fn repeat(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        record: &Record,
    ) -> Result<()> {
        if let Some(refusal) = body::discard(session, exchange).await? {
            return self.answer(session, exchange, refusal).await;
        }
        let answer = match exchange.repeat(record) {
            Ok(answer) => answer,
            Err(refusal) => return self.answer(session, exchange, refusal).await,
        };
        let head = answer::repeated(session.req_header(), exchange, answer)?;
        exchange.note_status(head.status);
        let body = answer.body.clone();
        exchange.note_handed_over(body.len());
        answer::write(session, head, Some(body)).await
    }
}

/// What the handshake found out about the other end.
fn connection_of(session: &Session) -> Option<Arc<Connection>> {
    let tls = session.digest()?.ssl_digest.as_ref()?;
    tls.extension.get::<Arc<Connection>>().cloned()
}
