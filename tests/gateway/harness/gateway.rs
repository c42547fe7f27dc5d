//! The gateway's process.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::eventually;

type Lines = Arc<Mutex<Vec<Value>>>;

/// A gateway that ends when it is dropped.
pub struct Gateway {
    child: Child,
    log: Lines,
    access_log: Lines,
    addresses: HashMap<String, SocketAddr>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    /// Starts the binary and waits until it is ready.
    pub async fn start(config: &Path) -> Self {
        Self::spawn(config).listening().await
    }

    /// Waits until a binary that was started is ready.
    pub async fn listening(mut self) -> Self {
        let is_last = |line: &Value| line["fields"]["listener"] == "admin";
        let announced = || async { self.log.lock().unwrap().iter().any(is_last) };
        eventually("the gateway listens", announced).await;
        for line in self.log.lock().unwrap().iter() {
            let fields = &line["fields"];
            if fields["message"] == "listening" {
                let address = fields["address"].as_str().unwrap().parse().unwrap();
                self.addresses.insert(fields["listener"].as_str().unwrap().into(), address);
            }
        }
        self.await_ready().await;
        self
    }

    async fn await_ready(&self) {
        eventually("the gateway answers", || async {
            TcpStream::connect(self.address("admin")).await.is_ok()
                && self.admin("/healthz").await.0 == 200
        })
        .await;
    }

    /// Starts the binary.
    pub fn spawn(config: &Path) -> Self {
        Self::spawn_to(&["run"], config, None)
    }

    /// Starts the binary in the place of one that runs.
    pub fn spawn_after(config: &Path) -> Self {
        Self::spawn_to(&["run", "--upgrade"], config, None)
    }

    /// Starts the binary with a variable in its environment.
    pub fn spawn_in(config: &Path, variable: (&str, &str)) -> Self {
        Self::spawn_to(&["run"], config, Some(variable))
    }

    fn spawn_to(arguments: &[&str], config: &Path, variable: Option<(&str, &str)>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portaria"))
            .args(arguments)
            .arg("--config")
            .arg(config)
            .envs(variable)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = collect(child.stderr.take().unwrap());
        let access_log = collect(child.stdout.take().unwrap());
        Self { child, log, access_log, addresses: HashMap::new() }
    }

    /// Where a listener listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// Whether some line of the application log contains a text.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.to_string().contains(text))
    }

    /// Waits for a text in the application log, which is collected a moment after it is written.
    pub async fn expect_log(&self, text: &str) {
        super::eventually(text, || async { self.log_contains(text) }).await;
    }

    /// All lines of the application log.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// The lines of the access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        self.access_log.lock().unwrap().clone()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the process to end.
    pub async fn end(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// GET of the admin endpoint.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        self.ask_admin("GET", path).await
    }

    /// A request to the admin endpoint.
    pub async fn ask_admin(&self, method: &str, path: &str) -> (u16, String) {
        self.ask_admin_with(method, path, "host: localhost\r\nx-portaria-admin: test\r\n").await
    }

    /// A request to the admin endpoint, with fields of its own.
    pub async fn ask_admin_with(&self, method: &str, path: &str, fields: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address("admin")).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\n{fields}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        // The framework ends some connections without a word.
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return (0, String::new());
        };
        (head[9..12].parse().unwrap(), body.to_owned())
    }
}

/// Collects the JSON lines of a pipe; other lines become strings.
fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
            collected.lock().unwrap().push(value);
        }
    });
    lines
}
