//! What is asked of a proxy: the same of each, but for the token where a proxy cannot verify PS256.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request};
use portaria::lab::Result;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A customer's policies: an answer of some 300 bytes.
    Small,
    /// One of them: an answer of 64 KiB.
    Large,
    /// A quote: 4 KiB of JSON.
    Post,
}

pub(crate) const SMALL: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
pub(crate) const LARGE: &str = "/open-insurance/insurance-auto/v2/insurance-auto/111111/claim";
pub(crate) const POST: &str = "/open-insurance/quote-auto/v2/lead/request";
const BODY_SIZE: usize = 4096;

impl Ask {
    fn path(self) -> &'static str {
        match self {
            Self::Small => SMALL,
            Self::Large => LARGE,
            Self::Post => POST,
        }
    }

    fn body(self) -> String {
        if self == Self::Post { quote() } else { String::new() }
    }

    fn fields(self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("x-fapi-interaction-id", "d78fc4e5-37ca-4da3-adf2-9b082bf92280".to_owned()),
            ("accept", "application/json".to_owned()),
            ("user-agent", "bench".to_owned()),
        ];
        if self == Self::Post {
            fields.push(("content-type", "application/json".to_owned()));
            fields.push(("content-length", self.body().len().to_string()));
            fields.push(("x-idempotency-key", "73cac523-d3ae-2289-b106-330a6218710d".to_owned()));
        }
        fields
    }
}

/// A body of short strings and numbers, as the ecosystem's are.
fn quote() -> String {
    let mut body = String::from(r#"{"data":{"consentId":"urn:example:1","quoteItems":["#);
    let mut number = 0;
    loop {
        let item = format!(
            r#"{{"code":"{number:06}","description":"Veículo de passeio","amount":{{"amount":"{}.00","unit":{{"code":"R$","description":"BRL"}}}},"isActive":true,"weight":{number}}},"#,
            1000 + number
        );
        if body.len() + item.len() + 20 > BODY_SIZE {
            break;
        }
        body.push_str(&item);
        number += 1;
    }
    body.push_str(r#"{"note":""#);
    while body.len() + 5 < BODY_SIZE {
        body.push('x');
    }
    body.push_str(r#""}]}}"#);
    body
}

/// What the load aims at.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) tls_http2: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    ask: Ask,
    before: Arc<[u8]>,
    after: Arc<[u8]>,
    tokens: Arc<[String]>,
    turn: Arc<AtomicUsize>,
}

impl Target {
    pub(crate) fn new(
        address: SocketAddr,
        [tls, tls_http2]: [Arc<ClientConfig>; 2],
        ask: Ask,
        tokens: Arc<[String]>,
    ) -> Result<Self> {
        let method = if ask == Ask::Post { "POST" } else { "GET" };
        let before = format!(
            "{method} {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ",
            ask.path()
        );
        let mut after = String::from("\r\n");
        for (name, value) in ask.fields() {
            after.push_str(&format!("{name}: {value}\r\n"));
        }
        after.push_str("\r\n");
        after.push_str(&ask.body());
        Ok(Self {
            address,
            tls,
            tls_http2,
            name: ServerName::try_from("localhost")?,
            ask,
            before: before.into_bytes().into(),
            after: after.into_bytes().into(),
            tokens,
            turn: Arc::default(),
        })
    }

    /// The next request over HTTP/1.1: with the next token, if there are many.
    pub(crate) fn next<'b>(&self, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        let is_made = !buffer.is_empty() && self.tokens.len() == 1;
        if !is_made {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let token = self.tokens.get(turn % self.tokens.len().max(1));
            buffer.clear();
            buffer.extend_from_slice(&self.before);
            buffer.extend_from_slice(token.map(String::as_bytes).unwrap_or_default());
            buffer.extend_from_slice(&self.after);
        }
        buffer
    }

    /// The request over HTTP/2, and its body.
    pub(crate) fn http2(&self) -> Result<(Request<()>, Bytes)> {
        let token = self.tokens.first().map(String::as_str).unwrap_or_default();
        let mut request = Request::builder()
            .method(if self.ask == Ask::Post { Method::POST } else { Method::GET })
            .uri(format!("https://localhost{}", self.ask.path()))
            .version(http::Version::HTTP_2)
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in self.ask.fields() {
            request = request.header(name, value);
        }
        Ok((request.body(())?, Bytes::from(self.ask.body())))
    }
}
