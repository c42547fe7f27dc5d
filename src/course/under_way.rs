//! How many exchanges the process has under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the exchanges under way in this process: a drain waits for them.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Counts one until what is returned is dropped.
    pub fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::AcqRel);
        Entered(self.0.clone())
    }
}

/// An exchange that is counted as under way.
#[derive(Debug)]
pub struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
