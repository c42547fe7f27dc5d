//! portaria with its full policy beside nginx, HAProxy and Envoy: `docs/bench.md` tells how to read it.
//!
//! Each proxy stands on one core, load and backend on the other. A round measures each in turn, every other
//! round the other way round; a ratio is of one round. CPU is the kernel's account of all threads of the proxy,
//! divided by the answers that were counted.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod figures;
mod floor;
mod instructions;
mod load;
mod machine;
mod measure;
mod process;
mod proxies;
mod results;
mod rows;
mod setting;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use portaria::lab::Result;

use figures::Column;
use measure::{Bench, FEW_TOKENS, What};
use proxies::{Programs, Proxy};
use results::Results;
use rows::Row;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// portaria beside other proxies.
#[derive(Parser)]
struct Arguments {
    /// Rows by name, all without any; --list names them.
    rows: Vec<String>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Distinct tokens of the row `tokens`.
    #[arg(long, default_value_t = 100_000)]
    tokens: usize,
    /// Another portaria to measure in place of this tree's.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_portaria"), hide_default_value = true)]
    portaria: PathBuf,
    /// A portaria to measure beside it.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Said with the results.
    #[arg(long)]
    note: Option<String>,
    /// Keep the results in bench/results, though not all rows were measured.
    #[arg(long)]
    save: bool,
    /// Print the names of the rows.
    #[arg(long)]
    list: bool,
    /// Be the proxy that does the least.
    #[arg(long, hide = true, num_args = 3)]
    floor: Vec<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.list {
        for row in rows::ALL {
            println!("{:<14}{}", row.name, row.title);
        }
        return Ok(());
    }
    if arguments.floor.is_empty() {
        process::pin_self("1")?;
    }
    portaria::server::install_cryptography();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if !arguments.floor.is_empty() {
        return runtime.block_on(floor::run(&arguments.floor));
    }
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let chosen = choose(&arguments.rows)?;
    let programs = Programs {
        bench: std::env::current_exe()?,
        portaria: arguments.portaria.clone(),
        before: arguments.before.clone(),
        tokens: arguments.tokens.max(FEW_TOKENS * 2),
    };
    let mut results = Results::default();
    let missing = look_for(&programs, &mut results);
    results.remarks.extend(arguments.note.clone());
    let duration = Duration::from_secs_f64(arguments.seconds);
    let mut bench = Bench::prepare(programs, duration).await?;
    if chosen.iter().any(|row| matches!(row.what, What::Tokens(_))) {
        println!("signing {} tokens", bench.programs.tokens);
        bench.sign_tokens()?;
    }
    let mut failed = Vec::new();
    for row in &chosen {
        if matches!(row.what, What::Instructions) && !instructions::is_possible() {
            results.remarks.push("Left out: instructions, for want of valgrind.".to_owned());
            continue;
        }
        let proxies = contenders(row, &missing, arguments.before.is_some());
        match measure(&bench, row, &proxies, arguments.rounds).await {
            Ok(columns) => {
                let lines = figures::lines(row, &columns, bench.programs.tokens);
                println!("{}", results.add(row, &columns, lines));
            }
            Err(error) => {
                println!("{} FAILED: {error}\n", row.name);
                let error = error.to_string();
                let first = error.lines().next().unwrap_or_default();
                results.remarks.push(format!("FAILED: {}: {first}.", row.name));
                failed.push(row.name);
            }
        }
    }
    results.remarks.extend(bench.quiet());
    let text = results.text(arguments.seconds, arguments.rounds)?;
    println!("{text}");
    if arguments.save || chosen.len() == rows::ALL.len() {
        println!("kept in {}", results.save(&text)?.display());
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn choose(names: &[String]) -> Result<Vec<&'static Row>> {
    let known = |name: &String| rows::ALL.iter().any(|row| row.name == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(format!("there is no row {unknown}: --list names them").into());
    }
    let is_chosen = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    Ok(rows::ALL.iter().filter(is_chosen).collect())
}

/// Notes the versions of the proxies; gives those that are not on this machine, and says so.
fn look_for(programs: &Programs, results: &mut Results) -> Vec<Proxy> {
    let full = proxies::Kind::Full;
    let families: [(&str, &[Proxy]); 4] = [
        ("portaria", &[Proxy::Portaria(full)]),
        ("nginx", &[Proxy::Nginx]),
        ("HAProxy", &[Proxy::HaproxyPass, Proxy::HaproxyFull]),
        ("Envoy", &[Proxy::EnvoyPass, Proxy::EnvoyFull]),
    ];
    let mut missing = Vec::new();
    for (name, of) in families {
        match of.first().and_then(|proxy| programs.version(*proxy)) {
            Some(version) => results.versions.push(format!("{name} {version}")),
            None => {
                let remark = format!("Left out: {name} is not on this machine.");
                println!("{remark}");
                results.remarks.push(remark);
                missing.extend_from_slice(of);
            }
        }
    }
    if programs.before.is_some() {
        let before = programs.version(Proxy::Before(full)).unwrap_or_default();
        results.versions.push(format!("before {before}"));
    }
    missing
}

/// Who takes part in a row: the subject last, and each portaria's other program after it.
fn contenders(row: &Row, missing: &[Proxy], has_before: bool) -> Vec<Proxy> {
    let of_row = row.beside.iter().copied().chain([Proxy::Portaria(row.subject)]);
    let mut proxies = Vec::new();
    for proxy in of_row.filter(|proxy| !missing.contains(proxy)) {
        proxies.push(proxy);
        if let (Proxy::Portaria(kind), true) = (proxy, has_before) {
            proxies.push(Proxy::Before(kind));
        }
    }
    proxies
}

async fn measure(
    bench: &Bench,
    row: &Row,
    proxies: &[Proxy],
    rounds: usize,
) -> Result<Vec<Column>> {
    let column = |proxy: &Proxy| Column { proxy: *proxy, rounds: Vec::new() };
    let mut columns: Vec<Column> = proxies.iter().map(column).collect();
    for round in 1..=rounds {
        columns.reverse();
        for column in &mut columns {
            let figures = bench.measure(column.proxy, row.what).await;
            let figures = figures.map_err(|error| format!("{}: {error}", column.proxy.name()))?;
            let shown: Vec<String> = figures
                .iter()
                .zip(row.quantities)
                .filter(|(figure, _)| figure.is_finite())
                .map(|(figure, quantity)| format!("{} {}", figures::shown(*figure), quantity.unit))
                .collect();
            println!("{:<13} {round}  {:<22} {}", row.name, column.proxy.name(), shown.join(", "));
            column.rounds.push(figures);
        }
    }
    if rounds % 2 == 1 {
        columns.reverse();
    }
    Ok(columns)
}
