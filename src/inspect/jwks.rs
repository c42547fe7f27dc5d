//! `portaria jwks status`: reads the key set of each issuer of a configuration once, as the gateway would, and
//! shows what is kept of it for the next start. A gateway that runs is not asked: its metrics tell of it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::assembly;
use crate::config::Mistake;
use crate::moment::Moment;
use crate::report::Metrics;
use crate::services::key_sets::KeySource;
use crate::services::key_sets::kept::Recalled;
use crate::token::jwks::{self, Surveyed};

/// What was found.
pub struct KeySetTable {
    /// The table.
    pub text: String,
    /// Whether every key set can be read and has a usable key.
    pub is_good: bool,
}

/// Reads the key sets of a configuration, or says what is wrong with it.
pub fn status(config: &Path) -> Result<KeySetTable, Vec<Mistake>> {
    let Ok(metrics) = Metrics::new() else {
        return Err(Vec::new());
    };
    let loaded = assembly::load(config, &metrics, None)?;
    let mut status = KeySetTable { text: String::new(), is_good: true };
    for warning in &loaded.warnings {
        // Writing to a string does not fail.
        let _ = writeln!(status.text, "{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        return Err(Vec::new());
    };
    for keys in loaded.configuration.kept.key_sets() {
        status.is_good &= runtime.block_on(describe(keys, &mut status.text));
    }
    Ok(status)
}

/// Describes one key set. Returns whether it is good.
async fn describe(keys: &KeySource, text: &mut String) -> bool {
    let setup = keys.setup();
    let (kind, pace) = (setup.origin.kind(), setup.pace);
    let (again, counts) = (pace.refresh_interval.as_secs(), pace.stale_for.as_secs());
    let _ = writeln!(text, "{}:", setup.issuer);
    let _ = writeln!(text, "  from  {kind}, read again after {again} s, counts for {counts} s");
    let surveyed = match keys.read().await {
        Ok(read) => jwks::survey(&read.json, &setup.algorithms).map_err(Into::into),
        Err(error) => Err(error),
    };
    let usable = match &surveyed {
        Ok(surveyed) => {
            let usable = surveyed.iter().filter(|key| key.verdict.is_ok()).count();
            let _ = writeln!(text, "  read  {} keys, {usable} usable", surveyed.len());
            surveyed.iter().for_each(|key| describe_key(key, text));
            usable
        }
        Err(error) => {
            let _ = writeln!(text, "  read  failed: {error}");
            0
        }
    };
    if let Some(keeper) = &setup.keeper {
        let recalled = keeper.recall(&setup.algorithms, Moment::now());
        let told = match recalled {
            Ok(recalled) => told(recalled, pace.stale_for),
            Err(error) => format!("does not count: it {error}"),
        };
        let _ = writeln!(text, "  kept  {}: {told}", keeper.file().display());
    }
    usable > 0
}

fn describe_key(key: &Surveyed, text: &mut String) {
    let kid = key.kid.as_deref().unwrap_or("(no kid)").escape_debug();
    let told = match &key.verdict {
        Ok(_) => key.algorithms().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", "),
        Err(left_out) => format!("left out: {left_out}"),
    };
    let _ = writeln!(text, "  key   {kid}  {told}");
}

fn told(recalled: Option<Recalled>, stale_for: Duration) -> String {
    match recalled {
        None => "nothing yet".to_owned(),
        Some(Recalled { age, .. }) => {
            let left = stale_for.saturating_sub(age).as_secs();
            format!("read {} s ago, counts for {left} s more", age.as_secs())
        }
    }
}
