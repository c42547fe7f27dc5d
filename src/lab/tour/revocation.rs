//! A certificate is revoked while its connections are open: the next list names it, the gateway reads the
//! lists again on SIGHUP, and a request later the connections are of no more use than new ones.

use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use rustls::AlertDescription;

use super::request::TourRequest;
use super::stops::BRANCHES;
use super::table::Expected::{self, Alert, Answer, Refusal};
use super::{Visitor, metric, reached};
use crate::lab::Result;
use crate::lab::client::{Connector, Http1Client, Http2Client, Response};
use crate::lab::directory::MUTUAL;
use crate::lab::pki::{ClientSubject, rsa_key};

const RELOADS: &str = "portaria_reloads_total{result=\"ok\"}";
const REVOKED: Expected = Alert("certificate revoked");

/// Connections that stay open.
struct OpenConnections {
    name: &'static str,
    connector: Connector,
    http1: Http1Client,
    http2: Http2Client,
}

impl OpenConnections {
    async fn connect(name: &'static str, connector: Connector) -> Result<Self> {
        let (http1, http2) = (connector.http1().await?, connector.http2().await?);
        Ok(Self { name, connector, http1, http2 })
    }

    /// A request on each of the connections.
    async fn ask(&mut self, visitor: &mut Visitor, when: &str, expected: Expected) -> Result<()> {
        let request = TourRequest::get(BRANCHES);
        for (over, is_http1) in [("HTTP/1.1", true), ("HTTP/2", false)] {
            let before = reached().await?;
            let answer = match is_http1 {
                true => self.http1.exchange(&request.to_bytes()).await,
                false => self.http2.exchange(request.to_http2()?, Bytes::new()).await,
            };
            visitor.requests += 1;
            let reached = reached().await? - before;
            let what = format!("{}, its {over} connection {when}", self.name);
            visitor.table.note(&what, &expected, answer.as_ref().ok(), reached);
        }
        Ok(())
    }
}

pub(super) async fn stop(visitor: &mut Visitor) -> Result<()> {
    let place = visitor.place.clone();
    let identity = place.authority("issuing")?.client(&rsa_key()?, &ClientSubject::default())?;
    let connector = Connector::new(MUTUAL, place.root()?, Some(&identity))?;
    let mut revoked = OpenConnections::connect("a new client", connector).await?;
    let mut other = OpenConnections::connect("participant two", visitor.two.clone()).await?;
    revoked.ask(visitor, "opened", Answer(200)).await?;
    other.ask(visitor, "opened", Answer(200)).await?;
    place.revoke(&identity)?;
    reload(visitor).await?;
    revoked.ask(visitor, "after its revocation", Refusal(401, "CERTIFICADO_NAO_ACEITO")).await?;
    let what = "a new client, a new connection after its revocation";
    let (before, answer) = (reached().await?, open(&revoked.connector).await);
    let actual = answer.map_or_else(|error| alert(&*error), |answer| answer.status.to_string());
    visitor.table.note_text(what, &REVOKED, actual, reached().await? - before);
    other.ask(visitor, "goes on", Answer(200)).await
}

/// Opens a connection and waits for what the gateway says of its own: a refused handshake ends in an alert.
async fn open(connector: &Connector) -> Result<Response> {
    connector.http1().await?.receive(false).await
}

/// Sends SIGHUP as a user would, and waits until the gateway says that it has reloaded.
async fn reload(visitor: &Visitor) -> Result<()> {
    let file = visitor.place.file("portaria.pid");
    let pid = std::fs::read_to_string(&file).map_err(|error| {
        format!("{}: {error}, accepted: the process id of the gateway", file.display())
    })?;
    // Before the signal: a reload that is quicker than the question would never be seen.
    let before = metric(RELOADS).await?;
    if !Command::new("kill").args(["-HUP", pid.trim()]).status()?.success() {
        return Err(format!("no gateway runs as process {}", pid.trim()).into());
    }
    for _ in 0..100 {
        if metric(RELOADS).await? > before {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("the gateway does not reload: see portaria.log".into())
}

/// The alert that ended a handshake, in words.
fn alert(error: &(dyn std::error::Error + 'static)) -> String {
    let tls = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match tls.and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRevoked)) => {
            "alert: certificate revoked".to_owned()
        }
        Some(error) => error.to_string(),
        None => "no answer".to_owned(),
    }
}
