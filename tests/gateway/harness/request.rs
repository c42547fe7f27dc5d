//! HTTP/1 requests as text, and what every answer must carry.

use portaria::lab::client::Response;

/// A request that a test changes in one point.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
}

pub const INTERACTION_ID: &str = "d78fc4e5-37ca-4da3-adf2-9b082bf92280";

impl Request {
    /// A request with Host and a good interaction id.
    pub fn new(method: &str, target: &str) -> Self {
        let fields = vec![
            ("Host".into(), "localhost".into()),
            ("x-fapi-interaction-id".into(), INTERACTION_ID.into()),
        ];
        Self { method: method.into(), target: target.into(), fields, body: String::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of JSON with a good idempotency key.
    pub fn post(target: &str, body: &str) -> Self {
        Self::new("POST", target).with("x-idempotency-key", "key-1").content(body)
    }

    pub fn content(mut self, body: &str) -> Self {
        self.body = body.into();
        self.with("Content-Type", "application/json")
            .with("Content-Length", &body.len().to_string())
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        (text + "\r\n" + &self.body).into_bytes()
    }
}

/// Fields that an answer may carry. Anything else leaks something.
const ALLOWED: [&str; 22] = [
    "x-callback-interaction-id",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "deprecation",
    "retry-after",
    "strict-transport-security",
    "sunset",
    "transfer-encoding",
    "www-authenticate",
    "x-content-type-options",
    "x-fapi-interaction-id",
    "x-frame-options",
    "x-rate-limit",
    "x-rate-limit-remaining",
    "x-rate-limit-time",
    "x-v",
    "link",
];

/// What every answer carries, whatever its status.
pub fn assert_common_fields(response: &Response) {
    for name in response.headers.keys() {
        assert!(ALLOWED.contains(&name.as_str()), "{name} must not leave: {response:?}");
        assert_eq!(response.headers.get_all(name).iter().count(), 1, "{name} stands twice");
    }
    for (name, value) in [
        ("cache-control", "no-store"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(response.field(name), Some(value), "{response:?}");
    }
    assert!(response.field("strict-transport-security").is_some(), "{response:?}");
    let date = response.field("date").expect("every answer has a Date");
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    let id = response.field("x-fapi-interaction-id").expect("every answer has an interaction id");
    assert!(!id.is_empty() && id.len() <= 100, "{id}");
}

/// An answer that refuses: status, body in the form of the ecosystem, the fields that go with it.
#[track_caller]
pub fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status.as_u16(), status, "{response:?}");
    assert_eq!(response.field("content-type"), Some("application/json; charset=utf-8"));
    let body = response.json();
    let item = &body["errors"][0];
    assert_eq!(item["code"], code, "{body}");
    for member in ["title", "detail"] {
        assert!(item[member].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
    assert_eq!(item["requestDateTime"].as_str().map(str::len), Some(20), "{body}");
    assert_eq!(item.as_object().unwrap().len(), 4, "{body}");
    assert_eq!(body["errors"].as_array().unwrap().len(), 1);
    assert!(body["meta"]["totalRecords"].is_number() && body["meta"]["totalPages"].is_number());
    let challenged = response.field("www-authenticate").is_some();
    assert_eq!(challenged, matches!(status, 401 | 403), "{response:?}");
    let retried = response.field("retry-after").map(|text| text.parse::<u64>().unwrap());
    match status {
        429 | 503 => assert!(retried.is_some_and(|seconds| seconds >= 1), "{response:?}"),
        _ => assert_eq!(retried, None, "{response:?}"),
    }
    assert_eq!(response.field("allow").is_some(), status == 405, "{response:?}");
}
