//! `/consents/{digest}`: what is kept of a consent ends.

use http::{Method, Response};

use super::answer::purge;
use super::{Admin, AdminEndpoint, AskedBy, Path};

pub(super) const ENDPOINT: AdminEndpoint = AdminEndpoint {
    method: Method::DELETE,
    path: Path::Below("/consents/", "digest"),
    says: "ends what is kept of the consent whose id has this SHA-256",
    asked_by: AskedBy::WhoMeansIt,
    answer,
};

fn answer(admin: &Admin, digest: &str) -> Response<Vec<u8>> {
    purge(digest, |id| admin.purge.purge_consent(id))
}
