//! Instructions of a warm request, counted by callgrind: the difference of two runs, so that neither start nor first
//! requests count. The same number on any machine; it knows no SHA extensions and counts moves byte by byte.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portaria::lab::Result;

use crate::load::{self, Shape};
use crate::measure::Bench;
use crate::proxies::Proxy;
use crate::target::Ask;

const CONNECTIONS: usize = 4;
const WARM: usize = 1_000;
const COUNTED: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn is_possible() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

pub(crate) async fn per_request(bench: &Bench, proxy: Proxy) -> Result<Vec<f64>> {
    let without = of_run(bench, proxy, WARM).await?;
    let with = of_run(bench, proxy, WARM + COUNTED).await?;
    Ok(vec![(with - without) / COUNTED as f64])
}

async fn of_run(bench: &Bench, proxy: Proxy, requests: usize) -> Result<f64> {
    let log = bench.setting.path("callgrind");
    std::fs::create_dir_all(&log)?;
    let under = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        "--trace-children=yes".to_owned(),
        "--callgrind-out-file=/dev/null".to_owned(),
        format!("--log-file={}/%p", log.display()),
    ];
    let target = bench.target(proxy, Ask::Small)?;
    let started = bench.start(proxy, &target, &under, PATIENCE).await?;
    load::run_count(&target, Shape::Http1(CONNECTIONS), requests).await?;
    drop(started);
    let counted = collected(&log)?;
    std::fs::remove_dir_all(&log)?;
    Ok(counted)
}

/// Of all processes.
fn collected(log: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for file in std::fs::read_dir(log)? {
        let text = std::fs::read_to_string(file?.path())?;
        let counts = text.lines().filter_map(|line| line.split_once("Collected : "));
        for (_, count) in counts {
            sum += count.trim().parse::<f64>()?;
        }
    }
    if sum > 0.0 { Ok(sum) } else { Err("callgrind counted nothing".into()) }
}
