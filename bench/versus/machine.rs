//! Where and of what a run was made: nothing that names this machine or a place on it.

use std::process::Command;

use portaria::lab::Result;

/// Processor, cores and kernel.
pub(crate) fn describe() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &'static str| {
        info.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let model = of("model name").next().unwrap_or("an unknown processor");
    let cores = of("processor").count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!("{model}, {cores} cores, Linux {kernel}")
}

/// The commit, and whether the source differs from it.
pub(crate) fn commit() -> Result<(String, bool)> {
    let said = |arguments: &[&str]| -> Result<String> {
        let output =
            Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let commit = said(&["rev-parse", "--short=9", "HEAD"])?;
    let changed = said(&["status", "--porcelain", "--", "src", "policies", "Cargo.lock"])?;
    Ok((commit, !changed.is_empty()))
}
