//! One process takes another's place: nothing ends before something else serves, and nobody else's sockets
//! are served.

use std::fs::Permissions;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use portaria::lab::client::Connector;

use rustix::cmsg_space;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::*;

const OPEN: &str = "/open-insurance/channels/v2/branches";
const PATIENCE: Duration = Duration::from_secs(30);

/// A lab whose gateway has addresses that another process can name.
async fn lab_to_upgrade() -> Lab {
    lab_to_upgrade_with("").await
}

async fn lab_to_upgrade_with(more: &str) -> Lab {
    lab_with(|mut config| {
        while let Some(place) = config.find("127.0.0.1:0\"") {
            config.replace_range(place..place + 11, &free_address().to_string());
        }
        config + more
    })
    .await
}

fn config(lab: &Lab) -> PathBuf {
    lab.directory.path().join("config.toml")
}

fn socket(lab: &Lab) -> PathBuf {
    lab.directory.path().join("upgrade.sock")
}

async fn assert_serves(lab: &Lab) {
    assert_eq!(lab.send(&Request::get(OPEN)).await.status, 200);
}

/// A process by its number, ended at the end of the test.
struct Process(String);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0]).status();
    }
}

fn run_upgrade(lab: &Lab) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portaria"));
    command.args(["upgrade", "-c"]).arg(config(lab)).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn nothing_ends_until_somebody_took_the_sockets() {
    let mut lab = lab_to_upgrade().await;
    lab.gateway.signal("QUIT");
    lab.gateway.expect_log("sockets not handed over: nobody waits there").await;
    assert_serves(&lab).await;
    let mut kept = lab.http1().await;
    assert_eq!(kept.exchange(&Request::get(OPEN).to_bytes()).await.unwrap().status, 200);
    let new = Gateway::spawn_after(&config(&lab)).listening().await;
    lab.gateway.expect_log(&format!("process {} serves", new.pid())).await;
    let ended = tokio::time::timeout(PATIENCE, lab.gateway.end()).await;
    assert!(ended.expect("the old one ends").success());
    assert_eq!(new.address("mtls"), lab.gateway.address("mtls"));
    assert_serves(&lab).await;
    eventually("one line", || async { new.access_log().len() == 1 }).await;
}

/// Five upgrades and ten reloads while three clients ask without a pause: one on a connection for each request, one on
/// a connection that is kept, one over HTTP/2. Whoever loses a connection that is kept before anything of an answer
/// came asks once more, as any client does (RFC 9110 section 9.2.2); the backend has each request once.
#[tokio::test]
async fn upgrades_and_reloads_under_load_lose_no_request() {
    let mut lab = lab_to_upgrade_with(
        "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
         per_address = { requests = 1000000, per = \"1s\" }\n",
    )
    .await;
    let connector = lab.connector(Some(&lab.pki.one));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    clients.spawn(ask_anew(connector.clone(), stop.clone()));
    clients.spawn(ask_on_one(connector.clone(), stop.clone()));
    clients.spawn(ask_over_http2(connector, stop.clone()));
    for _ in 0..5 {
        for reloads in 1..=2 {
            lab.gateway.signal("HUP");
            let gateway = &lab.gateway;
            let reloaded = || async move {
                let log = gateway.log();
                let said = |line: &&Value| line["fields"]["message"] == "configuration reloaded";
                log.iter().filter(said).count() == reloads
            };
            eventually("configuration reloaded", reloaded).await;
        }
        lab.gateway.signal("QUIT");
        let new = Gateway::spawn_after(&config(&lab)).listening().await;
        let mut old = std::mem::replace(&mut lab.gateway, new);
        assert!(tokio::time::timeout(PATIENCE, old.end()).await.expect("it ends").success());
    }
    stop.store(true, Ordering::Relaxed);
    let served: usize = clients.join_all().await.into_iter().sum();
    assert!(served > 30, "{served}");
    assert_eq!(lab.recorded().len(), served);
}

async fn ask_anew(connector: Connector, stop: Arc<AtomicBool>) -> usize {
    let (request, mut served) = (Request::get(OPEN).to_bytes(), 0);
    while !stop.load(Ordering::Relaxed) {
        let answer = connector.http1().await.unwrap().exchange(&request).await;
        assert_eq!(answer.unwrap().status, 200);
        served += 1;
    }
    served
}

async fn ask_on_one(connector: Connector, stop: Arc<AtomicBool>) -> usize {
    let (request, mut served) = (Request::get(OPEN).to_bytes(), 0);
    let mut connection = connector.http1().await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let answer = match connection.exchange(&request).await {
            Ok(answer) => answer,
            Err(_) => {
                connection = connector.http1().await.unwrap();
                connection.exchange(&request).await.unwrap()
            }
        };
        assert_eq!(answer.status, 200);
        if answer.field("connection") == Some("close") {
            connection = connector.http1().await.unwrap();
        }
        served += 1;
    }
    served
}

async fn ask_over_http2(connector: Connector, stop: Arc<AtomicBool>) -> usize {
    let request = || http::Request::get(format!("https://localhost{OPEN}")).body(()).unwrap();
    let mut served = 0;
    let mut connection = connector.http2().await.unwrap();
    while !stop.load(Ordering::Relaxed) {
        let answer = match connection.exchange(request(), Bytes::new()).await {
            Ok(answer) => answer,
            Err(_) => {
                connection = connector.http2().await.unwrap();
                connection.exchange(request(), Bytes::new()).await.unwrap()
            }
        };
        assert_eq!(answer.status, 200);
        served += 1;
    }
    served
}

#[tokio::test]
async fn one_command_upgrades_and_waits_until_the_new_one_serves() {
    let mut lab = lab_to_upgrade().await;
    let before = lab.gateway.pid();
    let output = run_upgrade(&lab);
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    let now = said.strip_prefix("process ").unwrap().split(' ').next().unwrap();
    let _now = Process(now.to_owned());
    assert_eq!(
        said,
        format!("process {now} serves, process {before} finishes what it has begun\n")
    );
    assert!(tokio::time::timeout(PATIENCE, lab.gateway.end()).await.unwrap().success());
    assert_serves(&lab).await;
    // The logs go on where they were.
    lab.gateway.expect_log(&format!("sockets taken from process {before}")).await;
    eventually("one line", || async { lab.gateway.access_log().len() == 1 }).await;
}

#[tokio::test]
async fn a_new_process_that_cannot_serve_leaves_the_old_one_in_its_place() {
    let lab = lab_to_upgrade().await;
    lab.rewrite_config(|config| config.swap("threads = 1", "thraeds = 1"));
    let output = run_upgrade(&lab);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(text(&output.stderr).contains("server.thraeds: is an unknown key"), "{output:?}");
    assert_serves(&lab).await;
    // Without keys it could decide nothing.
    lab.rewrite_config(|config| {
        config.swap("file = \"jwks.json\"", "url = \"http://127.0.0.1:1/jwks\"")
    });
    let output = run_upgrade(&lab);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = format!("the log says why: process {} goes on serving\n", lab.gateway.pid());
    assert!(text(&output.stderr).ends_with(&expected), "{output:?}");
    lab.gateway.expect_log("not ready to take over, without token.issuers").await;
    assert_serves(&lab).await;
}

#[tokio::test]
async fn a_new_process_that_dies_with_the_sockets_leaves_the_old_one_in_its_place() {
    let lab = lab_to_upgrade().await;
    let waiting = UnixListener::bind(socket(&lab)).unwrap();
    lab.gateway.signal("QUIT");
    let (mut stream, _) = waiting.accept().unwrap();
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"portaria");
    drop((stream, waiting));
    lab.gateway.expect_log("took the sockets and ended before it served").await;
    assert_serves(&lab).await;
}

#[tokio::test]
async fn a_new_process_that_never_serves_keeps_nobody_from_ending_the_old_one() {
    for signal in ["TERM", "INT"] {
        let mut lab = lab_to_upgrade().await;
        let waiting = UnixListener::bind(socket(&lab)).unwrap();
        lab.gateway.signal("QUIT");
        let (mut stream, _) = waiting.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        assert_serves(&lab).await;
        lab.gateway.signal(signal);
        let ended = tokio::time::timeout(PATIENCE, lab.gateway.end()).await;
        assert!(ended.expect("it ends").success(), "{signal}");
    }
}

#[tokio::test]
async fn without_a_gateway_there_is_nothing_to_upgrade() {
    let mut lab = lab_to_upgrade().await;
    lab.gateway.kill();
    let output = run_upgrade(&lab);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).starts_with("no gateway serves"), "{output:?}");
    let mut new = Gateway::spawn_after(&config(&lab));
    new.expect_log("waiting for the sockets of the process that serves").await;
    assert_eq!(tokio::time::timeout(PATIENCE, new.end()).await.unwrap().code(), Some(1));
    let path = socket(&lab);
    let expected = format!("no sockets were handed over at {}: nobody handed", path.display());
    new.expect_log(&expected).await;
}

/// Hands sockets over as a gateway would.
fn give(lab: &Lab, sockets: &[BorrowedFd<'_>], greeting: &[u8]) -> UnixStream {
    let stream = UnixStream::connect(socket(lab)).unwrap();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(sockets)));
    sendmsg(&stream, &[IoSlice::new(greeting)], &mut control, SendFlags::empty()).unwrap();
    stream
}

/// Whether anybody accepts connections at an address.
async fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn only_sockets_that_a_listener_names_are_served() {
    let mut lab = lab_to_upgrade().await;
    let mtls = lab.gateway.address("mtls");
    lab.gateway.kill();
    let new = Gateway::spawn_after(&config(&lab));
    eventually("it waits", || async { socket(&lab).exists() }).await;
    // What is no handover is refused, and waited for again.
    let (other, wanted) = (TcpListener::bind(LOOPBACK).unwrap(), TcpListener::bind(mtls).unwrap());
    let foreign = give(&lab, &[other.as_fd()], b"something else");
    new.expect_log("a connection was refused: what was received is no gateway's handover").await;
    drop(foreign);
    let datagrams = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let file = std::fs::File::open(config(&lab)).unwrap();
    let all = [other.as_fd(), datagrams.as_fd(), wanted.as_fd(), file.as_fd(), wanted.as_fd()];
    let mut stream = give(&lab, &all, b"portaria sockets 1\n");
    let new = new.listening().await;
    let mut word = [0];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"S", "it serves");
    let address = other.local_addr().unwrap();
    assert!(is_open(address).await, "the test has it still");
    drop((other, wanted));
    // A process that another test starts has everything for a moment, until it becomes another program.
    eventually("nobody else has it", || async { !is_open(address).await }).await;
    assert_serves(&lab).await;
    let closed = |text: &str| new.log().iter().filter(|l| l.to_string().contains(text)).count();
    assert_eq!(closed("no listener has the address of a socket"), 2, "{:?}", new.log());
    assert_eq!(closed("is no listening TCP socket: closed"), 2, "{:?}", new.log());
}

/// It gave up waiting, and serves on: what is told of who serves must not name a process that ends.
#[tokio::test]
async fn a_new_process_that_nobody_waits_for_any_more_leaves_the_old_ones_name_in_its_place() {
    let lab = lab_to_upgrade().await;
    // The sockets of the old one are not given, so the new one has its own.
    lab.rewrite_config(|config| {
        ["mtls", "public", "admin"].iter().fold(config, |config, listener| {
            let old = lab.gateway.address(listener).to_string();
            config.swap(&old, &free_address().to_string())
        })
    });
    let mut new = Gateway::spawn_after(&config(&lab));
    eventually("it waits", || async { socket(&lab).exists() }).await;
    let other = TcpListener::bind(LOOPBACK).unwrap();
    drop(give(&lab, &[other.as_fd()], b"portaria sockets 1\n"));
    assert_eq!(tokio::time::timeout(PATIENCE, new.end()).await.unwrap().code(), Some(1));
    new.expect_log("it goes on, this one ends").await;
    let named = std::fs::read_to_string(socket(&lab).with_extension("pid")).unwrap();
    assert_eq!(named, lab.gateway.pid().to_string());
    assert_serves(&lab).await;
}

#[tokio::test]
async fn a_place_that_is_open_to_others_is_none() {
    let lab = lab_to_upgrade().await;
    let directory = lab.directory.path().join("open");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let open = |config: String| config.swap("\"upgrade.sock\"", "\"open/upgrade.sock\"");
    let missing = |config: String| config.swap("\"upgrade.sock\"", "\"gone/upgrade.sock\"");
    let nowhere = |config: String| config.swap("upgrade_socket = \"upgrade.sock\"\n", "");
    let cases: [(&dyn Fn(String) -> String, &str); 2] =
        [(&open, "is open to others (mode 755,"), (&missing, "cannot be read (No such file")];
    for (change, expected) in cases {
        lab.rewrite_config(change);
        let check = Command::new(env!("CARGO_BIN_EXE_portaria"))
            .args(["check", "-c"])
            .arg(config(&lab))
            .output()
            .unwrap();
        let said = text(&check.stderr);
        assert!(said.contains(" server.upgrade_socket: warning: no upgrade is possible"), "{said}");
        assert!(check.status.success() && said.contains(expected), "{said}");
        let mut new = Gateway::spawn_after(&config(&lab));
        assert_eq!(tokio::time::timeout(PATIENCE, new.end()).await.unwrap().code(), Some(1));
        new.expect_log(expected).await;
        new.expect_log("no sockets were handed over at").await;
    }
    // The default is looked at as well, wherever it leads here.
    lab.rewrite_config(nowhere);
    let mut new = Gateway::spawn_after(&config(&lab));
    assert_eq!(tokio::time::timeout(PATIENCE, new.end()).await.unwrap().code(), Some(1));
    new.expect_log("no sockets were handed over at /run/portaria/upgrade.sock").await;
    assert_serves(&lab).await;
}

#[tokio::test]
async fn signals_that_mean_nothing_end_nothing() {
    let lab = lab().await;
    for signal in ["USR1", "USR2"] {
        lab.gateway.signal(signal);
        lab.gateway.expect_log(&format!("SIG{signal} means nothing to portaria")).await;
    }
    assert_serves(&lab).await;
}
