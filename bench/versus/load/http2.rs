//! Requests over HTTP/2 and mTLS.

use std::time::Instant;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::StatusCode;
use portaria::lab::Result;

use super::{Outcome, Until, http1};
use crate::target::Target;

/// Never what holds an answer back.
const WINDOW: u32 = 1024 * 1024;

/// Opens a connection; it is driven by a task of its own, as long as it is used.
pub(super) async fn open(target: &Target) -> Result<SendRequest<Bytes>> {
    let stream = http1::connect(target, true).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err("the proxy does not speak HTTP/2".into());
    }
    let mut builder = client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(super) async fn keep_asking(
    sender: SendRequest<Bytes>,
    target: Target,
    until: Until,
) -> Result<Outcome> {
    let mut outcome = Outcome::new()?;
    let (request, body) = target.http2()?;
    let mut sender = sender;
    while until.goes_on() {
        let began = Instant::now();
        sender = sender.ready().await?;
        let (answer, mut sending) = sender.send_request(request.clone(), body.is_empty())?;
        if !body.is_empty() {
            sending.send_data(body.clone(), true)?;
        }
        take(answer.await?).await?;
        outcome.note(began)?;
    }
    Ok(outcome)
}

async fn take(answer: http::Response<h2::RecvStream>) -> Result<()> {
    let status = answer.status();
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(()),
        status => Err(format!("an answer is {status}").into()),
    }
}
