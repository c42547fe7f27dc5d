//! `/decisions/{interaction id}`: the last refusals, for `portaria explain --id`.

use http::{Method, Response, StatusCode};

use super::answer::{json, text};
use super::{Admin, AdminEndpoint, AskedBy, Path};

/// Where the last refusals are found, by interaction id.
pub const DECISIONS: &str = "/decisions/";

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::GET,
    path: Path::Below(DECISIONS, "interaction id"),
    says: "the last refusals of requests with this x-fapi-interaction-id",
    asked_by: AskedBy::Everybody,
    answer,
};

fn answer(admin: &Admin, id: &str) -> Response<Vec<u8>> {
    match admin.report.refusal_log.of(id) {
        Some(found) => text(StatusCode::OK, "application/json", found),
        None => json(StatusCode::NOT_FOUND, &serde_json::json!([])),
    }
}
