//! One measurement: one proxy, one quantity, one time.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portaria::lab::Result;
use rustls::ClientConfig;

use crate::figures::Spread;
use crate::instructions;
use crate::load::http1::Connection;
use crate::load::{self, Shape};
use crate::process::{self, Running};
use crate::proxies::{Programs, Proxy, Started, must_refuse};
use crate::setting::{Setting, Token, free_address};
use crate::target::{Ask, Target};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// Microseconds of CPU per answer; answers per second.
    Cpu(Shape, Ask),
    /// The same with proxy, load and backend on both cores.
    CpuUnpinned(Shape, Ask),
    /// The 99th and the 50th percentile of the latency, in microseconds.
    Latency(Shape, Ask),
    /// KiB of each idle connection: of the first 1,000, and of 5,000.
    Idle,
    /// Microseconds of CPU per answer when each request brings the next token; bytes of each token.
    Tokens(Shape),
    /// Milliseconds from the start to the first admitted request.
    Start,
    /// Milliseconds from SIGHUP to "configuration reloaded", the median of those in the time, under load.
    Reload(Shape),
    /// Instructions of the program for one warm request.
    Instructions,
}

const FEW_IDLE: usize = 1_000;
const MANY_IDLE: usize = 5_000;
pub(crate) const FEW_TOKENS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_WARMING: Duration = Duration::from_secs(1);

/// All that measurements share.
pub(crate) struct Bench {
    pub(crate) setting: Setting,
    pub(crate) programs: Programs,
    pub(crate) duration: Duration,
    tls: [Arc<ClientConfig>; 2],
    /// Made when a row asks for them.
    tokens: Arc<[String]>,
    /// How long a proxy waited for its core, to how long it ran, of each measurement of CPU.
    waits: RefCell<Vec<f64>>,
}

impl Bench {
    pub(crate) async fn prepare(programs: Programs, duration: Duration) -> Result<Self> {
        let setting = Setting::prepare().await?;
        let tls = setting.client_tls()?;
        Ok(Self {
            setting,
            programs,
            duration,
            tls,
            tokens: Arc::default(),
            waits: RefCell::default(),
        })
    }

    /// Signs what the rows of many tokens need.
    pub(crate) fn sign_tokens(&mut self) -> Result<()> {
        self.tokens = self.setting.many_tokens(self.programs.tokens)?;
        Ok(())
    }

    /// What tells a quiet machine from one that others used meanwhile.
    pub(crate) fn quiet(&self) -> Option<String> {
        let spread = Spread::of(self.waits.borrow().clone())?;
        let [median, most] = [spread.median, spread.most].map(|share| share * 100.0);
        Some(format!(
            "While they ran, proxies waited for their core {median:.0} % as long, at most {most:.0} %."
        ))
    }

    pub(crate) async fn measure(&self, proxy: Proxy, what: What) -> Result<Vec<f64>> {
        match what {
            What::Cpu(shape, ask) => self.cpu(proxy, shape, ask, true).await,
            What::CpuUnpinned(shape, ask) => {
                process::pin_self("0,1")?;
                self.setting.pin_backend(false)?;
                let measured = self.cpu(proxy, shape, ask, false).await;
                process::pin_self("1")?;
                self.setting.pin_backend(true)?;
                // Here all wait for each other.
                self.waits.borrow_mut().pop();
                measured
            }
            What::Latency(shape, ask) => self.latency(proxy, shape, ask).await,
            What::Idle => self.idle(proxy).await,
            What::Tokens(shape) => self.of_tokens(proxy, shape).await,
            What::Start => {
                let target = self.target(proxy, Ask::Small)?;
                let mut started = self.launch(proxy, &target, &[])?;
                let took = started.ready(&target, PATIENCE).await?;
                Ok(vec![took.as_secs_f64() * 1e3])
            }
            What::Reload(shape) => self.reload(proxy, shape).await,
            What::Instructions => instructions::per_request(self, proxy).await,
        }
    }

    /// The request, at an address where nothing listens yet.
    pub(crate) fn target(&self, proxy: Proxy, ask: Ask) -> Result<Target> {
        let which = if ask == Ask::Post { Token::Client } else { Token::Customer };
        let token = self.setting.token(which, proxy.knows_pss())?;
        Target::new(free_address()?, self.tls.clone(), ask, Arc::new([token]))
    }

    pub(crate) fn launch(&self, proxy: Proxy, at: &Target, under: &[String]) -> Result<Started> {
        self.programs.start(&self.setting, proxy, at.address, under)
    }

    /// Starts a proxy; it is ready, and it judges.
    pub(crate) async fn start(
        &self,
        proxy: Proxy,
        target: &Target,
        under: &[String],
        patience: Duration,
    ) -> Result<Started> {
        let mut started = self.launch(proxy, target, under)?;
        // What admits it is a customer's request; a proxy has one address for all.
        let token = self.setting.token(Token::Customer, proxy.knows_pss())?;
        let forged: String = token
            .rsplit_once('.')
            .map(|(signed, signature)| {
                let turned: String = signature.chars().rev().collect();
                format!("{signed}.{turned}")
            })
            .ok_or("no token")?;
        let asking =
            |token| Target::new(target.address, self.tls.clone(), Ask::Small, Arc::new([token]));
        started.ready(&asking(token)?, patience).await?;
        must_refuse(proxy, &asking(forged)?).await?;
        Ok(started)
    }

    fn warming(&self) -> Duration {
        self.duration.min(LONGEST_WARMING)
    }

    async fn cpu(&self, proxy: Proxy, shape: Shape, ask: Ask, is_pinned: bool) -> Result<Vec<f64>> {
        let target = self.target(proxy, ask)?;
        let started = self.start(proxy, &target, &[], PATIENCE).await?;
        if !is_pinned {
            started.running.unpin()?;
        }
        load::run(&target, shape, self.warming()).await?;
        self.counted(&started.running, &target, shape).await
    }

    async fn counted(&self, running: &Running, target: &Target, shape: Shape) -> Result<Vec<f64>> {
        let before = running.usage()?;
        let outcome = load::run(target, shape, self.duration).await?;
        let after = running.usage()?;
        let used = after.cpu.saturating_sub(before.cpu);
        let waited = after.waited.saturating_sub(before.waited);
        self.waits.borrow_mut().push(waited.as_secs_f64() / used.as_secs_f64());
        let answers = outcome.answers as f64;
        Ok(vec![used.as_secs_f64() * 1e6 / answers, answers / self.duration.as_secs_f64()])
    }

    async fn latency(&self, proxy: Proxy, shape: Shape, ask: Ask) -> Result<Vec<f64>> {
        let target = self.target(proxy, ask)?;
        let _started = self.start(proxy, &target, &[], PATIENCE).await?;
        load::run(&target, shape, self.warming()).await?;
        let outcome = load::run(&target, shape, self.duration).await?;
        let quantile = |q| outcome.latencies.value_at_quantile(q) as f64 / 1e3;
        Ok(vec![quantile(0.99), quantile(0.5)])
    }

    async fn idle(&self, proxy: Proxy) -> Result<Vec<f64>> {
        let target = self.target(proxy, Ask::Small)?;
        let started = self.start(proxy, &target, &[], PATIENCE).await?;
        // What is made once, whatever comes: caches, pools, buffers of handshakes.
        load::run(&target, Shape::Handshakes(8), self.warming()).await?;
        let before = started.running.usage()?.resident_kib;
        let mut open: Vec<Connection> = Vec::new();
        let mut grown = Vec::new();
        for connections in [FEW_IDLE, MANY_IDLE] {
            while open.len() < connections {
                let mut connection = Connection::open(&target).await?;
                connection.ask(target.next(&mut Vec::new())).await?;
                open.push(connection);
            }
            let now = started.running.usage()?.resident_kib;
            grown.push((now - before) / connections as f64);
        }
        Ok(grown)
    }

    async fn of_tokens(&self, proxy: Proxy, shape: Shape) -> Result<Vec<f64>> {
        let few = self.tokens.get(..FEW_TOKENS).ok_or("too few tokens were signed")?;
        let address = self.target(proxy, Ask::Small)?;
        let with = |tokens| Target::new(address.address, self.tls.clone(), Ask::Small, tokens);
        let few = with(few.into())?;
        let started = self.start(proxy, &few, &[], PATIENCE).await?;
        load::run_count(&few, shape, FEW_TOKENS).await?;
        load::run(&few, shape, self.warming()).await?;
        if !proxy.is_many_tokens() {
            let cpu = self.counted(&started.running, &few, shape).await?;
            return Ok(vec![cpu.first().copied().unwrap_or(f64::NAN), f64::NAN]);
        }
        let before = started.running.usage()?.resident_kib;
        let many = with(self.tokens.clone())?;
        load::run_count(&many, shape, self.tokens.len()).await?;
        let grown = (started.running.usage()?.resident_kib - before) * 1024.0;
        let bytes = grown / (self.tokens.len() - FEW_TOKENS) as f64;
        let cpu = self.counted(&started.running, &many, shape).await?;
        Ok(vec![cpu.first().copied().unwrap_or(f64::NAN), bytes])
    }

    async fn reload(&self, proxy: Proxy, shape: Shape) -> Result<Vec<f64>> {
        let target = self.target(proxy, Ask::Small)?;
        let mut started = self.start(proxy, &target, &[], PATIENCE).await?;
        let (loaded, duration) = (target.clone(), self.duration + self.warming());
        let load = tokio::spawn(async move { load::run(&loaded, shape, duration).await });
        tokio::time::sleep(self.warming()).await;
        let (began, mut took) = (Instant::now(), Vec::new());
        while began.elapsed() < self.duration || took.is_empty() {
            let sent = Instant::now();
            started.running.signal(rustix::process::Signal::HUP)?;
            let done = tokio::time::timeout(PATIENCE, started.reloads.recv()).await?;
            let done = done.ok_or("the gateway says nothing more")?;
            took.push(done.duration_since(sent).as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        load.await??;
        took.sort_by(f64::total_cmp);
        Ok(took.get(took.len() / 2).copied().into_iter().collect())
    }
}
