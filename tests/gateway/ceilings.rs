//! The ceilings: how many connections and requests there may be at a time, and what becomes of those beyond.

use std::net::IpAddr;

use portaria::lab::client::Http1Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const LISTENER: &str = "client_auth = \"required\"";

fn other() -> IpAddr {
    "127.0.0.2".parse().unwrap()
}

/// A lab with ceilings, whose backend may be silent for long.
pub async fn lab_of(limits: &str, change: impl FnOnce(String) -> String) -> Lab {
    lab_with(|config| {
        let patient = config.swap("first_byte_timeout = \"500ms\"", "first_byte_timeout = \"60s\"");
        let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"60s\"");
        // Connections that say nothing must not end by themselves.
        let patient = patient.swap("handshake_timeout = \"500ms\"", "handshake_timeout = \"60s\"");
        change(patient) + "\n[limits]\n" + limits + "\n"
    })
    .await
}

/// Whether the gateway ends a connection of which it has read nothing.
async fn is_turned_away(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}

async fn expect_open(lab: &Lab, listener: &str, number: f64) {
    let open = format!("portaria_open_connections{{listener=\"{listener}\"}}");
    lab.expect_metric(&open, number).await;
}

async fn refused(lab: &Lab, listener: &str, ceiling: &str) -> f64 {
    let series = format!(
        "portaria_refused_connections_total{{ceiling=\"{ceiling}\",listener=\"{listener}\"}}"
    );
    lab.metric(&series).await
}

#[tokio::test]
async fn connections_that_say_nothing_have_a_place_each_and_no_more_than_there_are() {
    let lab = lab_of("connections = { total = 3, per_address = 100 }", |config| config).await;
    let (public, mtls) = (lab.gateway.address("public"), lab.gateway.address("mtls"));
    let mut silent = Vec::new();
    for (number, address) in [(1.0, public), (2.0, public)] {
        silent.push(TcpStream::connect(address).await.unwrap());
        expect_open(&lab, "public", number).await;
    }
    silent.push(TcpStream::connect(mtls).await.unwrap());
    expect_open(&lab, "mtls", 1.0).await;
    for from in [other(), "127.0.0.3".parse().unwrap()] {
        assert!(is_turned_away(connect_from(from, public).await.unwrap()).await);
    }
    assert_eq!(refused(&lab, "public", "total").await, 2.0);
    lab.gateway.expect_log("limits.connections (total)").await;
    let lines = lab.gateway.log();
    let said = lines.iter().filter(|line| line.to_string().contains("limits.connections (total)"));
    assert_eq!(said.count(), 1, "said once");
    assert_eq!(lab.gateway.admin("/readyz").await.0, 200, "the operator still gets in");
    drop(silent);
    expect_open(&lab, "public", 0.0).await;
    expect_open(&lab, "mtls", 0.0).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

#[tokio::test]
async fn an_address_leaves_places_for_the_others() {
    let lab = lab_of("connections = { per_address = 2 }", |config| config).await;
    let public = lab.gateway.address("public");
    let silent =
        [TcpStream::connect(public).await.unwrap(), TcpStream::connect(public).await.unwrap()];
    expect_open(&lab, "public", 2.0).await;
    assert!(is_turned_away(TcpStream::connect(public).await.unwrap()).await);
    // On whichever listener.
    assert!(is_turned_away(TcpStream::connect(lab.gateway.address("mtls")).await.unwrap()).await);
    assert_eq!(refused(&lab, "public", "address").await, 1.0);
    let mut another = connect_from(other(), public).await.unwrap();
    expect_open(&lab, "public", 3.0).await;
    another.write_all(b"GET").await.unwrap();
    drop(silent);
    expect_open(&lab, "public", 0.0).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

#[tokio::test]
async fn a_balancers_connections_are_those_of_whom_it_names() {
    let change = |config: String| {
        config.swap(LISTENER, &format!("{LISTENER}\nproxy_protocol = {{ from = [\"127.0.0.2\"] }}"))
    };
    let lab = lab_of("connections = { per_address = 1 }", change).await;
    let mtls = lab.gateway.address("mtls");
    let named = |client: u8| format!("PROXY TCP4 192.0.2.{client} 192.0.2.99 1000 443\r\n");
    let mut kept = Vec::new();
    for client in [1, 2, 3] {
        let mut stream = connect_from(other(), mtls).await.unwrap();
        stream.write_all(named(client).as_bytes()).await.unwrap();
        kept.push(stream);
    }
    // The header is read, and what comes after it is awaited.
    expect_open(&lab, "mtls", 3.0).await;
    let mut again = connect_from(other(), mtls).await.unwrap();
    again.write_all(named(2).as_bytes()).await.unwrap();
    assert!(is_turned_away(again).await);
    let unnamed = connect_from(other(), mtls).await.unwrap();
    expect_open(&lab, "mtls", 4.0).await;
    drop((kept, unnamed));
}

#[tokio::test]
async fn an_organisation_has_its_places_wherever_it_comes_from() {
    let lab = lab_of("connections = { per_organisation = 1 }", |config| config).await;
    let mut first = lab.http1().await;
    assert_eq!(first.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    let second = lab.connector(Some(&lab.pki.one)).http1().await;
    let turned_away = match second {
        Ok(mut connection) => connection.exchange(&Request::get(OPEN).to_bytes()).await.is_err(),
        Err(_) => true,
    };
    assert!(turned_away);
    assert_eq!(refused(&lab, "mtls", "organisation").await, 1.0);
    let mut other = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    assert_eq!(other.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    drop(first);
    expect_open(&lab, "mtls", 1.0).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

#[tokio::test]
async fn a_reload_changes_the_ceilings_and_sends_nobody_away() {
    let lab = lab_of("connections = { total = 100 }", |config| config).await;
    let mut kept = lab.http1().await;
    let mut second = lab.http1().await;
    lab.rewrite_config(|config| config.swap("total = 100", "total = 1"));
    crate::reload::reload(&lab, "configuration reloaded").await;
    assert!(is_turned_away(TcpStream::connect(lab.gateway.address("public")).await.unwrap()).await);
    for connection in [&mut kept, &mut second] {
        assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    }
}

/// A connection with a request under way that the backend never answers.
pub async fn hold(lab: &Lab, mut connection: Http1Client) -> Http1Client {
    let before = lab.recorded().len();
    connection.send(&Request::get(&format!("{OPEN}?lab=silent")).to_bytes()).await.unwrap();
    eventually("the backend has it", || async { lab.recorded().len() > before }).await;
    connection
}

#[tokio::test]
async fn an_address_holds_no_more_requests_than_its_ceiling() {
    let lab = lab_of("under_way = { per_address = 2 }", |config| config).await;
    let public = lab.connector_to("public", None);
    let first = hold(&lab, public.http1().await.unwrap()).await;
    let _second = hold(&lab, lab.http1().await).await;
    let over_http2 = || http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    for _ in 0..2 {
        let mut connection = public.http1().await.unwrap();
        let response = connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
        assert_refused(&response, 429, "LIMITE_EXCEDIDO");
        assert_common_fields(&response);
        assert_eq!(response.field("retry-after"), Some("1"));
        let http2 = public.http2().await.unwrap();
        let response = http2.exchange(over_http2(), bytes::Bytes::new()).await.unwrap();
        assert_refused(&response, 429, "LIMITE_EXCEDIDO");
    }
    assert_eq!(lab.recorded().len(), 2, "the backend saw one of them");
    lab.expect_metric("portaria_over_limit_requests_total{code=\"limits_under_way_address\"}", 4.0)
        .await;
    drop(first);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    let mut connection = public.http1().await.unwrap();
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_organisation_holds_no_more_requests_than_its_ceiling() {
    let lab = lab_of("under_way = { per_organisation = 1 }", |config| config).await;
    let held = hold(&lab, lab.http1().await).await;
    let response = lab.send(&Request::get(OPEN)).await;
    assert_refused(&response, 429, "LIMITE_EXCEDIDO");
    assert_eq!(lab.recorded().len(), 1);
    let code = "portaria_over_limit_requests_total{code=\"limits_under_way_organisation\"}";
    lab.expect_metric(code, 1.0).await;
    let mut other = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    assert_eq!(other.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    drop(held);
}

#[tokio::test]
async fn at_the_ceiling_of_all_nobody_is_to_blame() {
    let lab =
        lab_of("under_way = { total = 1, per_address = 9, per_organisation = 9 }", |c| c).await;
    let held = hold(&lab, lab.http1().await).await;
    let response = lab.send(&Request::get(OPEN)).await;
    assert_refused(&response, 503, "SERVICO_INDISPONIVEL");
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(lab.recorded().len(), 1);
    drop(held);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_asks_too_much_again_and_again_ends() {
    let quota = "per_address = { requests = 1, per = \"10m\" }";
    let lab = lab_of(quota, |config| config).await;
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
    let mut connection = lab.http1().await;
    let mut answered = 0;
    loop {
        let response = connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
        assert_refused(&response, 429, "LIMITE_EXCEDIDO");
        answered += 1;
        assert!(answered < 1000, "never ended");
        if response.field("connection") == Some("close") {
            break;
        }
    }
    assert!(answered > 10, "a few are no reason");
    assert!(connection.is_ended().await);
    let http2 = lab.http2().await;
    let request = || http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    let mut answered = 0;
    while let Ok(response) = http2.exchange(request(), bytes::Bytes::new()).await {
        assert_eq!(response.status, 429);
        answered += 1;
        assert!(answered < 1000, "never ended");
    }
    assert!(answered > 10, "a few are no reason");
    assert_eq!(lab.recorded().len(), 1);
}

/// A frame with its head (RFC 9113 section 4.1).
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn frames_that_ask_for_nothing_are_cut_when_they_have_no_end() {
    let lab = lab().await;
    let connector = lab.connector_to("public", None);
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let floods = [
        frame(6, 0, &[7; 8]),
        frame(4, 0, &[]),
        frame(2, 1, &[0, 0, 0, 0, 15]),
        frame(8, 0, &[0, 0, 0, 1]),
        frame(0xee, 0, b"?"),
        frame(0xee, 3, &[]),
    ];
    for (number, flood) in floods.iter().enumerate() {
        let (mut reader, mut writer) = tokio::io::split(connector.tls().await.unwrap());
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, &[])].concat();
        writer.write_all(&begin).await.unwrap();
        // What it answers is taken, so that nothing but the gateway ends this.
        let reading = tokio::spawn(async move {
            let mut taken = [0; 4096];
            while matches!(reader.read(&mut taken).await, Ok(read) if read > 0) {}
        });
        let flood = flood.repeat(100);
        let flooding = async { while writer.write_all(&flood).await.is_ok() {} };
        let within = std::time::Duration::from_secs(20);
        assert!(tokio::time::timeout(within, flooding).await.is_ok(), "{number}: never cut");
        reading.await.unwrap();
        let cut = "portaria_cut_connections_total{listener=\"public\",reason=\"frames\"}";
        lab.expect_metric(cut, (number + 1) as f64).await;
    }
    lab.assert_untouched();
    let big = format!("https://localhost{OPEN}?lab=big:8000000");
    let http2 = connector.http2().await.unwrap();
    for _ in 0..3 {
        let request = http::Request::get(&big).body(()).unwrap();
        let response = http2.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert!(response.body.len() >= 8_000_000, "who takes a long answer says so often");
    }
}

/// Fields for a stream that was refused are read and dropped: no request, and no place in any quota.
#[tokio::test]
async fn fields_that_ask_for_nothing_more_are_cut_when_they_have_no_end() {
    let lab = lab().await;
    let connector = lab.connector_to("public", None);
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (mut reader, mut writer) = tokio::io::split(connector.tls().await.unwrap());
    let fields = |block: &[u8]| {
        let mut frame = frame(1, 1, block);
        // END_HEADERS, and no END_STREAM: trailers that are none reset their stream.
        frame[4] = 4;
        frame
    };
    let length = u8::try_from(OPEN.len()).unwrap();
    let request = [&[0x82, 0x87, 0x04, length], OPEN.as_bytes(), b"\x01\x09localhost"].concat();
    let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, &[])].concat();
    writer.write_all(&[begin, fields(&request)].concat()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut taken = [0; 4096];
        while matches!(reader.read(&mut taken).await, Ok(read) if read > 0) {}
    });
    let flood = fields(&[0x40, 1, b'a', 1, b'b']).repeat(100);
    let flooding = async { while writer.write_all(&flood).await.is_ok() {} };
    let within = std::time::Duration::from_secs(20);
    assert!(tokio::time::timeout(within, flooding).await.is_ok(), "never cut");
    reading.await.unwrap();
    let cut = "portaria_cut_connections_total{listener=\"public\",reason=\"frames\"}";
    lab.expect_metric(cut, 1.0).await;
    lab.assert_untouched();
}

#[tokio::test]
async fn empty_lines_before_a_request_have_an_end() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    connection.send(&b"\r\n".repeat(3)).await.unwrap();
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    let response = connection.exchange(&b"\r\n".repeat(1000)).await.unwrap();
    assert_eq!(response.status, 400);
    assert!(connection.is_ended().await);
    assert_eq!(lab.recorded().len(), 1);
}

/// The legal floor is 500 requests a minute for an address, however they are spread: all at once, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_law_owes_an_address_is_admitted_in_one_burst() {
    let lab = lab_of("global = { requests = 1000, per = \"1s\" }", |config| config).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let http2 = std::sync::Arc::new(lab.http2().await);
        for _ in 0..99 {
            let http2 = http2.clone();
            asked.spawn(async move {
                let target = format!("https://localhost{OPEN}?lab=slow:200");
                let request = http::Request::get(target).body(()).unwrap();
                http2.exchange(request, bytes::Bytes::new()).await.unwrap().status.as_u16()
            });
        }
    }
    let answers = asked.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 495, "{answers:?}");
}

#[tokio::test]
async fn check_says_where_a_ceiling_refuses_what_a_quota_admits() {
    for (limits, is_told) in [
        ("", false),
        ("under_way = { per_address = 500, per_organisation = 500 }", false),
        ("under_way = { per_address = 499 }", true),
        ("under_way = { per_organisation = 33 }", true),
        ("under_way = { total = 400 }", true),
    ] {
        let lab = lab_of(limits, |config| config).await;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
            .args(["check", "-c"])
            .arg(lab.directory.path().join("config.toml"))
            .output()
            .unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("and its quota 500, which may come at once"), is_told, "{said}");
    }
}
