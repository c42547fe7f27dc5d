//! A timer that is moved as seldom as can be.
//!
//! Deadlines are instants, made once for each phase of an exchange; most pass unneeded. Setting a timer for each costs
//! more than the wait itself when the answer is there soon. So one timer serves one deadline after another: it is set
//! anew only when it would ring too late, or rings too early.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// The timer. It costs nothing before it is waited for.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at the deadline and not before.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(deadline);
        // Boxed when it is first needed: most alarms never are.
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // Moved only to ring sooner: one that rings too early is set again then, which most never need.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            // It may be an earlier deadline's ring, for one that was met.
            if tokio::time::Instant::now() >= deadline {
                return Poll::Ready(());
            }
            // And polled once more, by the loop: a timer that was reset wakes nobody before it was polled.
            sleep.as_mut().reset(deadline);
        }
    }

    /// Ends at the deadline.
    pub async fn ring(&mut self, deadline: Instant) {
        std::future::poll_fn(|cx| self.poll(cx, deadline)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_each_deadline_whatever_the_one_before() {
        let start = tokio::time::Instant::now();
        let mut alarm = Alarm::default();
        for seconds in [30, 40, 45, 46] {
            let deadline = start + Duration::from_secs(seconds);
            alarm.ring(deadline.into_std()).await;
            let late = tokio::time::Instant::now() - deadline;
            assert!(late < Duration::from_millis(5), "{late:?}");
        }
        let sooner = tokio::time::Instant::now() + Duration::from_secs(100);
        let waited = tokio::time::timeout(Duration::from_secs(1), alarm.ring(sooner.into_std()));
        assert!(waited.await.is_err());
        alarm.ring((tokio::time::Instant::now() + Duration::from_secs(2)).into_std()).await;
        assert!(tokio::time::Instant::now() < sooner);
    }
}
