//! `portaria trust show`: what each listener of a configuration trusts. Fetches nothing: of a distribution
//! point it shows the list that was kept on disk.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::day;
use crate::assembly;
use crate::config::Mistake;
use crate::identity::RevocationList;
use crate::identity::revocation::ListOrigin;
use crate::moment::Moment;
use crate::report::Metrics;
use crate::services::lists::Point;

/// Shows the anchors and lists of a configuration, or what is wrong with it.
pub fn run(config: &Path) -> Result<String, Vec<Mistake>> {
    // Fails only for two metrics of one name, and then no gateway starts either.
    let Ok(metrics) = Metrics::new() else {
        return Err(Vec::new());
    };
    let configuration = assembly::load(config, &metrics, None)?.configuration;
    let now = i64::try_from(Moment::now().unix_seconds()).unwrap_or(i64::MAX);
    let mut text = String::new();
    for listener in &configuration.listeners {
        let Some(clients) = &listener.clients else {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}: asks for no certificate", listener.name);
            continue;
        };
        let paths = clients.trust.verifier.paths();
        let _ = writeln!(text, "{}:", listener.name);
        for (name, expiry) in paths.anchors.summary() {
            let state = if expiry < now { "expired" } else { "valid" };
            let _ = writeln!(text, "  anchor  {:<10}  {state:<7}  {name}", day(expiry));
        }
        let Some(revocation) = &paths.revocation else {
            text.push_str("  nobody is looked up in a revocation list\n");
            continue;
        };
        for list in revocation.lists() {
            let _ = writeln!(text, "  {}", describe(&list, now));
        }
        let is_empty = |point: &&Arc<Point>| point.list().current().is_none();
        for point in listener.points.iter().filter(is_empty) {
            let _ = writeln!(text, "  list    none kept  {}", point.url());
        }
    }
    Ok(text)
}

fn describe(list: &RevocationList, now: i64) -> String {
    let state = match () {
        () if list.this_update > now => "future",
        () if list.next_update < now => "expired",
        () => "valid",
    };
    let number: String = list.number.iter().map(|byte| format!("{byte:02x}")).collect();
    let (from, until, entries) = (day(list.this_update), day(list.next_update), list.entries());
    let kept = if list.origin == ListOrigin::Point { " (kept)" } else { "" };
    format!(
        "list    {from} to {until}  {state:<7}  number {number}, {entries} entries, {}{kept}",
        list.source
    )
}
