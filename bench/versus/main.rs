//! portaria with its full policy beside nginx that only passes mTLS through: on one core each, in turn,
//! three rounds, medians, as ratios measured in one run.
//!
//! nginx is the measure: it terminates mTLS and forwards, with no token, scope, consent, limit or metric.
//! The backend and the load stand on the other core. CPU is that of the proxy's processes, user and
//! system, divided by the answers that were counted; every answer must be 200.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod load;
mod process;
mod proxies;

use std::time::Duration;

use portaria::lab::Result;

use load::{Load, Mode};
use process::Usage;
use proxies::{Bench, Proxy};

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 32;
const HANDSHAKERS: usize = 8;
const IDLE: usize = 1000;
/// Comparisons of the cost of trust.
const PAIRS: usize = 5;

/// What one proxy did in one round.
#[derive(Clone, Copy, Default)]
struct Figures {
    cpu_per_request_us: f64,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_per_handshake_us: f64,
    idle_kib: f64,
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<()> {
    // Cargo passes `--bench`; a number is the seconds of each measurement.
    let seconds =
        std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5.0);
    process::pin_self(1)?;
    portaria::server::install_cryptography();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(Duration::from_secs_f64(seconds)))
}

async fn compare(duration: Duration) -> Result<()> {
    let bench = Bench::prepare().await?;
    let mut rounds: [Vec<Figures>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for (proxy, figures) in Proxy::ALL.into_iter().zip(&mut rounds) {
            let measured = measure(&bench, proxy, duration).await?;
            println!("round {round}  {:<9} {}", proxy.name(), describe(&measured));
            figures.push(measured);
        }
    }
    let medians = rounds.map(|figures| median(&figures));
    println!();
    for (proxy, figures) in Proxy::ALL.into_iter().zip(&medians) {
        println!("medians  {:<9} {}", proxy.name(), describe(figures));
    }
    let [nginx, portaria] = medians;
    print_ratios(&nginx, &portaria);
    let ratio = cost_of_trust(&bench, duration).await?;
    println!(
        "  {:<34} {ratio:>5.2}  {:<16}",
        "handshake: list of 50,000 + profile", "goal <= 1.05"
    );
    Ok(())
}

/// CPU of a full handshake and a request with a long revocation list and the whole profile, to the same
/// without either: the median of pairs, each pair in the other order than the one before.
async fn cost_of_trust(bench: &Bench, duration: Duration) -> Result<f64> {
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        let lenient = || cpu_per_handshake(bench, Proxy::Lenient, duration);
        let strict = || cpu_per_handshake(bench, Proxy::Strict, duration);
        ratios.push(if pair % 2 == 0 {
            let before = lenient().await?;
            strict().await? / before
        } else {
            strict().await? / lenient().await?
        });
    }
    println!("\nstrict to lenient portaria, pairs: {ratios:.3?}");
    ratios.sort_by(f64::total_cmp);
    Ok(ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN))
}

async fn cpu_per_handshake(bench: &Bench, proxy: Proxy, duration: Duration) -> Result<f64> {
    let running = bench.start(proxy).await?;
    let load = |duration| -> Result<Load> {
        Ok(Load {
            mode: Mode::Handshakes,
            workers: HANDSHAKERS,
            duration,
            target: bench.target(proxy)?,
        })
    };
    load(Duration::from_secs(1))?.run().await?;
    let before = running.usage()?;
    let shaken = load(duration)?.run().await?;
    Ok(per(running.usage()?.since(before), shaken.answers))
}

async fn measure(bench: &Bench, proxy: Proxy, duration: Duration) -> Result<Figures> {
    let running = bench.start(proxy).await?;
    let target = bench.target(proxy)?;
    let load = |mode, workers| Load { mode, workers, duration, target: target.clone() };
    // Warm: pools, caches, the branch predictor.
    load(Mode::KeepAlive, CONNECTIONS).run_for(Duration::from_secs(1)).await?;

    let before = running.usage()?;
    let kept = load(Mode::KeepAlive, CONNECTIONS).run().await?;
    let keep_alive = running.usage()?.since(before);

    let before = running.usage()?;
    let shaken = load(Mode::Handshakes, HANDSHAKERS).run().await?;
    let handshakes = running.usage()?.since(before);

    let before = running.usage()?;
    let idle = load(Mode::KeepAlive, IDLE).open_idle().await?;
    let held = running.usage()?;
    drop(idle);
    Ok(Figures {
        cpu_per_request_us: per(keep_alive, kept.answers),
        requests_per_second: kept.answers as f64 / duration.as_secs_f64(),
        p50_us: kept.quantile(0.5),
        p99_us: kept.quantile(0.99),
        cpu_per_handshake_us: per(handshakes, shaken.answers),
        idle_kib: (held.resident_kib - before.resident_kib) / IDLE as f64,
    })
}

fn per(usage: Usage, answers: u64) -> f64 {
    usage.cpu.as_secs_f64() * 1e6 / answers as f64
}

fn describe(figures: &Figures) -> String {
    format!(
        "{:>6.1} us CPU/request  {:>7.0} requests/s  p50 {:>5.0} us  p99 {:>6.0} us  \
         {:>6.0} us CPU/handshake  {:>5.1} KiB/idle connection",
        figures.cpu_per_request_us,
        figures.requests_per_second,
        figures.p50_us,
        figures.p99_us,
        figures.cpu_per_handshake_us,
        figures.idle_kib,
    )
}

fn median(rounds: &[Figures]) -> Figures {
    let middle = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Figures {
        cpu_per_request_us: middle(|f| f.cpu_per_request_us),
        requests_per_second: middle(|f| f.requests_per_second),
        p50_us: middle(|f| f.p50_us),
        p99_us: middle(|f| f.p99_us),
        cpu_per_handshake_us: middle(|f| f.cpu_per_handshake_us),
        idle_kib: middle(|f| f.idle_kib),
    }
}

fn print_ratios(nginx: &Figures, portaria: &Figures) {
    println!("\nto nginx (pass-through, no policy)   portaria (full policy)");
    type Of = fn(&Figures) -> f64;
    let ratios: [(&str, Of, &str); 6] = [
        ("CPU per request", |f| f.cpu_per_request_us, "goal <= 0.85"),
        ("CPU per full handshake + request", |f| f.cpu_per_handshake_us, "goal <= 0.52"),
        ("requests/s", |f| f.requests_per_second, ""),
        ("p50", |f| f.p50_us, ""),
        ("p99", |f| f.p99_us, ""),
        ("memory per idle connection", |f| f.idle_kib, ""),
    ];
    for (what, of, goal) in ratios {
        println!("  {what:<34} {:>5.2}  {goal:<16}", of(portaria) / of(nginx));
    }
}
