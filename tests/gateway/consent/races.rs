//! A deletion against readers of a consent that is kept: whatever begins after the deletion was answered is
//! refused, every time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use portaria::lab::client::{Http1Client, Http2Client, Response};

use super::{AUTO, CONSENTS, PERMISSION, patient};
use crate::harness::*;

const LANES: usize = 8;

/// The connections of one lane: races of a lane follow each other, those of different lanes do not wait.
struct Lane {
    deleter: Http1Client,
    reader: Http1Client,
    http2: Http2Client,
}

/// What the readers of all races were answered.
#[derive(Default)]
struct Tally {
    admitted: AtomicUsize,
    refused: AtomicUsize,
    refused_during: AtomicUsize,
}

impl Tally {
    /// Judges an answer; `is_late` if its request began after the deletion was answered.
    fn take(&self, answer: &Response, is_late: bool) {
        match answer.status.as_u16() {
            200 => {
                assert!(!is_late, "admitted after the deletion");
                self.admitted.fetch_add(1, Ordering::SeqCst);
            }
            _ => {
                assert_refused(answer, 401, "CONSENTIMENTO_NAO_AUTORIZADO");
                let counter = if is_late { &self.refused } else { &self.refused_during };
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

fn over_http2(method: &str, target: &str, token: &str) -> http::Request<()> {
    http::Request::builder()
        .method(method)
        .uri(format!("https://localhost{target}"))
        .header("x-fapi-interaction-id", INTERACTION_ID)
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap()
}

/// How a consent is deleted.
#[derive(Clone, Copy)]
struct Course {
    over_http1: bool,
    /// Whether the registry ever learns of it.
    registry_learns: bool,
}

/// One race: readers over HTTP/1.1 and HTTP/2 that do not stop before each has asked after the deletion.
async fn race(lab: &Lab, lane: &mut Lane, course: Course, manage: &str, tally: &Tally) {
    let consent = lab.consent(&[PERMISSION]);
    let token = lab.user_token("insurance-auto", &consent);
    let read = Request::get(AUTO).bearer(&token).to_bytes();
    let warm = lane.reader.exchange(&read).await.unwrap();
    assert_eq!(warm.status, 200);
    tally.take(&warm, false);
    let demand = if course.registry_learns { "" } else { "?lab=status:204" };
    let target = format!("{CONSENTS}/{consent}{demand}");
    let deleted = AtomicBool::new(false);
    let Lane { deleter, reader, http2 } = lane;
    let delete = async {
        let answer = if course.over_http1 {
            let request = Request::new("DELETE", &target).bearer(manage).to_bytes();
            deleter.exchange(&request).await
        } else {
            http2.exchange(over_http2("DELETE", &target, manage), Bytes::new()).await
        };
        assert_eq!(answer.unwrap().status, 204);
        deleted.store(true, Ordering::SeqCst);
    };
    let over_http1 = async {
        let mut is_late = false;
        while !is_late {
            is_late = deleted.load(Ordering::SeqCst);
            tally.take(&reader.exchange(&read).await.unwrap(), is_late);
        }
    };
    let http2 = async {
        let mut is_late = false;
        while !is_late {
            is_late = deleted.load(Ordering::SeqCst);
            let request = over_http2("GET", AUTO, &token);
            tally.take(&http2.exchange(request, Bytes::new()).await.unwrap(), is_late);
        }
    };
    tokio::join!(delete, over_http1, http2);
}

/// Runs races, the lanes at the same time. Gives the lab.
async fn run(settings: &str, races: usize, course: fn(usize) -> Course) -> Arc<Lab> {
    let settings = format!("keep = \"5m\"\n{settings}");
    let change = |config| {
        patient(config).swap("threads = 1", "threads = 2").swap("keep = \"5m\"", &settings)
    };
    let (lab, tally) = (Arc::new(lab_with(change).await), Arc::new(Tally::default()));
    let mut lanes = tokio::task::JoinSet::new();
    for first in 0..LANES {
        let (lab, tally) = (lab.clone(), tally.clone());
        lanes.spawn(async move {
            let manage = lab.client_token("consents");
            let mut lane = Lane {
                deleter: lab.http1().await,
                reader: lab.http1().await,
                http2: lab.http2().await,
            };
            for number in (first..races).step_by(LANES) {
                race(&lab, &mut lane, course(number), &manage, &tally).await;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
    assert_eq!(tally.refused.load(Ordering::SeqCst), 2 * races, "one late reader of each protocol");
    let admitted = tally.admitted.load(Ordering::SeqCst);
    // More than the first reads: there were races, and they were run with what was kept.
    assert!(admitted > races, "{admitted} admitted");
    let reads = lab.recorded().iter().filter(|recorded| recorded.target == AUTO).count();
    assert_eq!(reads, admitted, "the backend saw what was admitted and nothing else");
    lab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_deletion_no_request_is_admitted_in_a_thousand_races() {
    let course = |number| Course { over_http1: number % 2 == 0, registry_learns: number % 4 < 2 };
    let lab = run("", 1000, course).await;
    // Each was kept while it was deleted, but for the few that share a slot with another lane's.
    assert!(lab.consents.lookups() < 1100, "{}", lab.consents.lookups());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_kept_is_found_again_after_a_deletion() {
    // Hardly remembered as ended: it is the registry that refuses, for it is asked anew.
    let course = |number| Course { over_http1: number % 2 == 0, registry_learns: true };
    let lab = run("remember_ended = \"1ms\"", 200, course).await;
    // Two of each race, but for the few readers that came within the millisecond.
    assert!(lab.consents.lookups() >= 350, "{}", lab.consents.lookups());
}
