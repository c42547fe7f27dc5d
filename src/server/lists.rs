//! Fetching revocation lists beside everything else: when, how many at a time, and what is said of it.
//!
//! Takes the distribution points of the configuration in force; follows each in a task of its own, on a runtime
//! of its own, so that a list of some megabytes delays no request and lists are here before the first one. A
//! reload goes on following the points that it keeps. What becomes of a fetch is decided by the point
//! ([`crate::services::lists`]); here it is logged and counted.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use crate::assembly::ListenerConfiguration;
use crate::identity::{Leniency, Trust};
use crate::moment::Moment;
use crate::report::Metrics;
use crate::services::lists::{FetchError, Point, Refreshed};

/// Fetches under way at a time: each may hold a list of the greatest size.
const MOST_AT_A_TIME: usize = 8;

/// A runtime for the fetches.
pub(super) fn runtime() -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("lists").enable_all().build()
}

/// The points that are followed.
pub(super) struct Lists {
    runtime: Handle,
    permits: Arc<Semaphore>,
    told: Arc<ListReport>,
    followed: Mutex<Vec<Followed>>,
}

/// A point whose task ends when nobody follows it any more.
struct Followed {
    point: Arc<Point>,
    task: AbortHandle,
    is_tried: watch::Receiver<bool>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Points that a configuration brings, followed until it is put in force or dropped.
pub(super) struct Begun(Vec<Followed>);

impl Begun {
    /// The points that gave nothing though a listener refuses certificates without a list.
    pub(super) fn lacking(&self, listeners: &[ListenerConfiguration]) -> Vec<&str> {
        let strict = listeners.iter().filter(|listener| refuses_without_list(listener));
        let needed: Vec<_> = strict.flat_map(|listener| &listener.points).collect();
        let points = self.0.iter().map(|followed| &followed.point);
        let empty = points.filter(|point| point.list().current().is_none());
        let lacking = empty.filter(|point| needed.iter().any(|of| Arc::ptr_eq(of, point)));
        lacking.map(|point| point.url()).collect()
    }
}

/// The authorities whose certificates are refused now for want of a list.
fn uncovered(trust: &Trust) -> Vec<String> {
    let at = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    let revocation = trust.verifier.paths().revocation.as_ref();
    let lacking = revocation.map(|revocation| revocation.uncovered(at)).unwrap_or_default();
    lacking.into_iter().map(str::to_owned).collect()
}

fn refuses_without_list(listener: &ListenerConfiguration) -> bool {
    let clients = listener.clients.as_ref();
    let revocation = clients.and_then(|clients| clients.trust.verifier.paths().revocation.as_ref());
    revocation.is_some_and(|revocation| revocation.missing() == Leniency::Refuse)
}

impl Lists {
    /// Follows nothing yet.
    pub(super) fn new(runtime: Handle, metrics: Arc<Metrics>) -> Self {
        Self {
            runtime,
            permits: Arc::new(Semaphore::new(MOST_AT_A_TIME)),
            told: Arc::new(ListReport { metrics, listeners: Mutex::default() }),
            followed: Mutex::default(),
        }
    }

    /// Begins with the points of listeners that are not followed yet, and waits for their first answers, but
    /// not for ever.
    pub(super) async fn begin(
        &self,
        listeners: &[ListenerConfiguration],
        within: Duration,
    ) -> Begun {
        let mut begun = Vec::new();
        for point in points_of(listeners) {
            let is_it = |followed: &Followed| Arc::ptr_eq(&followed.point, point);
            if !begun.iter().any(is_it) && !self.followed.lock().iter().any(is_it) {
                begun.push(self.follow(point.clone()));
            }
        }
        let tried: Vec<_> = begun.iter().map(|followed| followed.is_tried.clone()).collect();
        let all = async {
            for mut is_tried in tried {
                // An error means that the task has ended: nothing will be tried.
                let _ = is_tried.wait_for(|is_tried| *is_tried).await;
            }
        };
        // What comes later counts later; what must be here by now `lacking` asks.
        let _ = tokio::time::timeout(within, all).await;
        Begun(begun)
    }

    /// Goes on with the points of these listeners and no others. Those that were followed before are asked
    /// now: whoever reloads wants the newest of everything.
    pub(super) fn put_in_force(&self, listeners: &[ListenerConfiguration], begun: Begun) {
        self.told.take_over(listeners);
        let mut followed = self.followed.lock();
        followed.retain(|known| points_of(listeners).any(|of| Arc::ptr_eq(of, &known.point)));
        // Before the new ones are among them, which have just been asked.
        followed.iter().for_each(|known| known.point.want_now());
        followed.extend(begun.0);
    }

    /// Whether each authority has the list in force without which its certificates would be refused, whichever
    /// point or file it came from.
    pub(super) fn are_complete(&self) -> bool {
        self.told.listeners.lock().iter().all(|(_, trust)| uncovered(trust).is_empty())
    }

    /// The authorities whose certificates these listeners would refuse for want of a list, and those in force do
    /// not.
    pub(super) fn lost(&self, listeners: &[ListenerConfiguration]) -> Vec<String> {
        let in_force = self.told.listeners.lock();
        let lacking_now = |name: &str| {
            let now = in_force.iter().filter(|(of, _)| of == name);
            now.flat_map(|(_, trust)| uncovered(trust)).collect::<Vec<_>>()
        };
        let lost = |(name, trust): (String, Arc<Trust>)| {
            let before = lacking_now(&name);
            uncovered(&trust)
                .into_iter()
                .filter(|lacking| !before.contains(lacking))
                .collect::<Vec<_>>()
        };
        listeners.iter().filter_map(named_trust).flat_map(lost).collect()
    }

    fn follow(&self, point: Arc<Point>) -> Followed {
        let (tried, is_tried) = watch::channel(false);
        let (permits, told) = (self.permits.clone(), self.told.clone());
        let task = self.runtime.spawn(follow(point.clone(), permits, told, tried)).abort_handle();
        Followed { point, task, is_tried }
    }
}

async fn follow(
    point: Arc<Point>,
    permits: Arc<Semaphore>,
    told: Arc<ListReport>,
    tried: watch::Sender<bool>,
) {
    loop {
        let Ok(permit) = permits.acquire().await else {
            return;
        };
        let refreshed = point.refresh().await;
        // Before the pause, which may be hours long.
        drop(permit);
        told.note(&point, &refreshed);
        tried.send_replace(true);
        // A chance of its own, so that gateways that start together do not ask together.
        point.due(fastrand::f64()).await;
    }
}

fn points_of(listeners: &[ListenerConfiguration]) -> impl Iterator<Item = &Arc<Point>> {
    listeners.iter().flat_map(|listener| &listener.points)
}

/// What the log and the metrics say of lists.
struct ListReport {
    metrics: Arc<Metrics>,
    listeners: Mutex<Vec<(String, Arc<Trust>)>>,
}

impl ListReport {
    fn note(&self, point: &Point, refreshed: &Result<Refreshed, FetchError>) {
        let (url, failures) = (point.url(), point.failures());
        match refreshed {
            Ok(refreshed) => self.metrics.note_list_fetch(url, refreshed.as_str()),
            Err(error) => {
                self.metrics.note_list_fetch(url, error.as_str());
                let reason = error.as_str();
                tracing::warn!(
                    point = url,
                    reason,
                    failures,
                    "revocation list not refreshed: {error}"
                );
            }
        }
        if let (Ok(Refreshed::Updated), Some(list)) = (refreshed, point.list().current()) {
            let (next_update, entries) = (list.next_update, list.entries());
            tracing::info!(point = url, next_update, entries, "revocation list refreshed");
        }
        self.note_lists(&self.listeners.lock());
    }

    fn take_over(&self, listeners: &[ListenerConfiguration]) {
        let mut told = self.listeners.lock();
        *told = listeners.iter().filter_map(named_trust).collect();
        self.metrics.forget_lists();
        self.note_lists(&told);
    }

    fn note_lists(&self, listeners: &[(String, Arc<Trust>)]) {
        for (name, trust) in listeners {
            let revocation = trust.verifier.paths().revocation.iter();
            let lists = revocation.flat_map(|revocation| revocation.lists());
            lists.for_each(|list| self.metrics.note_list(name, &list));
        }
    }
}

fn named_trust(listener: &ListenerConfiguration) -> Option<(String, Arc<Trust>)> {
    Some((listener.name.clone(), listener.clients.as_ref()?.trust.clone()))
}
