//! Processes: kept to a core, what they used, and how they end.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use portaria::lab::Result;
use rustix::process::{Pid, Signal, kill_process};

/// What a process used so far, its children and all threads included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Ready to run, while another process had the core.
    pub(crate) waited: Duration,
    pub(crate) resident_kib: f64,
}

/// A process that ends when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.signal(Signal::TERM);
            let _ = self.0.wait();
        }
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        for pid in std::iter::once(self.0.id()).chain(children(self.0.id())) {
            let (ran, waited) = time_of(pid)?;
            sum.cpu += ran;
            sum.waited += waited;
            sum.resident_kib += resident_of(pid)?;
        }
        Ok(sum)
    }

    /// Lets it run on both cores.
    pub(crate) fn unpin(&self) -> Result<()> {
        for pid in std::iter::once(self.0.id()).chain(children(self.0.id())) {
            pin("0,1", pid)?;
        }
        Ok(())
    }

    /// Keeps it to a core.
    pub(crate) fn pin(&self, core: usize) -> Result<()> {
        for pid in std::iter::once(self.0.id()).chain(children(self.0.id())) {
            pin(&core.to_string(), pid)?;
        }
        Ok(())
    }
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|text| text.parse().ok()).collect()
}

/// On a core, and waiting for it, of all threads in nanoseconds: the ticks of `stat` are 10 ms, a whole measurement at
/// a low rate.
fn time_of(pid: u32) -> Result<(Duration, Duration)> {
    let (mut ran, mut waited) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since it was listed.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let mut fields = text.split_whitespace().map(str::parse::<u64>);
        ran += fields.next().ok_or("the kernel counts no schedstat")??;
        waited += fields.next().ok_or("a short schedstat")??;
    }
    Ok((Duration::from_nanos(ran), Duration::from_nanos(waited)))
}

fn resident_of(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Keeps a process with all its threads to cores.
fn pin(cores: &str, pid: u32) -> Result<()> {
    let done = Command::new("taskset").args(["-acp", cores, &pid.to_string()]).output()?;
    if done.status.success() { Ok(()) } else { Err("taskset failed: two cores are needed".into()) }
}

/// Keeps this process to cores.
pub(crate) fn pin_self(cores: &str) -> Result<()> {
    pin(cores, std::process::id())
}

/// A command that is kept to a core.
pub(crate) fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}
