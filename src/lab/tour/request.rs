//! The tour's requests.

use crate::lab::Result;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct TourRequest {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl TourRequest {
    /// A request with a good interaction id.
    pub(super) fn new(method: &str, target: &str) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: vec![("x-fapi-interaction-id".to_owned(), id)],
            body: String::new(),
        }
    }

    pub(super) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of JSON with a good idempotency key.
    pub(super) fn post(target: &str, body: &str) -> Self {
        let request = Self::new("POST", target).with("x-idempotency-key", "tour");
        let length = body.len().to_string();
        let request =
            request.with("content-type", "application/json").with("content-length", &length);
        Self { body: body.to_owned(), ..request }
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(n, _)| n != name);
        self
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        (text + "\r\n" + &self.body).into_bytes()
    }

    pub(super) fn to_http2(&self) -> Result<::http::Request<()>> {
        let uri = format!("https://localhost{}", self.target);
        let mut request = ::http::Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        Ok(request.body(())?)
    }
}
