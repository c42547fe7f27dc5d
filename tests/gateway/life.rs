//! The life of the process: what it says, what it says it to, and what ends it.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use portaria::lab::client::Connector;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
/// As long as anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway whose logs nobody reads once it listens, and whose pipes are full.
struct Unread {
    child: Child,
    addresses: HashMap<String, SocketAddr>,
    _pipes: [BufReader<PipeReader>; 2],
}

impl Unread {
    fn start(config: &Path) -> Self {
        let ((log, log_end), (access_log, access_log_end)) = (pipe().unwrap(), pipe().unwrap());
        fill(&access_log_end);
        let child = Command::new(env!("CARGO_BIN_EXE_portaria"))
            .args(["run", "--config"])
            .arg(config)
            .stdout(access_log_end)
            .stderr(log_end.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(log);
        let mut addresses = HashMap::new();
        while !addresses.contains_key("admin") {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["fields"]["message"] == "listening" {
                let address = line["fields"]["address"].as_str().unwrap().parse().unwrap();
                addresses.insert(line["fields"]["listener"].as_str().unwrap().into(), address);
            }
        }
        fill(&log_end);
        Self { child, addresses, _pipes: [log, BufReader::new(access_log)] }
    }

    async fn end(&mut self) -> bool {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fills a pipe to its last byte, through a description of its own that does not wait.
fn fill(end: &PipeWriter) {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let mut pipe = OpenOptions::new().write(true).custom_flags(flags).open(path).unwrap();
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
}

/// Says what is no handshake, and waits until it is ended.
async fn mistake_for_http(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let lab = lab().await;
    let mut gateway = Unread::start(&lab.directory.path().join("config.toml"));
    let mtls = gateway.addresses["mtls"];
    let mistakes = async {
        for _ in 0..300 {
            mistake_for_http(mtls).await;
        }
    };
    tokio::time::timeout(PATIENCE, mistakes).await.expect("it answers strangers");
    let connector = Connector::new(mtls, lab.pki.root.certificate(), Some(&lab.pki.one)).unwrap();
    let request = Request::get(OPEN).to_bytes();
    let exchange = async { connector.http1().await.unwrap().exchange(&request).await.unwrap() };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.expect("it serves participants");
    assert_eq!(answer.status, 200);
    let pid = gateway.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = tokio::time::timeout(PATIENCE, gateway.end()).await;
    assert!(ended.expect("SIGTERM ends it"));
}

/// What strangers can cause has a bound, and what is beyond it is counted.
#[tokio::test]
async fn lines_of_a_kind_are_drawn_together() {
    let lab = lab().await;
    let strangers = 400;
    let mtls = lab.gateway.address("mtls");
    let all: Vec<_> = (0..strangers).map(|_| tokio::spawn(mistake_for_http(mtls))).collect();
    for stranger in all {
        stranger.await.unwrap();
    }
    let failed = |line: &Value| line["fields"]["message"] == "handshake failed";
    let more = |line: &Value| {
        let is_more = line["fields"]["message"].as_str()?.ends_with("more: handshake failed");
        is_more.then(|| line["fields"]["more"].as_u64().unwrap())
    };
    eventually("all are counted", || async {
        let log = lab.gateway.log();
        let lines = log.iter().filter(|line| failed(line)).count() as u64;
        lines + log.iter().filter_map(more).sum::<u64>() == strangers
    })
    .await;
    let log = lab.gateway.log();
    assert!(log.iter().any(|line| more(line).is_some()), "{log:?}");
}

/// An upstream has roots of its own, or no TLS: nothing of the machine's is read.
#[tokio::test]
async fn the_roots_of_the_machine_are_not_read() {
    let lab = lab().await;
    let config = lab.directory.path().join("config.toml");
    let gateway = Gateway::spawn_in(&config, ("SSL_CERT_FILE", "/nowhere/roots.pem"));
    let gateway = gateway.listening().await;
    let mtls = gateway.address("mtls");
    let connector = Connector::new(mtls, lab.pki.root.certificate(), Some(&lab.pki.one)).unwrap();
    let request = Request::get(OPEN).to_bytes();
    let answer = connector.http1().await.unwrap().exchange(&request).await.unwrap();
    assert_eq!(answer.status, 200);
}

/// The version, the admin endpoint, the metrics and the log name one commit.
#[tokio::test]
async fn what_was_built_is_named_everywhere() {
    let lab = lab().await;
    let said = |argument: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_portaria")).arg(argument).output().unwrap().stdout;
        String::from_utf8(output).unwrap()
    };
    assert_eq!(said("--version"), said("version"));
    let (_, version) = lab.gateway.admin("/version").await;
    let version: Value = serde_json::from_str(&version).unwrap();
    let (commit, date) =
        (version["commit"].as_str().unwrap(), version["commit_date"].as_str().unwrap());
    let number = env!("CARGO_PKG_VERSION");
    assert_eq!(said("version"), format!("portaria {number} ({commit}, {date})\n"));
    let is_commit = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!((is_commit && date.len() == 10) || commit == "unknown", "{version}");
    let labels = format!("commit=\"{commit}\",commit_date=\"{date}\",version=\"{number}\"");
    lab.expect_metric(&format!("portaria_build_info{{{labels}}}"), 1.0).await;
    let log = lab.gateway.log();
    let start = log.iter().find(|line| line["fields"]["message"] == "portaria starts").unwrap();
    assert_eq!(start["fields"]["commit"], commit);
    assert_eq!(start["fields"]["listeners"], 2);
    assert!(start["fields"]["routes"].as_u64() > Some(100), "{start}");
}

#[tokio::test]
async fn a_reload_changes_the_level_of_the_log() {
    let lab = lab().await;
    lab.send(&Request::get(OPEN)).await;
    assert!(!lab.gateway.log_contains("handshake done"));
    for (level, says) in [("debug", true), ("warn", false)] {
        lab.rewrite_config(|config| format!("{config}\n[log]\nlevel = \"{level}\"\n"));
        lab.gateway.signal("HUP");
        let reloads = f64::from(if says { 1 } else { 2 });
        lab.expect_metric("portaria_reloads_total{result=\"ok\"}", reloads).await;
        let before = lab.gateway.log().len();
        lab.send(&Request::get(OPEN)).await;
        if says {
            lab.gateway.expect_log("handshake done").await;
        } else {
            mistake_for_http(lab.gateway.address("mtls")).await;
            // Over its limit it would be said.
            let lines = lab.gateway.log().split_off(before);
            assert!(!lines.iter().any(|line| line["level"] == "DEBUG"), "{lines:?}");
            assert!(!lab.gateway.log_contains("handshake failed"));
        }
    }
}

#[tokio::test]
async fn a_look_whether_anybody_is_there_is_no_failed_handshake() {
    let lab = lab().await;
    let mtls = lab.gateway.address("mtls");
    let result =
        |result| format!("portaria_handshakes_total{{listener=\"mtls\",result=\"{result}\"}}");
    drop(TcpStream::connect(mtls).await.unwrap());
    let mut polite = TcpStream::connect(mtls).await.unwrap();
    polite.shutdown().await.unwrap();
    lab.expect_metric(&result("no_byte"), 2.0).await;
    assert_eq!(lab.metric(&result("failed")).await, 0.0);
    assert!(!lab.gateway.log_contains("handshake failed"));
    mistake_for_http(mtls).await;
    lab.expect_metric(&result("failed"), 1.0).await;
    lab.gateway.expect_log("handshake failed").await;
    let log = lab.gateway.log();
    let failed = log.iter().find(|line| line["fields"]["message"] == "handshake failed").unwrap();
    assert_eq!(failed["fields"]["client.address"], "127.0.0.1");
}

#[tokio::test]
async fn used_up_descriptors_are_said() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let lab = lab().await;
    let pid = i32::try_from(lab.gateway.pid()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let few = Rlimit { current: Some(open + 3), maximum: Some(open + 3) };
    prlimit(Pid::from_raw(pid), Resource::Nofile, few).unwrap();
    let mtls = lab.gateway.address("mtls");
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(TcpStream::connect(mtls).await.unwrap());
    }
    lab.gateway.expect_log("Too many open files").await;
}

/// What was asked for is known although its body is none: it is logged, and counted for its route.
#[tokio::test]
async fn a_fault_on_the_wire_is_logged_as_what_was_received() {
    let lab = lab().await;
    let consents = "/open-insurance/consents/v3/consents";
    let chunked = format!(
        "POST {consents} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nZ\r\n"
    );
    let answer = lab.http1().await.exchange(chunked.as_bytes()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.field("x-v")), (400, Some("3.0.0")));
    let line = format!("DELETE {consents}/x HTTP/1.1\r\nhost: localhost\r\na b: c\r\n\r\n");
    assert_eq!(lab.http1().await.exchange(line.as_bytes()).await.unwrap().status, 400);
    assert_eq!(lab.http1().await.exchange(b"G\xffT / HTTP/1.1\r\n\r\n").await.unwrap().status, 400);
    eventually("three lines", || async { lab.gateway.access_log().len() == 3 }).await;
    let lines = lab.gateway.access_log();
    let told = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        (text("http.request.method"), text("http.route"), text("portaria.class"))
    };
    let of_consents = |method: &str, route: String| (method.to_owned(), route, "medium".to_owned());
    assert_eq!(told(&lines[0]), of_consents("POST", consents.into()));
    assert_eq!(told(&lines[1]), of_consents("DELETE", format!("{consents}/{{consentId}}")));
    assert_eq!(told(&lines[2]), ("_OTHER".into(), "-".into(), "-".into()));
    assert_eq!(lines[0]["portaria.refusal.code"], "request_chunk");
    lab.assert_untouched();
}

/// What costs a stranger a few bytes does not cost a line each time.
#[tokio::test]
async fn refusals_of_one_address_are_drawn_together() {
    let quota = "\n[limits]\nglobal = { requests = 100000, per = \"1s\" }\n\
                 per_address = { requests = 100000, per = \"1s\" }\n";
    let mut lab = lab_with(|config| config + quota).await;
    let mut connection = lab.http1().await;
    for _ in 0..500 {
        let answer = connection.exchange(&Request::get("/nowhere").to_bytes()).await.unwrap();
        assert_eq!(answer.status, 404);
    }
    // An exchange with a backend has its line whatever else there is.
    assert_eq!(connection.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    lab.gateway.signal("TERM");
    assert!(tokio::time::timeout(PATIENCE, lab.gateway.end()).await.unwrap().success());
    let is_whole =
        || async { lab.gateway.access_log().iter().any(|line| line["event"] == "refusals") };
    eventually("the rest is told", is_whole).await;
    let lines = lab.gateway.access_log();
    let (exchanges, drawn): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["event"] == "exchange");
    let count: u64 = drawn.iter().map(|line| line["portaria.count"].as_u64().unwrap()).sum();
    assert_eq!(exchanges.len() as u64 + count, 501);
    assert!(count > 0 && exchanges.iter().any(|line| line["http.response.status_code"] == 200));
    assert_eq!(drawn[0]["client.address"], "127.0.0.1");
    assert!(drawn[0]["portaria.refusals"]["route_not_found"].as_u64() > Some(0));
}

/// Text of others is printed as what it is: certificates, logs, and files of the operator's that somebody else made.
#[tokio::test]
async fn nothing_that_is_printed_moves_a_terminal() {
    let bad = "a\u{1b}[2J\u{202e}\u{9b}\u{2066}\u{200f}\nFORGED";
    let directory = private_directory();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let subject = portaria::lab::pki::ClientSubject::default();
    let client = pki().issuing.client_with(&pki().client_key, &subject, |certificate| {
        certificate.distinguished_name.push(rcgen::DnType::CommonName, bad);
        certificate.distinguished_name.push(rcgen::DnType::LocalityName, bad);
    });
    write("client.pem", &client.unwrap().chain_pem);
    let line = serde_json::json!({
        "event": "exchange", "http.request.method": bad, "http.route": bad,
        "portaria.refusal.code": "scope_insufficient", "portaria.outcome": "refused",
        "timestamp": "2026-11-22T12:00:00.000Z", "portaria.interaction_id": bad,
    });
    write("access.log", &format!("{line}\n"));
    write("policy.toml", crate::config::POLICY);
    write("config.toml", "\"a\\u001b\\u202e\\nFORGED\" = 1\n[\"\\u009b\"]\n");
    let replay =
        ["policy", "replay", "access.log", "--policies", "policy.toml", "--before", "policy.toml"];
    let with_json = [&replay[..], &["--json"]].concat();
    let commands: [&[&str]; 5] = [
        &["cert", "show", "client.pem"],
        &["cert", "show", "client.pem", "--json"],
        &replay,
        &with_json,
        &["check", "-c", "config.toml"],
    ];
    for arguments in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
            .current_dir(directory.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let is_hidden =
            |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}".contains(c));
        assert!(!text.contains(is_hidden), "{arguments:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{text:?}");
        assert!(text.to_lowercase().contains("202e"), "{arguments:?}: {text:?}");
    }
}
