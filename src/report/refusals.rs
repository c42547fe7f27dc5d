//! Refused requests of one address, drawn together in the access log.
//!
//! A refusal costs its caller a few bytes, and its line a thousand: beyond a rate the same refusals of an address
//! are counted, by their codes, and told in one line; and so are whatever refusals beyond another. Exchanges
//! that reached a backend always have a line of their own.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::access_log::timestamp;
use super::batches::Pass;
use crate::address::network;
use crate::moment::Moment;

/// Lines of refusals of one code, on one route, that an address has in a window.
const MOST_ALIKE: u64 = 200;
/// Lines of any refusals that it has.
const MOST_LINES: u64 = 2000;
// A participant within its quota is refused 83 times in it at most, and has each line (decision 19).
const WINDOW: Duration = Duration::from_secs(10);
/// Addresses that are told apart; the others have one window together.
const MOST_ADDRESSES: usize = 10_000;

/// The refusals of the current windows.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Option<IpAddr>, Window>>);

struct Window {
    since: Instant,
    lines: u64,
    /// By code and route. No more than lines.
    alike: HashMap<(&'static str, Option<usize>), u64>,
    /// What had no line, by code.
    more: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct RefusalsLine<'a> {
    timestamp: String,
    event: &'static str,
    #[serde(rename = "client.address")]
    address: Option<IpAddr>,
    #[serde(rename = "portaria.count")]
    count: u64,
    #[serde(rename = "portaria.refusals")]
    by_code: &'a BTreeMap<&'static str, u64>,
}

impl Window {
    fn new(since: Instant) -> Self {
        Self { since, lines: 0, alike: HashMap::new(), more: BTreeMap::new() }
    }
}

impl Refusals {
    /// Whether a refusal, on a route if that is known, has a line of its own.
    pub(super) fn admit(
        &self,
        address: IpAddr,
        code: &'static str,
        route: Option<usize>,
        now: Instant,
    ) -> bool {
        let mut windows = self.0.lock();
        // Whoever has one address of IPv6 has a network of them.
        let own = Some(network(address));
        let is_one_more = !windows.contains_key(&own) && windows.len() >= MOST_ADDRESSES;
        let window = windows.entry(if is_one_more { None } else { own });
        let window = window.or_insert_with(|| Window::new(now));
        // Without entries beyond: a stranger must not make the table larger than the lines that it has.
        if window.lines < MOST_LINES {
            let alike = window.alike.entry((code, route)).or_default();
            if *alike < MOST_ALIKE {
                *alike += 1;
                window.lines += 1;
                return true;
            }
        }
        *window.more.entry(code).or_default() += 1;
        false
    }

    /// Tells of the windows that are over, and forgets them.
    pub(super) fn tell(&self, batch: &mut Vec<u8>, pass: Pass, now: Instant) {
        self.0.lock().retain(|address, window| {
            let is_over = pass.is_last || now.duration_since(window.since) >= WINDOW;
            if is_over && !window.more.is_empty() {
                tell(batch, *address, &window.more);
            }
            !is_over
        });
    }
}

fn tell(batch: &mut Vec<u8>, address: Option<IpAddr>, by_code: &BTreeMap<&'static str, u64>) {
    let timestamp = timestamp(Moment::now());
    let count = by_code.values().sum();
    let line = RefusalsLine { timestamp, event: "refusals", address, count, by_code };
    if serde_json::to_writer(&mut *batch, &line).is_ok() {
        batch.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Pass = Pass { lost: 0, is_last: false };

    fn told(refusals: &Refusals, now: Instant) -> Vec<serde_json::Value> {
        let mut batch = Vec::new();
        refusals.tell(&mut batch, END, now);
        let lines = batch.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn refusals_beyond_the_rate_are_one_line_with_their_number() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let [one, other]: [IpAddr; 2] =
            ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let lines = (0..1000).filter(|_| refusals.admit(one, "request_line", None, now)).count();
        assert_eq!(lines as u64, MOST_ALIKE);
        assert!(refusals.admit(one, "request_line", Some(1), now), "another route");
        let lines = (0..3000).filter(|route| refusals.admit(one, "a", Some(*route), now)).count();
        assert_eq!(lines as u64 + MOST_ALIKE + 1, MOST_LINES);
        assert!(refusals.admit(other, "a", None, now));
        assert!(told(&refusals, now).is_empty(), "not yet");
        let line = told(&refusals, now + WINDOW).pop().unwrap();
        assert_eq!(line["event"], "refusals");
        assert_eq!(line["client.address"], "192.0.2.1");
        let by_code = serde_json::json!({"a": 1201, "request_line": 800});
        assert_eq!((&line["portaria.count"], &line["portaria.refusals"]), (&2001.into(), &by_code));
        assert!(refusals.0.lock().is_empty(), "nothing is kept");
        assert!(refusals.admit(one, "request_line", None, now + WINDOW));
    }

    #[test]
    fn addresses_are_told_apart_within_a_bound() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for number in 0..20_000_u32 {
            refusals.admit(IpAddr::V4(number.into()), "request_line", None, now);
        }
        assert_eq!(refusals.0.lock().len(), MOST_ADDRESSES + 1);
        let [one, other]: [IpAddr; 2] =
            ["2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        assert_eq!(network(one), network(other));
    }
}
