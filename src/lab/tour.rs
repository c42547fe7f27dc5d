//! The tour: requests that show every check of the gateway, with the expected and the actual answer
//! side by side.

mod request;
mod revocation;
mod stops;
mod table;
pub mod token;

use std::io::Write;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Result;
use super::authorization::Signer;
use super::client::{Connector, Response};
use super::directory::{ADMIN, AUTHORIZATION, CONTROL, LabDirectory, MUTUAL, PUBLIC};
use super::pki::Identity;
use crate::identity::PathReason;
use crate::route::PriorityClass;
use request::TourRequest;
use table::{Expected, TourTable};

/// Who tours.
struct Visitor {
    one: Connector,
    two: Connector,
    public: Connector,
    place: LabDirectory,
    signer: Signer,
    table: TourTable,
    requests: u32,
}

/// Runs the tour against a gateway that runs; returns whether every answer was the expected one.
pub async fn run(place: &LabDirectory, output: &mut impl Write) -> Result<bool> {
    let mut visitor = Visitor {
        one: place.connector(MUTUAL, Some("participant-one"))?,
        two: place.connector(MUTUAL, Some("participant-two"))?,
        public: place.connector(PUBLIC, None)?,
        signer: place.signer()?,
        place: place.clone(),
        table: TourTable::default(),
        requests: 0,
    };
    await_ready(place).await?;
    stops::all(&mut visitor).await?;
    let passed = visitor.table.print(output)?;
    print_percentiles(output).await?;
    writeln!(
        output,
        "\nWhere to look next: policies/ says what each route asks, docs/guide.md how to run it in front \
         of your own system,\ncerts/lab/config.toml how this gateway was configured."
    )?;
    Ok(passed)
}

/// Waits until the gateway can decide.
async fn await_ready(place: &LabDirectory) -> Result<()> {
    for _ in 0..100 {
        if let Ok((200, _)) = get_plain(ADMIN, "/readyz").await {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let log = place.file("portaria.log");
    Err(format!("no gateway is ready at http://{ADMIN}/readyz, see {}", log.display()).into())
}

async fn get_plain(address: std::net::SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

async fn print_percentiles(output: &mut impl Write) -> Result<()> {
    let (_, metrics) = get_plain(ADMIN, "/metrics").await?;
    writeln!(output, "\nResponse time, whole head received to last byte written (p95):")?;
    for class in PriorityClass::ALL {
        let name = class.as_str();
        let series =
            format!("portaria_response_time_p95_seconds{{class=\"{name}\",window=\"minute\"}} ");
        let found = metrics.lines().find_map(|line| line.strip_prefix(series.as_str()));
        // NaN where there was no exchange.
        let seconds = found.and_then(|text| text.parse::<f64>().ok()).filter(|s| s.is_finite());
        let target = class.target_ms();
        match seconds.map(|seconds| seconds * 1000.0) {
            Some(ms) => writeln!(output, "  {name:<7} {ms:>8.1} ms   legal target {target} ms")?,
            None => writeln!(output, "  {name:<7} no request  legal target {target} ms")?,
        }
    }
    Ok(())
}

impl Visitor {
    /// Sends a request on a connection of its own and holds the answer against what is expected.
    async fn expect(
        &mut self,
        what: &str,
        who: &Connector,
        request: &TourRequest,
        expected: Expected,
    ) -> Result<Response> {
        // What reaches the backend is counted and not named: nobody else may use the lab meanwhile.
        let before = reached().await?;
        self.requests += 1;
        let answer = ask(who, request).await;
        let reached = reached().await? - before;
        self.table.note(what, &expected, answer.as_ref().ok(), reached);
        Ok(answer.unwrap_or_else(|_| no_answer()))
    }

    /// As participant one.
    async fn one(
        &mut self,
        what: &str,
        request: &TourRequest,
        expected: Expected,
    ) -> Result<Response> {
        let one = self.one.clone();
        self.expect(what, &one, request, expected).await
    }

    /// The same request over HTTP/2.
    async fn http2(&mut self, what: &str, request: &TourRequest, expected: Expected) -> Result<()> {
        let before = reached().await?;
        self.requests += 1;
        let connection = self.one.http2().await?;
        let answer =
            connection.exchange(request.to_http2()?, Bytes::from(request.body.clone())).await;
        let reached = reached().await? - before;
        self.table.note(what, &expected, answer.as_ref().ok(), reached);
        Ok(())
    }

    /// A handshake that is refused; whom the gateway does not let in makes no request.
    async fn expect_refusal(&mut self, what: &str, who: &Identity, why: PathReason) -> Result<()> {
        let connector = Connector::new(MUTUAL, self.place.root()?, Some(who))?;
        let (before, series) = (reached().await?, of_reason(why));
        let counted = metric(&series).await?;
        let answer = ask(&connector, &TourRequest::get(stops::BRANCHES)).await;
        let is_counted = metric(&series).await? > counted;
        let actual = match answer {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(_) if is_counted => format!("no handshake: {why}"),
            Err(_) => "no handshake, for another reason".to_owned(),
        };
        let reached = reached().await? - before;
        self.table.note_text(what, &Expected::Reason(why), actual, reached);
        Ok(())
    }

    async fn token(&self, client: &str, scope: &str, consent: Option<&str>) -> Result<String> {
        let connector = self.place.connector(AUTHORIZATION, Some(client))?;
        token::request(&connector, client, scope, consent, false).await
    }
}

/// Sends a request on a connection of its own.
async fn ask(who: &Connector, request: &TourRequest) -> Result<Response> {
    let mut connection = who.http1().await?;
    // The gateway may answer before it has read everything.
    let _ = connection.send(&request.to_bytes()).await;
    connection.receive(false).await
}

fn no_answer() -> Response {
    Response {
        // A status that no stop expects.
        status: ::http::StatusCode::IM_A_TEAPOT,
        headers: ::http::HeaderMap::new(),
        body: Bytes::new(),
    }
}

fn of_reason(reason: PathReason) -> String {
    format!("portaria_client_certificate_refusals_total{{listener=\"mtls\",reason=\"{reason}\"}}")
}

/// What the gateway counts, zero if nothing yet.
async fn metric(series: &str) -> Result<f64> {
    let (_, metrics) = get_plain(ADMIN, "/metrics").await?;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value.unwrap_or("0").parse()?)
}

/// How many requests have reached the backend.
async fn reached() -> Result<u64> {
    let (_, body) = get_plain(CONTROL, "/").await?;
    let body: serde_json::Value = serde_json::from_str(&body)?;
    let count = body.get("reached").and_then(serde_json::Value::as_u64);
    count.ok_or_else(|| "the lab does not say what reached its backend".into())
}
