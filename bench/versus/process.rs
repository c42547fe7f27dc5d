//! Processes: pinned to a core, and what they used.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use portaria::lab::Result;

/// What a proxy used so far, its workers included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_kib: f64,
}

impl Usage {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

/// A proxy that ends when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut sum = usage_of(self.0.id())?;
        for child in children(self.0.id()) {
            let usage = usage_of(child)?;
            sum.cpu += usage.cpu;
            sum.resident_kib += usage.resident_kib;
        }
        Ok(sum)
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|text| text.parse().ok()).collect()
}

/// utime and stime in ticks of 10 ms (fields 14 and 15 of stat), resident pages of 4 KiB (field 24).
fn usage_of(pid: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("no stat")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number =
        |place: usize| -> Result<u64> { Ok(fields.get(place).ok_or("a short stat")?.parse()?) };
    let ticks = number(11)? + number(12)?;
    Ok(Usage { cpu: Duration::from_millis(ticks * 10), resident_kib: number(21)? as f64 * 4.0 })
}

/// Keeps this process to a core.
pub(crate) fn pin_self(core: usize) -> Result<()> {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset").args(["-cp", &core.to_string(), &pid]).output()?;
    if done.status.success() { Ok(()) } else { Err("taskset failed: two cores are needed".into()) }
}

/// A command that is kept to a core.
pub(crate) fn pinned(core: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}
