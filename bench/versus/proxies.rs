//! The proxies: how each is started, found out to be ready, and found out to judge.

mod envoy;
mod haproxy;
pub(crate) mod nginx;
mod portaria;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ::portaria::lab::Result;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use self::portaria::{Manner, Trust};
use crate::floor;
use crate::load::http1::Connection;
use crate::process::{Running, pinned};
use crate::setting::Setting;
use crate::target::Target;

/// One column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    HaproxyPass,
    HaproxyFull,
    EnvoyPass,
    EnvoyFull,
    /// Bytes passed on by portaria's libraries.
    Floor,
    Portaria(Kind),
    /// Another program of portaria's, named on the command line.
    Before(Kind),
}

/// Which portaria.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Full,
    Lenient,
    Strict,
    OneThread,
    TwoThreads,
    FewTokens,
    ManyTokens,
}

impl Proxy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaproxyPass => "HAProxy, passing",
            Self::HaproxyFull => "HAProxy, policy",
            Self::EnvoyPass => "Envoy, passing",
            Self::EnvoyFull => "Envoy, policy",
            Self::Floor => "floor",
            Self::Portaria(kind) => match kind {
                Kind::Full => "portaria",
                Kind::Lenient => "portaria, lenient",
                Kind::Strict => "portaria, strict",
                Kind::OneThread => "portaria, 1 thread",
                Kind::TwoThreads => "portaria, 2 threads",
                Kind::FewTokens => "portaria, few tokens",
                Kind::ManyTokens => "portaria, many tokens",
            },
            Self::Before(kind) => match kind {
                Kind::Full => "before",
                Kind::Lenient => "before, lenient",
                Kind::Strict => "before, strict",
                Kind::OneThread => "before, 1 thread",
                Kind::TwoThreads => "before, 2 threads",
                Kind::FewTokens => "before, few tokens",
                Kind::ManyTokens => "before, many tokens",
            },
        }
    }

    /// Whether it judges requests.
    fn has_policy(self) -> bool {
        !matches!(self, Self::Nginx | Self::HaproxyPass | Self::EnvoyPass | Self::Floor)
    }

    /// Whether it verifies PS256.
    pub(crate) fn knows_pss(self) -> bool {
        !matches!(self, Self::HaproxyPass | Self::HaproxyFull)
    }

    pub(crate) fn is_many_tokens(self) -> bool {
        matches!(self, Self::Portaria(Kind::ManyTokens) | Self::Before(Kind::ManyTokens))
    }
}

/// What is started.
pub(crate) struct Programs {
    /// This one: it is the floor, too.
    pub(crate) bench: PathBuf,
    pub(crate) portaria: PathBuf,
    pub(crate) before: Option<PathBuf>,
    /// Of portaria's cache of tokens.
    pub(crate) tokens: usize,
}

impl Programs {
    fn path(&self, proxy: Proxy) -> PathBuf {
        match proxy {
            Proxy::Nginx => nginx::PROGRAM.into(),
            Proxy::HaproxyPass | Proxy::HaproxyFull => haproxy::PROGRAM.into(),
            Proxy::EnvoyPass | Proxy::EnvoyFull => envoy::program(),
            Proxy::Floor => self.bench.clone(),
            Proxy::Portaria(_) => self.portaria.clone(),
            Proxy::Before(_) => self.before.clone().unwrap_or_default(),
        }
    }

    /// What it says of its version, if it is there.
    pub(crate) fn version(&self, proxy: Proxy) -> Option<String> {
        let flag = match proxy {
            Proxy::Nginx | Proxy::HaproxyPass | Proxy::HaproxyFull => "-v",
            _ => "--version",
        };
        let output = Command::new(self.path(proxy)).arg(flag).output().ok()?;
        let both = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&both).into_owned();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
        let line = match proxy {
            Proxy::EnvoyPass | Proxy::EnvoyFull => line.rsplit(": ").next()?.split('/').nth(1)?,
            Proxy::HaproxyPass | Proxy::HaproxyFull => line.split(' ').nth(2)?,
            Proxy::Nginx => line.rsplit('/').next()?,
            _ => line.trim_start_matches("portaria "),
        };
        Some(line.to_owned())
    }

    fn command(
        &self,
        setting: &Setting,
        proxy: Proxy,
        address: SocketAddr,
        program: Command,
    ) -> Result<Command> {
        match proxy {
            Proxy::Nginx => nginx::proxy(setting, address, program),
            Proxy::HaproxyPass => haproxy::proxy(setting, address, false, program),
            Proxy::HaproxyFull => haproxy::proxy(setting, address, true, program),
            Proxy::Floor => Ok(floor::proxy(setting, address, program)),
            Proxy::EnvoyPass => envoy::proxy(setting, address, false, program),
            Proxy::EnvoyFull => envoy::proxy(setting, address, true, program),
            Proxy::Portaria(kind) | Proxy::Before(kind) => {
                portaria::proxy(setting, address, self.manner(kind), program)
            }
        }
    }

    fn manner(&self, kind: Kind) -> Manner {
        let trust = match kind {
            Kind::Lenient => Trust::Lenient,
            Kind::Strict => Trust::Strict,
            _ => Trust::Usual,
        };
        let threads = if kind == Kind::TwoThreads { 2 } else { 1 };
        let tokens = match kind {
            Kind::FewTokens | Kind::ManyTokens => self.tokens * 2,
            _ => 100_000,
        };
        Manner { threads, trust, tokens }
    }

    /// Starts a proxy on its core, under another program if one is named; it may not be ready yet.
    pub(crate) fn start(
        &self,
        setting: &Setting,
        proxy: Proxy,
        address: SocketAddr,
        under: &[String],
    ) -> Result<Started> {
        let path = self.path(proxy);
        let program = match under {
            [] => pinned(0, path),
            [wrapper, arguments @ ..] => {
                let mut command = pinned(0, wrapper);
                command.args(arguments).arg(path);
                command
            }
        };
        let mut command = self.command(setting, proxy, address, program)?;
        let began = Instant::now();
        let mut child = command.spawn()?;
        let reloads = watch(&mut child);
        Ok(Started { running: Running(child), began, reloads })
    }
}

/// A proxy that was started.
pub(crate) struct Started {
    pub(crate) running: Running,
    pub(crate) began: Instant,
    /// When it said that it had reloaded.
    pub(crate) reloads: UnboundedReceiver<Instant>,
}

impl Started {
    /// Waits until it admits a request; gives the time since its start.
    pub(crate) async fn ready(&mut self, target: &Target, patience: Duration) -> Result<Duration> {
        let mut last = String::from("nothing listens");
        while self.began.elapsed() < patience {
            if let Some(status) = self.running.0.try_wait()? {
                return Err(format!("the proxy ended with {status}").into());
            }
            match ask(target).await {
                Ok(200) => return Ok(self.began.elapsed()),
                Ok(status) => last = format!("an answer is {status}"),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(format!("the proxy is not ready: {last}").into())
    }
}

async fn ask(target: &Target) -> Result<u16> {
    Connection::open(target).await?.status_of(target.next(&mut Vec::new())).await
}

/// A proxy whose policy lets a forged token in is not measured: its figures would be those of another job.
pub(crate) async fn must_refuse(proxy: Proxy, forged: &Target) -> Result<()> {
    match (proxy.has_policy(), ask(forged).await?) {
        (true, 401 | 403) | (false, 200) => Ok(()),
        (_, status) => Err(format!("{} answers {status} to a forged token", proxy.name()).into()),
    }
}

/// Reads what portaria says of itself, and notes the moments of its reloads; says the rest if it fails.
fn watch(child: &mut Child) -> UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    if let Some(said) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(std::result::Result::ok) {
                if line.contains("configuration reloaded") && sender.send(Instant::now()).is_err() {
                    return;
                }
                if line.contains("\"ERROR\"") || !line.starts_with('{') {
                    complain(&line);
                }
            }
        });
    }
    receiver
}

#[expect(clippy::print_stderr, reason = "what a proxy complains of is for whoever runs the bench")]
fn complain(line: &str) {
    eprintln!("portaria says: {line}");
}
