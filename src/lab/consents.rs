//! Consents: the store that the lab's legacy backend writes, and the registry that the gateway asks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::http::StatusCode;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::Result;
use super::http::{Handler, Service, ServiceRequest, ServiceResponse, serve};

/// A consent.
#[derive(Clone, Debug, Default)]
pub struct StoredConsent {
    /// The state, in the regulator's spelling.
    pub status: String,
    /// The permissions.
    pub permissions: Vec<String>,
    /// The client that created it.
    pub client_id: String,
    /// RFC 3339, if it expires.
    pub expiration: Option<String>,
    /// RFC 3339, if that is known.
    pub created: Option<String>,
    /// The consent that shares its fate.
    pub linked: Option<String>,
}

/// The consents, shared by whoever reads or writes them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    records: Arc<Mutex<HashMap<String, StoredConsent>>>,
    created: Arc<AtomicU64>,
    lookups: Arc<AtomicU64>,
}

impl Store {
    /// Creates a consent; gives its id.
    pub fn create(&self, client_id: &str, permissions: &[&str], status: &str) -> String {
        let number = self.created.fetch_add(1, Ordering::Relaxed);
        let id = format!("urn:portaria-lab:C{number:06}");
        let record = StoredConsent {
            status: status.to_owned(),
            permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
            client_id: client_id.to_owned(),
            // What Open Finance's consents 2.2 say of one without end: this API requires an end, too.
            expiration: Some("2300-01-01T00:00:00Z".into()),
            ..StoredConsent::default()
        };
        self.put(&id, record);
        id
    }

    /// Creates or replaces a consent.
    pub fn put(&self, id: &str, record: StoredConsent) {
        self.records.lock().insert(id.to_owned(), record);
    }

    /// A consent.
    pub fn get(&self, id: &str) -> Option<StoredConsent> {
        self.records.lock().get(id).cloned()
    }

    /// Moves a consent to another state.
    pub fn set_status(&self, id: &str, status: &str) {
        if let Some(record) = self.records.lock().get_mut(id) {
            record.status = status.to_owned();
        }
    }

    /// How often the registry was asked.
    pub fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }

    fn answer(&self, request: &ServiceRequest) -> ServiceResponse {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let id = request.path.rsplit('/').next().unwrap_or_default();
        // The gateway asks with the id as one segment, in which a colon may and a slash must be encoded.
        let id = percent_decode_str(id).decode_utf8_lossy();
        let is_enrollment = request.path.starts_with("/enrollments/");
        let id_member = if is_enrollment { "enrollmentId" } else { "consentId" };
        let Some(record) = self.get(&id) else {
            return ServiceResponse::json(StatusCode::NOT_FOUND, &json!({"error": "not found"}));
        };
        let mut data = json!({
            (id_member): id,
            "status": record.status,
            "permissions": record.permissions,
            "clientId": record.client_id,
        });
        let optional =
            [("expirationDateTime", record.expiration), ("creationDateTime", record.created)];
        for (name, value) in optional {
            if let (Some(value), Some(data)) = (value, data.as_object_mut()) {
                data.insert(name.into(), value.into());
            }
        }
        if let (Some(linked), Some(data)) = (record.linked, data.as_object_mut()) {
            data.insert("journey".into(), json!({"isLinked": true, "linkId": linked}));
        }
        ServiceResponse::json(StatusCode::OK, &json!({"data": data}))
    }

    /// Serves the registry.
    pub async fn serve(&self, address: SocketAddr) -> Result<Service> {
        let store = self.clone();
        let handler: Handler = Arc::new(move |request| {
            let store = store.clone();
            Box::pin(async move { store.answer(&request) })
        });
        serve(address, None, handler).await
    }
}
