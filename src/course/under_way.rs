//! How many exchanges the process has under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// In place of a number: nobody is there, and nobody will be.
const CLOSED: usize = usize::MAX;

/// Counts the exchanges under way in this process: a drain waits for them.
#[derive(Clone, Debug, Default)]
pub struct ExchangesUnderWay(Arc<AtomicUsize>);

impl ExchangesUnderWay {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self.0.load(Ordering::Acquire) {
            CLOSED => 0,
            count => count,
        }
    }

    /// Counts one until what is returned is dropped. Nothing comes once it is closed: the process is about to end, and
    /// a backend that is asked now would answer nobody.
    pub fn enter(&self) -> Option<Entered> {
        let one_more = |count| (count != CLOSED).then(|| count + 1);
        // Not added blindly: one more than CLOSED is nobody, and the door would be open again.
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        entered.ok().map(|_| Entered(self.0.clone()))
    }

    /// Lets nobody in any more, unless somebody is in. Says whether it is closed: to look first and to close then
    /// would lose whoever came between.
    pub fn close(&self) -> bool {
        let closed = self.0.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        closed.map_or_else(|count| count == CLOSED, |_| true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_when_nobody_is_in_and_then_for_good() {
        let under_way = ExchangesUnderWay::default();
        let (one, two) = (under_way.enter().unwrap(), under_way.enter().unwrap());
        drop(one);
        assert!(!under_way.close());
        assert_eq!(under_way.count(), 1);
        drop((two, under_way.enter().unwrap()));
        assert!(under_way.close());
        assert!(under_way.enter().is_none());
        assert!(under_way.close());
        assert_eq!(under_way.count(), 0);
    }
}
