//! The client's address: what load balancers say of it, and who is not believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use portaria::lab::client::Connector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::reload::reload;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const LISTENER: &str = "client_auth = \"required\"";

/// Two addresses of this machine: a balancer's, and anybody's.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const CLIENT: &str = "198.51.100.7";

/// A change of the configuration: keys of the mTLS listener.
fn with(keys: &str) -> impl FnOnce(String) -> String {
    let keys = format!("{LISTENER}\n{keys}\n");
    move |config| config.swap(LISTENER, &keys)
}

/// Connections from [`NEAR`] begin with a header.
fn behind_balancer() -> impl FnOnce(String) -> String {
    with("proxy_protocol = { from = [\"192.0.2.0/24\", \"127.0.0.1\"] }")
}

/// A header of version 1.
fn line(source: &str) -> Vec<u8> {
    match source.parse().unwrap() {
        IpAddr::V4(source) => format!("PROXY TCP4 {source} 127.0.0.1 4711 8443\r\n").into(),
        IpAddr::V6(source) => format!("PROXY TCP6 {source} ::1 4711 8443\r\n").into(),
    }
}

/// A header of version 2.
fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, block].concat()
}

/// A header of version 2 for TCP.
fn binary(source: &str) -> Vec<u8> {
    match source.parse().unwrap() {
        IpAddr::V4(source) => {
            block(0x21, 0x11, &[&source.octets()[..], &[127, 0, 0, 1, 0x12, 0x67, 0, 80]].concat())
        }
        IpAddr::V6(source) => {
            let ends = [source.octets(), Ipv6Addr::LOCALHOST.octets()].concat();
            block(0x21, 0x21, &[&ends[..], &[0x12, 0x67, 0, 80]].concat())
        }
    }
}

/// A balancer at [`NEAR`] in front of the mTLS listener.
async fn balancer(lab: &Lab, header: &[u8]) -> Balancer {
    Balancer::start(lab.gateway.address("mtls"), NEAR, header, Pace::Glued).await
}

fn through(lab: &Lab, balancer: &Balancer) -> Connector {
    Connector::new(balancer.address, lab.pki.root.certificate(), Some(&lab.pki.one)).unwrap()
}

/// The status of a request on a connection of its own; nothing if the connection is refused.
async fn status(connector: &Connector, request: &Request) -> Option<u16> {
    let exchange = async { connector.http1().await?.exchange(&request.to_bytes()).await };
    exchange.await.ok().map(|response| response.status.as_u16())
}

async fn status_over_http2(connector: &Connector) -> Option<u16> {
    let request = http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    let exchange = async { connector.http2().await?.exchange(request, Bytes::new()).await };
    exchange.await.ok().map(|response| response.status.as_u16())
}

fn handshakes(result: &str) -> String {
    format!("portaria_handshakes_total{{listener=\"mtls\",result=\"{result}\"}}")
}

/// The addresses of the access log, sorted, once it has so many lines.
async fn logged(lab: &Lab, lines: usize) -> Vec<String> {
    eventually("all lines are written", || async { lab.gateway.access_log().len() == lines }).await;
    let log = lab.gateway.access_log();
    let mut addresses: Vec<String> =
        log.iter().map(|line| line["client.address"].as_str().unwrap().into()).collect();
    addresses.sort();
    addresses
}

#[tokio::test]
async fn the_client_is_who_the_header_names() {
    let lab = lab_with(behind_balancer()).await;
    let mut expected = Vec::new();
    let (ipv6, mapped) = ("2001:db8::7", "::ffff:198.51.100.7");
    let additions = block(
        0x21,
        0x11,
        &[&[198, 51, 100, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80][..], &[4, 0, 200], &[7; 200]]
            .concat(),
    );
    for (header, client) in [
        (line(CLIENT), CLIENT),
        (line(ipv6), ipv6),
        (line(mapped), CLIENT),
        (binary(CLIENT), CLIENT),
        (binary(ipv6), ipv6),
        (binary(mapped), CLIENT),
        (additions, CLIENT),
    ] {
        for pace in [Pace::Glued, Pace::Bytewise] {
            let balancer = Balancer::start(lab.gateway.address("mtls"), NEAR, &header, pace).await;
            let connector = through(&lab, &balancer);
            let shown = header.escape_ascii();
            assert_eq!(
                status(&connector, &Request::get(OPEN)).await,
                Some(200),
                "{shown} {pace:?}"
            );
            assert_eq!(lab.last_recorded().field("x-forwarded-for"), Some(client), "{shown}");
            assert_eq!(status_over_http2(&connector).await, Some(200), "{shown} {pace:?}");
            assert_eq!(lab.last_recorded().field("x-forwarded-for"), Some(client), "{shown}");
            expected.extend([client, client]);
        }
    }
    expected.sort_unstable();
    assert_eq!(logged(&lab, expected.len()).await, expected);
}

#[tokio::test]
async fn a_header_that_names_nobody_leaves_the_balancers_address() {
    let lab = lab_with(behind_balancer()).await;
    let headers = [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 198.51.100.7 127.0.0.1 4711 8443\r\n".to_vec(),
        block(0x20, 0x00, &[]),
        block(0x20, 0x11, &[198, 51, 100, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80]),
        block(0x21, 0x00, &[1, 2, 3]),
        block(0x21, 0x31, &[b'/'; 216]),
    ];
    for header in &headers {
        let balancer = balancer(&lab, header).await;
        let shown = header.escape_ascii();
        let answer = status(&through(&lab, &balancer), &Request::get(OPEN)).await;
        assert_eq!(answer, Some(200), "{shown}");
        assert_eq!(lab.last_recorded().field("x-forwarded-for"), Some("127.0.0.1"), "{shown}");
    }
}

#[tokio::test]
async fn a_balancers_connection_without_a_valid_header_is_closed_before_its_handshake() {
    let lab = lab_with(behind_balancer()).await;
    let ipv4 = [198, 51, 100, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 80];
    // A whole handshake and a good request follow each.
    let faults: [(&str, Vec<u8>); 14] = [
        ("no header", Vec::new()),
        ("half a line", b"PROXY TCP4 198.51.100.7 127.".into()),
        ("a line that is too long", format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into()),
        ("another family's address", b"PROXY TCP4 2001:db8::7 ::1 4711 8443\r\n".into()),
        ("no family", b"PROXY TCP5 198.51.100.7 127.0.0.1 4711 8443\r\n".into()),
        ("a port out of bounds", b"PROXY TCP4 198.51.100.7 127.0.0.1 65536 8443\r\n".into()),
        ("no port", b"PROXY TCP4 198.51.100.7 127.0.0.1 4711\r\n".into()),
        ("a bare line feed", b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 8443\n".into()),
        ("a block that is too long", block(0x21, 0x11, &[&ipv4[..], &[0; 4096]].concat())),
        ("a block too short for its family", block(0x21, 0x21, &ipv4)),
        ("an unknown family", block(0x21, 0x41, &ipv4)),
        ("an unknown transport", block(0x21, 0x13, &ipv4)),
        ("another version", block(0x11, 0x11, &ipv4)),
        ("an unknown command", block(0x22, 0x11, &ipv4)),
    ];
    for (fault, header) in &faults {
        let balancer = balancer(&lab, header).await;
        let connector = through(&lab, &balancer);
        assert_eq!(status(&connector, &Request::get(OPEN)).await, None, "{fault}");
        assert_eq!(status_over_http2(&connector).await, None, "{fault}");
    }
    lab.expect_metric(&handshakes("proxy_header"), 28.0).await;
    assert_eq!(lab.metric(&handshakes("failed")).await, 0.0, "none came to its handshake");
    // Of these the header is good, and what follows it is no TLS.
    let lacking = block(0x21, 0x11, &[&ipv4[..], &[0; 8]].concat());
    for header in [[line(CLIENT), line(CLIENT)].concat(), lacking[..lacking.len() - 8].into()] {
        let balancer = balancer(&lab, &header).await;
        assert_eq!(status(&through(&lab, &balancer), &Request::get(OPEN)).await, None);
    }
    lab.expect_metric(&handshakes("failed"), 2.0).await;
    assert_eq!(lab.metric(&handshakes("ok")).await, 0.0);
    lab.gateway.expect_log("no PROXY protocol header").await;
    assert!(!lab.gateway.log_contains(CLIENT), "nothing of it is logged");
    lab.assert_untouched();
}

#[tokio::test]
async fn a_header_that_does_not_come_whole_is_cut() {
    let lab = lab_with(behind_balancer()).await;
    let gateway = lab.gateway.address("mtls");
    let parts = [&line(CLIENT)[..20], &binary(CLIENT)[..20], &binary(CLIENT)[..6], b"PROX", b""];
    for ends in [true, false] {
        for part in parts {
            let mut stream = connect_from(NEAR, gateway).await.unwrap();
            stream.write_all(part).await.unwrap();
            if ends {
                stream.shutdown().await.unwrap();
            }
            let mut rest = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
            assert!(read.await.is_ok(), "the connection was never cut");
            assert!(rest.is_empty(), "{rest:?}");
        }
    }
    lab.expect_metric(&handshakes("proxy_header"), 4.0).await;
    // Which is how a balancer looks whether anybody is there.
    lab.expect_metric(&handshakes("no_byte"), 1.0).await;
    lab.expect_metric(&handshakes("timeout"), 5.0).await;
    lab.assert_untouched();
}

#[tokio::test]
async fn a_header_from_elsewhere_is_no_tls() {
    for (lab, from) in [(lab_with(behind_balancer()).await, FAR), (lab().await, NEAR)] {
        let gateway = lab.gateway.address("mtls");
        for header in [line(CLIENT), binary(CLIENT), line("127.0.0.1"), block(0x20, 0, &[])] {
            let balancer = Balancer::start(gateway, from, &header, Pace::Glued).await;
            let answer = status(&through(&lab, &balancer), &Request::get(OPEN)).await;
            assert_eq!(answer, None, "{from}: {}", header.escape_ascii());
        }
        lab.expect_metric(&handshakes("failed"), 4.0).await;
        assert_eq!(lab.metric(&handshakes("proxy_header")).await, 0.0);
        lab.assert_untouched();
        // Without one the connection is anybody's.
        let plain = Balancer::start(gateway, from, b"", Pace::Glued).await;
        assert_eq!(status(&through(&lab, &plain), &Request::get(OPEN)).await, Some(200));
        assert_eq!(logged(&lab, 1).await, [from.to_string()]);
    }
}

#[tokio::test]
async fn each_address_that_is_told_has_a_quota_of_its_own() {
    let limits = "\n[limits]\nper_address = { requests = 2, per = \"1h\" }\n";
    let lab = lab_with(|config| behind_balancer()(config) + limits).await;
    let first = balancer(&lab, &line(CLIENT)).await;
    let same = balancer(&lab, &binary(&format!("::ffff:{CLIENT}"))).await;
    let other = balancer(&lab, &line("198.51.100.8")).await;
    let (first, same) = (through(&lab, &first), through(&lab, &same));
    assert_eq!(status(&first, &Request::get(OPEN)).await, Some(200));
    assert_eq!(status_over_http2(&same).await, Some(200));
    let over = first.http1().await.unwrap().exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
    assert_refused(&over, 429, "LIMITE_EXCEDIDO");
    assert_eq!(status_over_http2(&same).await, Some(429));
    assert_eq!(lab.recorded().len(), 2);
    assert_eq!(status(&through(&lab, &other), &Request::get(OPEN)).await, Some(200));
    assert_eq!(lab.recorded().len(), 3);
}

#[tokio::test]
async fn a_reload_changes_who_sends_headers_for_new_connections() {
    let lab = lab().await;
    let plain = lab.connector(Some(&lab.pki.one));
    let mut open = plain.http1().await.unwrap();
    let told = balancer(&lab, &line(CLIENT)).await;
    let told = through(&lab, &told);
    assert_eq!(status(&told, &Request::get(OPEN)).await, None);
    lab.rewrite_config(behind_balancer());
    reload(&lab, "configuration reloaded").await;
    let reached = lab.recorded().len();
    assert_eq!(status(&plain, &Request::get(OPEN)).await, None);
    assert_eq!(lab.recorded().len(), reached);
    assert_eq!(status(&told, &Request::get(OPEN)).await, Some(200));
    assert_eq!(lab.last_recorded().field("x-forwarded-for"), Some(CLIENT));
    let answer = open.exchange(&Request::get(OPEN).to_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "a connection that is open stays as it is");
    assert_eq!(lab.last_recorded().field("x-forwarded-for"), Some("127.0.0.1"));
    // A mistake changes nothing.
    lab.rewrite_config(with("proxy_protocol = { from = [\"127.0.0.1/8\"] }"));
    reload(&lab, "the one in force stays").await;
    assert_eq!(status(&plain, &Request::get(OPEN)).await, None);
    assert_eq!(status(&told, &Request::get(OPEN)).await, Some(200));
    lab.rewrite_config(|config| config);
    reload(&lab, "configuration reloaded").await;
    assert_eq!(status(&plain, &Request::get(OPEN)).await, Some(200));
}

/// From whom nothing is believed, and who is a hop.
const HOPS: &str = "forwarded_for = { from = [\"127.0.0.1\", \"10.0.0.0/8\"] }";

/// An open request with these lines of X-Forwarded-For.
fn forwarded(lines: &[&str]) -> Request {
    lines.iter().fold(Request::get(OPEN), |request, line| request.with("X-Forwarded-For", line))
}

/// What the backend was told of the last request, which must be one address.
fn told(lab: &Lab) -> String {
    let fields = lab.last_recorded().fields;
    let mut told =
        fields.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
    let (_, address) = told.next().unwrap();
    assert_eq!(told.next(), None);
    address
}

#[tokio::test]
async fn the_client_is_the_right_most_hop_that_is_not_trusted() {
    let lab = lab_with(with(HOPS)).await;
    let trails: [(&[&str], &str); 9] = [
        (&[], "127.0.0.1"),
        (&[CLIENT], CLIENT),
        (&["203.0.113.9, 198.51.100.7"], CLIENT),
        (&["203.0.113.9", "198.51.100.7:4711, 10.0.0.2", "10.0.0.3"], CLIENT),
        (&["[2001:db8::7]:443, 10.0.0.2"], "2001:db8::7"),
        (&["::ffff:198.51.100.7"], CLIENT),
        (&["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["198.51.100.7, unknown"], "127.0.0.1"),
        (&["10.0.0.4, 10.0.0.2"], "10.0.0.4"),
    ];
    let (mut http1, http2) = (lab.http1().await, lab.http2().await);
    let mut expected = Vec::new();
    for (lines, client) in trails {
        let answer = http1.exchange(&forwarded(lines).to_bytes()).await.unwrap();
        assert_eq!((answer.status.as_u16(), told(&lab).as_str()), (200, client), "{lines:?}");
        let request = http::Request::get(format!("https://localhost{OPEN}"));
        let request = lines.iter().fold(request, |r, line| r.header("x-forwarded-for", *line));
        let answer = http2.exchange(request.body(()).unwrap(), Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), told(&lab).as_str()), (200, client), "{lines:?}");
        expected.extend([client, client]);
    }
    expected.sort_unstable();
    assert_eq!(logged(&lab, expected.len()).await, expected);
}

#[tokio::test]
async fn look_alikes_of_the_field_say_nothing() {
    let lab = lab_with(with(HOPS)).await;
    for name in ["Forwarded", "X-Real-IP", "X_Forwarded_For", "X-Forwarded", "True-Client-IP"] {
        let request = Request::get(OPEN).with(name, CLIENT).with(name, "for=198.51.100.7");
        assert_eq!(lab.send(&request).await.status, 200);
        assert_eq!(told(&lab), "127.0.0.1", "{name}");
        let head = lab.last_recorded().head;
        assert!(!String::from_utf8_lossy(&head).contains(CLIENT), "{name}");
    }
}

#[tokio::test]
async fn a_whole_head_that_is_refused_counts_for_its_client() {
    let lab = lab_with(with(HOPS)).await;
    let request = Request::get(OPEN).with("Content_Length", "5").with("X-Forwarded-For", CLIENT);
    let answer = lab.http1().await.exchange(&request.to_bytes()).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(logged(&lab, 1).await, [CLIENT]);
    lab.assert_untouched();
}

#[tokio::test]
async fn a_request_that_is_malformed_counts_for_its_connection() {
    let lab = lab_with(with(HOPS)).await;
    let malformed = format!("GET /\x01 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {CLIENT}\r\n\r\n");
    let answer = lab.http1().await.exchange(malformed.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(logged(&lab, 1).await, ["127.0.0.1"]);
    lab.assert_untouched();
}

#[tokio::test]
async fn who_is_no_hop_changes_nothing_by_what_it_claims() {
    let limits = "\n[limits]\nper_address = { requests = 3, per = \"1h\" }\n";
    let elsewhere = "forwarded_for = { from = [\"10.0.0.0/8\", \"198.51.100.0/24\"] }";
    for keys in ["", elsewhere] {
        let lab = lab_with(|config| with(keys)(config) + limits).await;
        for claim in [CLIENT, "10.0.0.1", "127.0.0.2, 10.0.0.1"] {
            assert_eq!(lab.send(&forwarded(&[claim])).await.status, 200, "{keys}");
            assert_eq!(told(&lab), "127.0.0.1", "{keys}");
        }
        let over = lab.send(&forwarded(&["203.0.113.9"])).await;
        assert_refused(&over, 429, "LIMITE_EXCEDIDO");
        assert_eq!(lab.recorded().len(), 3);
        assert_eq!(logged(&lab, 4).await, ["127.0.0.1"; 4]);
    }
}

#[tokio::test]
async fn each_client_behind_a_hop_has_a_quota_of_its_own() {
    let limits = "\n[limits]\nper_address = { requests = 2, per = \"1h\" }\n";
    let lab = lab_with(|config| with(HOPS)(config) + limits).await;
    let mut connection = lab.http1().await;
    for (claim, status) in [
        ("198.51.100.7", 200),
        ("203.0.113.1, 198.51.100.7", 200),
        ("203.0.113.2, 198.51.100.7, 10.0.0.2", 429),
        ("198.51.100.8", 200),
        ("198.51.100.7, 198.51.100.8", 200),
        ("198.51.100.9, 198.51.100.8", 429),
    ] {
        let answer = connection.exchange(&forwarded(&[claim]).to_bytes()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{claim}");
    }
    assert_eq!(lab.recorded().len(), 4);
}

/// A request that is refused for its form is its sender's, whatever stands before what the hop has added.
#[tokio::test]
async fn what_nobody_could_read_is_charged_to_who_sent_it() {
    let limits = "\n[limits]\nper_address = { requests = 2, per = \"1h\" }\n";
    let lab = lab_with(|config| with(HOPS)(config) + limits).await;
    let lines: [&[&str]; 4] = [
        &["a_b, 198.51.100.7"],
        &["203.0.113.1", "\"x\", 198.51.100.7"],
        // The third of one client.
        &["(, 198.51.100.7"],
        &["203.0.113.1", "198.51.100.8"],
    ];
    for (lines, status) in lines.into_iter().zip([400, 400, 429, 400]) {
        let request =
            lines.iter().fold(Request::get(OPEN), |r, line| r.with("X-Forwarded-For", line));
        let bytes = request.with("Host", "localhost").with("Host", "localhost").to_bytes();
        let answer = lab.http1().await.exchange(&bytes).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{lines:?}");
    }
    lab.assert_untouched();
}

#[tokio::test]
async fn a_hop_may_be_who_a_header_names() {
    let keys = "proxy_protocol = { from = [\"127.0.0.1\"] }\n\
                forwarded_for = { from = [\"10.0.0.0/8\"] }";
    let lab = lab_with(with(keys)).await;
    for (source, expected) in
        [("10.0.0.9", CLIENT), ("::ffff:10.0.0.9", CLIENT), ("192.0.2.1", "192.0.2.1")]
    {
        let balancer = balancer(&lab, &binary(source)).await;
        let request = forwarded(&["203.0.113.9, 198.51.100.7", "10.0.0.3"]);
        assert_eq!(status(&through(&lab, &balancer), &request).await, Some(200));
        assert_eq!(told(&lab), expected, "{source}");
    }
}

#[tokio::test]
async fn hops_are_a_listeners_own() {
    let lab = lab_with(with(HOPS)).await;
    let public = lab.connector_to("public", None);
    assert_eq!(status(&public, &forwarded(&[CLIENT])).await, Some(200));
    assert_eq!(told(&lab), "127.0.0.1");
    let public = |config: String| {
        config.swap("client_auth = \"none\"", &format!("client_auth = \"none\"\n{HOPS}"))
    };
    let lab = lab_with(public).await;
    assert_eq!(status(&lab.connector_to("public", None), &forwarded(&[CLIENT])).await, Some(200));
    assert_eq!(told(&lab), CLIENT);
    assert_eq!(lab.send(&forwarded(&[CLIENT])).await.status, 200);
    assert_eq!(told(&lab), "127.0.0.1");
}

#[tokio::test]
async fn a_reload_changes_whose_word_counts_for_new_requests() {
    let lab = lab().await;
    let mut connection = lab.http1().await;
    let request = forwarded(&[CLIENT]).to_bytes();
    for (change, expected) in [("", "127.0.0.1"), (HOPS, CLIENT), ("", "127.0.0.1")] {
        lab.rewrite_config(with(change));
        reload(&lab, "configuration reloaded").await;
        assert_eq!(connection.exchange(&request).await.unwrap().status, 200);
        assert_eq!(told(&lab), expected, "{change}");
    }
}
