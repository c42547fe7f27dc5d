//! `/healthz`: that the process lives.

use http::{Method, Response, StatusCode};

use super::answer::json;
use super::{Admin, AdminEndpoint, AskedBy, Path};

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::GET,
    path: Path::At("/healthz"),
    says: "200 while the process lives",
    asked_by: AskedBy::Everybody,
    answer,
};

fn answer(_: &Admin, _: &str) -> Response<Vec<u8>> {
    json(StatusCode::OK, &serde_json::json!({"status": "alive"}))
}
