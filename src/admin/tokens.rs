//! `/tokens/{digest}`: a token is refused from now on.

use http::{Method, Response};

use super::answer::purge;
use super::{Admin, AdminEndpoint, AskedBy, Path};

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::DELETE,
    path: Path::Below("/tokens/", "digest"),
    says: "refuses the token with this SHA-256 from now on",
    asked_by: AskedBy::WhoMeansIt,
    answer,
};

fn answer(admin: &Admin, digest: &str) -> Response<Vec<u8>> {
    purge(digest, |token| admin.purge.purge_token(token))
}
