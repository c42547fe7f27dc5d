//! `/readyz`: whether requests can be decided, and what is missing for it.

use http::{Method, Response, StatusCode};

use super::answer::json;
use super::{Admin, AdminEndpoint, AskedBy, Path};

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::GET,
    path: Path::At("/readyz"),
    says: "200 while requests can be decided; else 503, and what is missing",
    asked_by: AskedBy::Everybody,
    answer,
};

fn answer(admin: &Admin, _: &str) -> Response<Vec<u8>> {
    let missing = admin.readiness.missing();
    let (status, word) = match missing.is_empty() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    json(status, &serde_json::json!({"status": word, "missing": missing}))
}
