//! `/metrics`: all metrics, as Prometheus reads them.

use http::{Method, Response, StatusCode};

use super::answer::text;
use super::{Admin, AdminEndpoint, AskedBy, Path};
use crate::moment::Moment;

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::GET,
    path: Path::At("/metrics"),
    says: "metrics, in the text format of Prometheus",
    asked_by: AskedBy::Everybody,
    answer,
};

fn answer(admin: &Admin, _: &str) -> Response<Vec<u8>> {
    let report = &admin.report;
    let scraped = report.metrics.scrape(&report.times, report.dropped_lines(), Moment::now());
    // The version of Prometheus' text format, which scrapers choose a parser by.
    text(StatusCode::OK, "text/plain; version=0.0.4", scraped)
}
