//! Lines that are written in batches, by a thread of their own.
//!
//! Whoever has a line appends it to what waits, which wakes nobody: a line that was handed to another thread
//! by itself would cost an exchange more than all of admission. What waits is written every tenth of a
//! second, or as soon as there is enough of it. It is bounded: when the target cannot keep up, lines are
//! dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Longest time that a line waits for others.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the end of the process waits for a target that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes lines.
#[derive(Clone)]
pub(super) struct Batches(Arc<Shared>);

/// Writes what waits when it is dropped.
pub struct Flush(Arc<Shared>);

/// How much a batch has.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchBounds {
    /// Bytes that are written without waiting for more.
    pub(super) enough: usize,
    /// Bytes that may wait.
    pub(super) most: usize,
}

/// A batch that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Lines that were dropped since the batch before.
    pub(super) lost: u64,
    /// Nothing more will come.
    pub(super) is_last: bool,
}

struct Shared {
    bounds: BatchBounds,
    waiting: Mutex<Backlog>,
    /// There is much to write, or nothing more will come.
    due: Condvar,
    written: Condvar,
    dropped: AtomicUsize,
}

#[derive(Default)]
struct Backlog {
    bytes: Vec<u8>,
    has_ended: bool,
    is_written: bool,
}

impl Batches {
    /// Writes lines to `target`. `add` may add to each batch.
    pub(super) fn to(
        name: &str,
        target: impl Write + Send + 'static,
        bounds: BatchBounds,
        add: impl FnMut(&mut Vec<u8>, Pass) + Send + 'static,
    ) -> std::io::Result<(Self, Flush)> {
        let shared = Arc::new(Shared {
            bounds,
            waiting: Mutex::default(),
            due: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicUsize::new(0),
        });
        let writer = shared.clone();
        let thread = std::thread::Builder::new().name(name.to_owned());
        // A thread and no task: a target that takes nothing must stop nobody else.
        thread.spawn(move || writer.write_all(target, add))?;
        Ok((Self(shared.clone()), Flush(shared)))
    }

    /// Takes a line.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.0.waiting.lock();
        let before = waiting.bytes.len();
        // A whole line or none: half of one would spoil the next.
        if before + line.len() > self.0.bounds.most || waiting.has_ended {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes.extend_from_slice(line);
        let enough = self.0.bounds.enough;
        // Only by the line that reaches it: the others would wake who is awake.
        if before < enough && waiting.bytes.len() >= enough {
            self.0.due.notify_one();
        }
    }

    /// How many lines were dropped.
    pub(super) fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn write_all(&self, mut target: impl Write, mut add: impl FnMut(&mut Vec<u8>, Pass)) {
        let mut batch = Vec::new();
        let mut known = 0;
        loop {
            let has_ended = self.await_batch(&mut batch);
            let dropped = self.dropped.load(Ordering::Relaxed);
            let lost = u64::try_from(dropped.saturating_sub(known)).unwrap_or(u64::MAX);
            known = dropped;
            add(&mut batch, Pass { lost, is_last: has_ended });
            if target.write_all(&batch).and_then(|()| target.flush()).is_err() {
                let lines = batch.iter().filter(|byte| **byte == b'\n').count();
                // All of them, though some may be written: a count that is too low would hide a loss.
                self.dropped.fetch_add(lines, Ordering::Relaxed);
                // A target that is broken is not told that it is.
                known += lines;
            }
            batch.clear();
            if has_ended {
                // Under the lock, or it could fall between `Flush`'s look and its wait.
                self.waiting.lock().is_written = true;
                self.written.notify_all();
                return;
            }
        }
    }

    /// Takes what waits, in exchange for an empty buffer; says whether nothing more will come.
    fn await_batch(&self, empty: &mut Vec<u8>) -> bool {
        let mut waiting = self.waiting.lock();
        if !waiting.has_ended && waiting.bytes.len() < self.bounds.enough {
            self.due.wait_for(&mut waiting, PAUSE);
        }
        std::mem::swap(&mut waiting.bytes, empty);
        waiting.has_ended
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.has_ended = true;
        self.0.due.notify_one();
        self.0.written.wait_while_for(&mut waiting, |waiting| !waiting.is_written, PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Result};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const ENOUGH: usize = 64 * 1024;
    const MOST: usize = 1024 * 1024;
    const BOUNDS: BatchBounds = BatchBounds { enough: ENOUGH, most: MOST };

    /// Tells what is written, and answers each write as it is told to.
    struct Target {
        told: Sender<Vec<u8>>,
        answers: Receiver<bool>,
    }

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.told.send(bytes.to_vec()).unwrap();
            match self.answers.recv() {
                Ok(true) => Ok(bytes.len()),
                _ => Err(Error::other("broken")),
            }
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn target() -> (Target, Receiver<Vec<u8>>, Sender<bool>) {
        let ((told, writes), (answer, answers)) = (channel(), channel());
        (Target { told, answers }, writes, answer)
    }

    #[test]
    fn what_waits_at_the_end_is_written_in_its_order() {
        let (target, writes, answer) = target();
        let (batches, flush) = Batches::to("test", target, BOUNDS, |_, _| ()).unwrap();
        for _ in 0..100 {
            answer.send(true).unwrap();
        }
        batches.push(b"one\n");
        batches.push(b"two\n");
        drop(flush);
        let written: Vec<u8> = writes.try_iter().flatten().collect();
        assert_eq!(written, b"one\ntwo\n");
        batches.push(b"three\n");
        assert_eq!(batches.dropped(), 1, "nobody writes it any more");
    }

    #[test]
    fn a_target_that_takes_nothing_costs_lines_and_no_memory() {
        let (target, writes, answer) = target();
        let (batches, _flush) = Batches::to("test", target, BOUNDS, |_, _| ()).unwrap();
        batches.push(&[b'\n'; ENOUGH]);
        assert_eq!(writes.recv().unwrap().len(), ENOUGH);
        // The writer waits for the target now.
        let line = vec![b'x'; MOST / 4];
        for _ in 0..6 {
            batches.push(&line);
        }
        assert_eq!(batches.dropped(), 2);
        answer.send(false).unwrap();
        assert_eq!(writes.recv().unwrap().len(), MOST);
        assert_eq!(batches.dropped(), 2 + ENOUGH, "what could not be written is counted");
        drop(answer);
    }
}
