//! `/version`: which program it is.

use http::{Method, Response, StatusCode};

use super::answer::json;
use super::{Admin, AdminEndpoint, AskedBy, Path};
use crate::report::build;

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::GET,
    path: Path::At("/version"),
    says: "version, commit and the day of the commit",
    asked_by: AskedBy::Everybody,
    answer,
};

fn answer(_: &Admin, _: &str) -> Response<Vec<u8>> {
    let told = serde_json::json!({
        "version": build::VERSION, "commit": build::COMMIT, "commit_date": build::COMMIT_DATE,
    });
    json(StatusCode::OK, &told)
}
