//! An operation that is asked for twice: carried out once, answered twice, never to somebody who would be
//! refused now; and what is left of it on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use portaria::lab::client::Response;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::consent::purge::purge;
use crate::harness::scripted::Scripted;
use crate::harness::*;
use crate::reload::reload;

const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const THINGS: &str = "/open-insurance/demo/v1/things";
const ORDERS: &str = "/open-insurance/demo/v1/orders";
const ORDER: &str = "DEMO_ORDER_CREATE";
const ON_DISK: &str = "portaria_idempotency_records";

const POLICY: &str = r#"api = "demo"
version = "1.2.3"
base_path = "/open-insurance/demo/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "POST"
path = "/things"
access = "client"
scope = "demo"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/things/{thingId}"
access = "client"
scope = "demo"
idempotency_key = "required"

[[routes]]
method = "PUT"
path = "/things/{thingId}"
access = "client"
scope = "demo"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/others"
access = "client"
scope = "demo"
idempotency_key = "ignored"

[[routes]]
method = "POST"
path = "/orders"
access = "consented"
scope = "demo"
permission = "DEMO_ORDER_CREATE"
consent_use = "initiate"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/certified"
access = "certificate"
idempotency_key = "required"

[[routes]]
method = "POST"
path = "/open"
access = "open"
idempotency_key = "required"
"#;

/// A lab whose gateway keeps answers.
struct Keeping {
    lab: Lab,
    store: TempDir,
}

impl Keeping {
    async fn new() -> Self {
        Self::with("", |config| config).await
    }

    /// With more settings, and a configuration that was changed.
    async fn with(settings: &str, change: impl FnOnce(String) -> String) -> Self {
        let store = tempfile::tempdir().unwrap();
        let policies = store.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        std::fs::create_dir(store.path().join("answers")).unwrap();
        std::fs::write(policies.join("demo.toml"), POLICY).unwrap();
        let shipped = crate::harness::policies();
        std::fs::copy(shipped.join("consents-v3.toml"), policies.join("consents.toml")).unwrap();
        let key = store.path().join("key");
        portaria::lab::directory::write_secret(&key, &"k".repeat(32)).unwrap();
        let table = format!(
            "\n[idempotency]\ndirectory = \"{}\"\nkey_file = \"{}\"\n{settings}\n",
            store.path().join("answers").display(),
            key.display(),
        );
        let lab = lab_with(|config| {
            let shipped = shipped.display().to_string();
            change(config.swap(&shipped, &policies.display().to_string()) + &table)
        })
        .await;
        Self { lab, store }
    }

    fn directory(&self) -> std::path::PathBuf {
        self.store.path().join("answers")
    }

    fn reached(&self) -> usize {
        self.lab.recorded().len()
    }

    fn post(&self, path: &str, body: &str) -> Request {
        Request::post(path, body).bearer(&self.lab.client_token("demo"))
    }

    fn consent(&self, body: &str) -> Request {
        Request::post(CONSENTS, body).bearer(&self.lab.client_token("consents"))
    }

    /// A customer's request under a consent.
    fn order(&self, consent: &str) -> Request {
        Request::post(ORDERS, "{}").bearer(&self.lab.user_token("demo", consent))
    }

    async fn send(&self, request: &Request) -> Response {
        self.lab.send(request).await
    }

    /// Sends a request that must be answered 201.
    async fn create(&self, request: &Request) -> Response {
        let response = self.send(request).await;
        assert_eq!(response.status, 201, "{response:?}");
        response
    }

    async fn restart(&mut self, signal: &str) {
        self.lab.gateway.signal(signal);
        self.start_again().await;
    }

    /// Starts the gateway again, once it has ended.
    async fn start_again(&mut self) {
        self.lab.gateway.end().await;
        self.lab.gateway = Gateway::start(&self.lab.directory.path().join("config.toml")).await;
    }
}

/// More time for the backend, and for those who wait for it.
fn patient(config: String) -> String {
    let config = config.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"");
    config.swap("first_byte_timeout = \"500ms\"", "first_byte_timeout = \"10s\"")
}

fn without_key(config: String) -> String {
    config.lines().filter(|l| !l.starts_with("key_file")).map(|l| format!("{l}\n")).collect()
}

#[tokio::test]
async fn a_duplicate_gets_the_same_answer_and_the_backend_one_request() {
    let keeping = Keeping::new().await;
    let first = keeping.create(&keeping.consent("{}")).await;
    let other_id = "00000000-0000-4000-8000-000000000001";
    let duplicate = keeping.consent("{}").without("x-fapi-interaction-id");
    let duplicate = duplicate.with("x-fapi-interaction-id", other_id);
    let mut connection = keeping.lab.http1().await;
    for _ in 0..2 {
        let again = connection.exchange(&duplicate.to_bytes()).await.unwrap();
        assert_common_fields(&again);
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.field("content-type"), Some("application/json"));
        assert_eq!(again.field("x-v"), Some("3.0.0"));
        assert_eq!(again.field("x-fapi-interaction-id"), Some(other_id), "the new request's own");
        assert!(again.field("x-rate-limit-remaining") < first.field("x-rate-limit-remaining"));
    }
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn an_answer_keeps_the_fields_that_are_its_own() {
    let keeping = Keeping::new().await;
    for demand in ["verbose", "chunked"] {
        let request = keeping.post(&format!("{THINGS}/{demand}?lab={demand}"), "{}");
        let (first, again) = (keeping.create(&request).await, keeping.create(&request).await);
        assert_eq!(first.body, again.body);
        assert_eq!(again.field("content-length"), Some(&*first.body.len().to_string()));
        assert_eq!(again.field("transfer-encoding"), None);
        assert_eq!(again.field("x-v"), Some("1.2.3"));
    }
    assert_eq!(keeping.reached(), 2);
    let empty = keeping.post(&format!("{THINGS}?lab=big:0"), "{}");
    let mut connection = keeping.lab.http1().await;
    for _ in 0..3 {
        let answer = connection.exchange(&empty.to_bytes()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.field("content-length")), (200, Some("0")));
    }
    assert_eq!(keeping.reached(), 3);
}

#[tokio::test]
async fn a_replay_is_told_apart_in_log_and_metrics_and_took_the_backend_no_time() {
    let keeping = Keeping::new().await;
    for _ in 0..2 {
        keeping.create(&keeping.post(THINGS, "{}")).await;
    }
    let log = || keeping.lab.gateway.access_log();
    eventually("two lines", || async { log().len() == 2 }).await;
    let outcomes: Vec<Value> = log().iter().map(|line| line["portaria.outcome"].clone()).collect();
    assert_eq!(outcomes, ["answered", "replayed"]);
    let [first, again] = [&log()[0], &log()[1]];
    assert_eq!(first["portaria.upstream"], "legacy");
    assert!(first["portaria.backend_duration_us"].is_number());
    assert_eq!(again["http.response.status_code"], 201);
    assert_eq!(again["portaria.upstream"], Value::Null);
    assert_eq!(again["portaria.backend_duration_us"], Value::Null);
    let series = |outcome: &str| {
        format!(
            "portaria_requests_total{{api=\"demo\",class=\"medium\",outcome=\"{outcome}\",\
             route=\"{THINGS}\",status_class=\"2xx\"}}"
        )
    };
    keeping.lab.expect_metric(&series("replayed"), 1.0).await;
    keeping.lab.expect_metric(&series("answered"), 1.0).await;
    let count = |metric: &str| format!("{metric}_count{{api=\"demo\",class=\"medium\"}}");
    keeping.lab.expect_metric(&count("portaria_response_time_seconds"), 2.0).await;
    keeping.lab.expect_metric(&count("portaria_backend_time_seconds"), 1.0).await;
}

#[tokio::test]
async fn a_key_with_another_content_is_422() {
    let keeping = Keeping::new().await;
    let request = keeping.post(&format!("{THINGS}?a=1"), r#"{"a": 1}"#);
    keeping.create(&request).await;
    for (target, body) in [
        ("?a=1", r#"{"a": 2}"#),
        ("?a=1", r#"{"a":1}"#),
        ("?a=1", ""),
        ("?a=2", r#"{"a": 1}"#),
        ("", r#"{"a": 1}"#),
    ] {
        let other = keeping.post(&format!("{THINGS}{target}"), body);
        assert_refused(&keeping.send(&other).await, 422, "ERRO_IDEMPOTENCIA");
    }
    keeping.create(&request).await;
    assert_eq!(keeping.reached(), 1);
    let refusals =
        "portaria_refusals_total{code=\"idempotency_other_content\",stage=\"idempotency\"}";
    keeping.lab.expect_metric(refusals, 5.0).await;
}

#[tokio::test]
async fn a_key_belongs_to_one_client_and_one_resource() {
    let keeping = Keeping::new().await;
    let lab = &keeping.lab;
    let order = || lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let [one, two] = [order(), order()];
    let mut put = keeping.post(&format!("{THINGS}/1"), "{}");
    put.method = "PUT".into();
    let distinct = [
        keeping.consent("{}"),
        keeping.post(THINGS, "{}"),
        keeping.post(THINGS, "{}").without("x-idempotency-key").with("x-idempotency-key", "key-2"),
        keeping.post(&format!("{THINGS}/1"), "{}"),
        keeping.post(&format!("{THINGS}/2"), "{}"),
        put,
        keeping.order(&one),
        keeping.order(&two),
        Request::post("/open-insurance/demo/v1/certified", "{}"),
    ];
    for round in 0..2 {
        for request in &distinct {
            let status = keeping.send(request).await.status.as_u16();
            assert!(matches!(status, 200 | 201), "{round} {status} {request:?}");
        }
        assert_eq!(keeping.reached(), distinct.len(), "round {round}");
    }
    let grant = portaria::lab::authorization::TokenContent {
        client_id: CLIENT_TWO.into(),
        thumbprint: lab.pki.two.thumbprint(),
        ..lab.client_grant("demo")
    };
    let token = lab.authorization.issue_signed(&grant).unwrap();
    for request in [
        Request::post(THINGS, "{}").bearer(&token),
        Request::post("/open-insurance/demo/v1/certified", "{}"),
    ] {
        let reached = keeping.reached();
        let connector = lab.connector(Some(&lab.pki.two));
        for _ in 0..2 {
            let mut connection = connector.http1().await.unwrap();
            assert_eq!(connection.exchange(&request.to_bytes()).await.unwrap().status, 201);
        }
        assert_eq!(keeping.reached(), reached + 1);
    }
}

#[tokio::test]
async fn the_same_path_in_another_spelling_is_the_same_resource() {
    let keeping = Keeping::new().await;
    keeping.create(&keeping.post(&format!("{THINGS}/abc"), "{}")).await;
    for spelling in ["/open-insurance/demo//v1/things/abc", "/open-insurance/demo/v1/things/%61bc"]
    {
        keeping.create(&keeping.post(spelling, "{}")).await;
    }
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn routes_that_ignore_the_key_or_know_no_client_take_no_part() {
    let keeping = Keeping::new().await;
    for path in ["/open-insurance/demo/v1/others", "/open-insurance/demo/v1/open"] {
        let reached = keeping.reached();
        for _ in 0..2 {
            keeping.create(&keeping.post(path, "{}")).await;
        }
        assert_eq!(keeping.reached(), reached + 2, "{path}");
    }
}

#[tokio::test]
async fn without_the_table_every_request_reaches_the_backend() {
    let lab = lab().await;
    let request = Request::post(CONSENTS, "{}").bearer(&lab.client_token("consents"));
    for _ in 0..2 {
        assert_eq!(lab.send(&request).await.status, 201);
    }
    assert_eq!(lab.recorded().len(), 2);
}

fn http2_post(keeping: &Keeping, target: &str) -> http::Request<()> {
    http::Request::post(format!("https://localhost{target}"))
        .header("authorization", format!("Bearer {}", keeping.lab.client_token("consents")))
        .header("content-type", "application/json")
        .header("x-idempotency-key", "key-1")
        .header("x-fapi-interaction-id", INTERACTION_ID)
        .body(())
        .unwrap()
}

#[tokio::test]
async fn fifty_at_once_reach_the_backend_once() {
    let keeping = Keeping::with("", patient).await;
    let target = format!("{CONSENTS}?lab=slow:500");
    let request = Request::post(&target, "{}").bearer(&keeping.lab.client_token("consents"));
    let request = request.to_bytes();
    let http2 = Arc::new(keeping.lab.http2().await);
    let mut connections = Vec::new();
    for _ in 0..25 {
        connections.push(keeping.lab.http1().await);
    }
    let mut answers = JoinSet::new();
    for mut connection in connections {
        let (request, http2) = (request.clone(), http2.clone());
        let over_http2 = http2_post(&keeping, &target);
        answers.spawn(async move { connection.exchange(&request).await.unwrap() });
        answers.spawn(async move {
            http2.exchange(over_http2, Bytes::from_static(b"{}")).await.unwrap()
        });
    }
    let answers = answers.join_all().await;
    assert_eq!(answers.len(), 50);
    for answer in &answers {
        assert_common_fields(answer);
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
    }
    assert_eq!(keeping.reached(), 1);
}

/// A request with a body that is passed on as it comes, without its last byte, on its way to the backend.
async fn half_of_a_long_post(keeping: &Keeping) -> (portaria::lab::client::Http1Client, Request) {
    let long = keeping.consent(&"1".repeat(100_000));
    let bytes = long.to_bytes();
    let mut connection = keeping.lab.http1().await;
    connection.send(&bytes[..bytes.len() - 1]).await.unwrap();
    let is_asked = || async { keeping.lab.backend.connections() == 1 };
    eventually("the backend is connected", is_asked).await;
    (connection, long)
}

fn slow_bodies(config: String) -> String {
    config.swap("body_timeout = \"500ms\"", "body_timeout = \"20s\"")
}

#[tokio::test]
async fn who_has_waited_long_enough_may_come_again() {
    let keeping = Keeping::with("", slow_bodies).await;
    let (mut connection, long) = half_of_a_long_post(&keeping).await;
    // A short body is kept while its caller waits; a long one cannot be.
    for duplicate in [keeping.consent("{}"), long.clone()] {
        let mut other = keeping.lab.http1().await;
        // What is refused before its end is answered before its end.
        let _ = other.send(&duplicate.to_bytes()).await;
        let answer = other.receive(false).await.unwrap();
        assert_refused(&answer, 503, "SERVICO_INDISPONIVEL");
    }
    keeping.lab.assert_untouched();
    assert_eq!(connection.exchange(b"1").await.unwrap().status, 201);
    assert_eq!(keeping.send(&long).await.status, 201);
    assert_eq!(keeping.reached(), 1);
    let refused = "portaria_refusals_total{code=\"idempotency_under_way\",stage=\"idempotency\"}";
    keeping.lab.expect_metric(refused, 2.0).await;
}

/// Whoever holds the body of one request back makes as many others wait as it likes.
#[tokio::test]
async fn waiting_for_ones_own_earlier_request_is_not_the_gateways_time() {
    let keeping = Keeping::with("", slow_bodies).await;
    let (connection, _) = half_of_a_long_post(&keeping).await;
    for _ in 0..2 {
        let answer = keeping.send(&keeping.consent("{}")).await;
        assert_refused(&answer, 503, "SERVICO_INDISPONIVEL");
    }
    let of = |name: &str, labels: &str| format!("portaria_{name}{{{labels}}}");
    let class = "api=\"consents\",class=\"medium\"";
    keeping.lab.expect_metric(&of("response_time_seconds_count", class), 2.0).await;
    let quick = of("response_time_seconds_bucket", &format!("{class},le=\"0.5\""));
    assert_eq!(keeping.lab.metric(&quick).await, 2.0);
    let waited = of("caller_time_seconds_count", "part=\"earlier\"");
    assert_eq!(keeping.lab.metric(&waited).await, 2.0);
    keeping.lab.assert_untouched();
    drop(connection);
}

#[tokio::test]
async fn long_bodies_are_told_apart_by_their_last_byte() {
    let keeping = Keeping::new().await;
    let long = "1".repeat(200_000);
    let first = keeping.create(&keeping.consent(&long)).await;
    let again = keeping.create(&keeping.consent(&long)).await;
    assert_eq!(first.body, again.body);
    // It was received whole, for nobody, and counts like any other.
    let counted = "portaria_response_time_seconds_count{api=\"consents\",class=\"medium\"}";
    keeping.lab.expect_metric(counted, 2.0).await;
    let length = "200000";
    let over_http2 = || {
        let mut request = http2_post(&keeping, CONSENTS);
        request.headers_mut().insert("content-length", length.parse().unwrap());
        request
    };
    let http2 = keeping.lab.http2().await;
    let again = http2.exchange(over_http2(), Bytes::from(long.clone())).await.unwrap();
    assert_eq!(first.body, again.body);
    let other = format!("{}2", &long[1..]);
    let response = http2.exchange(over_http2(), Bytes::from(other.clone())).await.unwrap();
    assert_refused(&response, 422, "ERRO_IDEMPOTENCIA");
    for other in [other.as_str(), "1", "{}"] {
        let response = keeping.send(&keeping.consent(other)).await;
        assert_refused(&response, 422, "ERRO_IDEMPOTENCIA");
    }
    assert_eq!(keeping.reached(), 1);
}

/// A backend may begin to answer before it has the last byte: what it carried out is kept all the same.
#[tokio::test]
async fn an_operation_that_is_answered_before_its_body_has_ended_is_kept() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.head().await {
            link.receive(10).await;
            let head = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
            link.send(head).await;
            link.receive(asked.length - 10).await;
            link.send("}").await;
        }
    })
    .await;
    let keeping = Keeping::with("", |config| {
        let servers =
            config.lines().find(|line| line.starts_with("servers = ")).unwrap().to_owned();
        config.swap(&servers, &format!("servers = [\"{}\"]", backend.address))
    })
    .await;
    let long = keeping.consent(&"1".repeat(200_000));
    let (bytes, mut connection) = (long.to_bytes(), keeping.lab.http1().await);
    connection.send(&bytes[..bytes.len() - 1]).await.unwrap();
    // The answer has begun to pass when the last byte is sent.
    assert_eq!(connection.receive_head().await.unwrap().status, 201);
    connection.send(b"1").await.unwrap();
    assert_eq!(connection.receive_rest().await.unwrap(), "{}");
    assert_eq!(keeping.create(&long).await.body, "{}");
    assert_eq!(backend.asked().len(), 1, "it was carried out once");
}

#[tokio::test]
async fn a_long_duplicate_that_stalls_is_refused_like_any_other() {
    let keeping = Keeping::new().await;
    let long = keeping.consent(&"1".repeat(100_000));
    keeping.create(&long).await;
    let mut connection = keeping.lab.http1().await;
    connection.send(&long.to_bytes()[..50_000]).await.unwrap();
    assert_refused(&connection.receive(false).await.unwrap(), 408, "TEMPO_DE_ENVIO_ESGOTADO");
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn only_200_and_201_are_kept() {
    let keeping = Keeping::new().await;
    for status in [202, 204, 302, 400, 404, 409, 422, 429, 500, 503] {
        let reached = keeping.reached();
        let request = keeping.post(&format!("{THINGS}/{status}?lab=status:{status}"), "{}");
        for _ in 0..2 {
            assert_eq!(keeping.send(&request).await.status, status);
        }
        assert_eq!(keeping.reached(), reached + 2, "{status}");
    }
    for status in [200, 201] {
        let reached = keeping.reached();
        let request = keeping.post(&format!("{THINGS}/{status}?lab=status:{status}"), "{}");
        for _ in 0..2 {
            assert_eq!(keeping.send(&request).await.status, status);
        }
        assert_eq!(keeping.reached(), reached + 1, "{status}");
    }
}

#[tokio::test]
async fn a_fault_of_the_backend_gives_the_key_back() {
    let keeping = Keeping::new().await;
    for (demand, status) in [("silent", 504), ("close", 503), ("malformed", 503)] {
        let reached = keeping.reached();
        let request = keeping.post(&format!("{THINGS}/{demand}?lab={demand}"), "{}");
        for _ in 0..2 {
            assert_eq!(keeping.send(&request).await.status, status, "{demand}");
        }
        assert_eq!(keeping.reached(), reached + 2, "{demand}");
    }
    let request = keeping.consent("{}");
    let mut once = request.clone();
    once.target = format!("{CONSENTS}?lab=close-once");
    assert_refused(&keeping.send(&once).await, 503, "SERVICO_INDISPONIVEL");
    keeping.create(&request).await;
    assert_refused(&keeping.send(&once).await, 422, "ERRO_IDEMPOTENCIA");
}

#[tokio::test]
async fn half_an_answer_is_not_kept() {
    let keeping = Keeping::new().await;
    for demand in ["truncated", "truncated-chunked"] {
        let reached = keeping.reached();
        let request = keeping.post(&format!("{THINGS}/{demand}?lab={demand}"), "{}").to_bytes();
        for _ in 0..2 {
            assert!(keeping.lab.http1().await.exchange(&request).await.is_err(), "{demand}");
        }
        assert_eq!(keeping.reached(), reached + 2, "{demand}");
    }
}

#[tokio::test]
async fn who_waits_takes_over_from_who_failed() {
    let keeping = Keeping::with("", patient).await;
    let target = format!("{CONSENTS}?lab=close-once");
    let request = Request::post(&target, "{}").bearer(&keeping.lab.client_token("consents"));
    let mut answers = JoinSet::new();
    for mut connection in [keeping.lab.http1().await, keeping.lab.http1().await] {
        let request = request.to_bytes();
        answers.spawn(async move { connection.exchange(&request).await.unwrap().status.as_u16() });
    }
    let mut answers = answers.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [201, 503]);
    assert_eq!(keeping.reached(), 2);
}

#[tokio::test]
async fn a_caller_that_leaves_gives_the_key_back() {
    let keeping = Keeping::with("", patient).await;
    let target = format!("{CONSENTS}?lab=slow:1500");
    let request = Request::post(&target, "{}").bearer(&keeping.lab.client_token("consents"));
    let mut connection = keeping.lab.http1().await;
    connection.send(&request.to_bytes()).await.unwrap();
    eventually("the backend has it", || async { keeping.reached() == 1 }).await;
    drop(connection);
    keeping.lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    let first = keeping.create(&request).await;
    assert_eq!(keeping.reached(), 2);
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 2);
}

/// One who waits for another's answer, and what is taken from it meanwhile.
#[tokio::test]
async fn who_waited_is_judged_again() {
    let keeping = Keeping::with("", patient).await;
    let lab = &keeping.lab;
    let consent = lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let mut request = keeping.order(&consent);
    request.target = format!("{ORDERS}?lab=slow:1000");
    let mut first = lab.http1().await;
    first.send(&request.to_bytes()).await.unwrap();
    eventually("the backend has it", || async { keeping.reached() == 1 }).await;
    let mut second = lab.http1().await;
    second.send(&request.to_bytes()).await.unwrap();
    let gateway = &lab.gateway;
    lab.consents.set_status(&consent, "REJECTED");
    assert_eq!(first.receive(false).await.unwrap().status, 201);
    let refused = second.receive(false).await.unwrap();
    assert_refused(&refused, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(keeping.reached(), 1);
    let code = "consent_not_authorised";
    eventually("it is said why", || async {
        gateway.access_log().iter().any(|line| line["portaria.refusal.code"] == code)
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_for_those_who_are_admitted_now() {
    let keeping = Keeping::new().await;
    let lab = &keeping.lab;
    // A consent that ends, a token that is revoked, a token of another certificate, too small a scope.
    let consent = lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let order = keeping.order(&consent);
    keeping.create(&order).await;
    keeping.create(&order).await;
    let opaque = lab.authorization.issue_opaque(&lab.client_grant("demo"));
    let with_opaque = Request::post(&format!("{THINGS}/opaque"), "{}").bearer(&opaque);
    keeping.create(&with_opaque).await;
    let things = keeping.post(THINGS, "{}");
    keeping.create(&things).await;
    assert_eq!(keeping.reached(), 3);

    lab.consents.set_status(&consent, "REJECTED");
    lab.authorization.revoke(&opaque);
    reload_without_memory(&keeping).await;
    assert_refused(&keeping.send(&order).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_refused(&keeping.send(&with_opaque).await, 401, "TOKEN_INVALIDO");
    let mut stranger = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    let response = stranger.exchange(&things.to_bytes()).await.unwrap();
    assert_refused(&response, 401, "TOKEN_INVALIDO");
    let narrow = Request::post(THINGS, "{}").bearer(&lab.client_token("consents"));
    assert_refused(&keeping.send(&narrow).await, 403, "ESCOPO_INSUFICIENTE");
    keeping.create(&things).await;
    assert_eq!(keeping.reached(), 3, "nothing was asked of the backend");
}

#[tokio::test]
async fn who_holds_its_body_back_is_judged_again() {
    let keeping = Keeping::new().await;
    let lab = &keeping.lab;
    let consent = lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let body = "1".repeat(100_000);
    let order = keeping.order(&consent).without("Content-Type").without("Content-Length");
    let long = order.content(&body);
    keeping.create(&long).await;
    let mut head = long.with("Expect", "100-continue");
    head.body.clear();
    let mut connection = lab.http1().await;
    connection.send(&head.to_bytes()).await.unwrap();
    let interim = connection.receive_head().await.unwrap();
    assert!(interim.status.is_informational(), "it was admitted: {interim:?}");
    lab.consents.set_status(&consent, "REJECTED");
    purge(&keeping.lab, &consent).await;
    let response = connection.exchange(body.as_bytes()).await.unwrap();
    assert_refused(&response, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(keeping.reached(), 1);
}

/// The first request uses the consent up, which says nothing against its repetition.
#[tokio::test]
async fn what_used_its_consent_up_is_answered_again() {
    let keeping = Keeping::new().await;
    let lab = &keeping.lab;
    let consent = lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let order = keeping.order(&consent);
    let first = keeping.create(&order).await;
    for status in ["AUTHORISED", "CONSUMED"] {
        lab.consents.set_status(&consent, status);
        purge(&keeping.lab, &consent).await;
        assert_eq!(keeping.create(&order).await.body, first.body, "{status}");
    }
    assert_eq!(keeping.reached(), 1);

    let other_key = order.clone().without("x-idempotency-key").with("x-idempotency-key", "key-2");
    let not_authorised = "CONSENTIMENTO_NAO_AUTORIZADO";
    assert_refused(&keeping.send(&other_key).await, 403, not_authorised);
    let other_body = order.clone().without("Content-Type").without("Content-Length").content("[]");
    assert_refused(&keeping.send(&other_body).await, 422, "ERRO_IDEMPOTENCIA");
    for status in ["REJECTED", "AWAITING_AUTHORISATION"] {
        lab.consents.set_status(&consent, status);
        purge(&keeping.lab, &consent).await;
        assert_refused(&keeping.send(&order).await, 403, not_authorised);
    }
    lab.consents.set_status(&consent, "CONSUMED");
    purge(&keeping.lab, &consent).await;
    keeping.create(&order).await;
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn who_waits_for_what_uses_the_consent_up_gets_its_answer() {
    let keeping = Keeping::with("", patient).await;
    let consent = keeping.lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let slow = Request::post(&format!("{ORDERS}?lab=slow:500"), "{}")
        .bearer(&keeping.lab.user_token("demo", &consent));
    let bytes = slow.to_bytes();
    let mut answers = JoinSet::new();
    for _ in 0..10 {
        let (mut connection, bytes) = (keeping.lab.http1().await, bytes.clone());
        answers.spawn(async move { connection.exchange(&bytes).await.unwrap() });
    }
    for answer in answers.join_all().await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(keeping.reached(), 1);
}

/// A reload after which tokens and consents are asked for anew.
async fn reload_without_memory(keeping: &Keeping) {
    keeping.lab.rewrite_config(|config| {
        config.swap("keep = \"5m\"", "keep = \"4m\"").within("[token]", "cache_capacity = 1000")
    });
    reload(&keeping.lab, "configuration reloaded").await;
}

#[tokio::test]
async fn a_reload_forgets_nothing() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    for settings in ["retention = \"2h\"\ncapacity = 7\n", "max_answer_size = \"1B\"\n"] {
        keeping.lab.rewrite_config(|config| config + settings);
        reload(&keeping.lab, "configuration reloaded").await;
        assert_eq!(keeping.create(&request).await.body, first.body);
    }
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let mut keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    keeping.restart("TERM").await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    let other = keeping.consent("[]");
    assert_refused(&keeping.send(&other).await, 422, "ERRO_IDEMPOTENCIA");
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_the_disk() {
    let mut keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let store = rusqlite::Connection::open(keeping.directory().join("answers.sqlite")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = keeping.create(&request).await;
    keeping.lab.gateway.signal("TERM");
    let address = keeping.lab.gateway.address("mtls");
    eventually("no new connections", || async {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    store.execute_batch("COMMIT").unwrap();
    keeping.start_again().await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn what_is_on_disk_survives_a_crash() {
    let mut keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    keeping.restart("KILL").await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn what_was_under_way_in_a_crash_may_be_asked_again() {
    let mut keeping = Keeping::with("", patient).await;
    let target = format!("{CONSENTS}?lab=slow:1000");
    let request = Request::post(&target, "{}").bearer(&keeping.lab.client_token("consents"));
    let mut connection = keeping.lab.http1().await;
    connection.send(&request.to_bytes()).await.unwrap();
    eventually("the backend has it", || async { keeping.reached() == 1 }).await;
    keeping.restart("KILL").await;
    keeping.create(&request).await;
    assert_eq!(keeping.reached(), 2);
}

#[tokio::test]
async fn two_processes_share_a_store() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    let config = keeping.lab.directory.path().join("config.toml");
    let second = Gateway::start(&config).await;
    let connector = portaria::lab::client::Connector::new(
        second.address("mtls"),
        keeping.lab.pki.root.certificate(),
        Some(&keeping.lab.pki.one),
    );
    let mut connection = connector.unwrap().http1().await.unwrap();
    let again = connection.exchange(&request.to_bytes()).await.unwrap();
    assert_eq!((again.status.as_u16(), again.body), (201, first.body));
    let other = keeping.post(THINGS, "{}");
    assert_eq!(connection.exchange(&other.to_bytes()).await.unwrap().status, 201);
    keeping.lab.expect_metric(ON_DISK, 2.0).await;
    keeping.create(&other).await;
    assert_eq!(keeping.reached(), 2);
}

#[tokio::test]
async fn an_answer_expires() {
    let keeping = Keeping::with("retention = \"1s\"", |config| config).await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    eventually("the operation is carried out again", || async {
        keeping.create(&request).await.body != first.body
    })
    .await;
    assert_eq!(keeping.reached(), 2);
    keeping.lab.expect_metric(ON_DISK, 0.0).await;
    keeping.lab.expect_metric("portaria_idempotency_displaced_records_total", 0.0).await;
}

#[tokio::test]
async fn a_full_store_forgets_the_oldest() {
    let keeping = Keeping::with("capacity = 2", |config| config).await;
    let thing = |number: usize| keeping.post(&format!("{THINGS}/{number}"), "{}");
    for number in 0..4 {
        keeping.create(&thing(number)).await;
    }
    keeping.lab.expect_metric("portaria_idempotency_displaced_records_total", 2.0).await;
    keeping.lab.expect_metric(ON_DISK, 2.0).await;
    for number in [3, 2] {
        keeping.create(&thing(number)).await;
    }
    assert_eq!(keeping.reached(), 4, "the newest are known");
    keeping.create(&thing(0)).await;
    assert_eq!(keeping.reached(), 5, "the oldest are not");
}

/// However many operations a participant has carried out, another one's are remembered.
#[tokio::test]
async fn a_full_store_forgets_of_whoever_fills_it() {
    let keeping = Keeping::with("capacity = 5", |config| config).await;
    let of_one = keeping.post(THINGS, "{}");
    keeping.create(&of_one).await;
    let lab = &keeping.lab;
    let mut grant = lab.client_grant("demo");
    grant.thumbprint = lab.pki.two.thumbprint();
    let of_two = lab.authorization.issue_signed(&grant).unwrap();
    let mut two = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    for number in 0..10 {
        let request = keeping.post(&format!("{THINGS}/{number}"), "{}");
        let request = request.without("authorization").bearer(&of_two);
        assert_eq!(two.exchange(&request.to_bytes()).await.unwrap().status, 201);
    }
    lab.expect_metric("portaria_idempotency_displaced_records_total", 6.0).await;
    let reached = keeping.reached();
    keeping.create(&of_one).await;
    assert_eq!(keeping.reached(), reached, "it is known still");
}

#[tokio::test]
async fn a_store_that_was_removed_is_missed_and_comes_back_with_what_is_known() {
    let keeping = Keeping::new().await;
    let before = keeping.consent("{}");
    keeping.create(&before).await;
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    let gateway = &keeping.lab.gateway;
    std::fs::remove_dir_all(keeping.directory()).unwrap();
    eventually("it is not ready", || async { gateway.admin("/readyz").await.0 == 503 }).await;
    assert!(gateway.admin("/readyz").await.1.contains("\"idempotency\""));
    reload(&keeping.lab, "the one in force stays").await;
    gateway.expect_log("idempotency.directory").await;
    keeping.create(&before).await;
    let meanwhile = keeping.post(THINGS, "{}");
    keeping.create(&meanwhile).await;
    assert_eq!(keeping.reached(), 2, "what is known is not carried out again");
    std::fs::create_dir(keeping.directory()).unwrap();
    eventually("it is ready", || async { gateway.admin("/readyz").await.0 == 200 }).await;
    reload(&keeping.lab, "configuration reloaded").await;
    keeping.lab.expect_metric(ON_DISK, 2.0).await;
    // Both are on disk: the next process knows them.
    let mut keeping = keeping;
    keeping.restart("TERM").await;
    keeping.create(&before).await;
    keeping.create(&meanwhile).await;
    assert_eq!(keeping.reached(), 2);
}

/// The store's file gives way to an empty one, as a tool that cleans up or a restored copy leaves it.
#[tokio::test]
async fn a_store_that_was_replaced_gets_what_the_one_before_held() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    keeping.create(&request).await;
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    for entry in std::fs::read_dir(keeping.directory()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let file = keeping.directory().join("answers.sqlite");
    eventually("there is a store again", || async { file.exists() }).await;
    keeping.create(&request).await;
    let mut keeping = keeping;
    keeping.restart("TERM").await;
    keeping.create(&request).await;
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn check_says_what_a_retention_needs() {
    for (settings, warning) in [
        ("", None),
        ("capacity = 864000", None),
        (
            "capacity = 100000",
            Some(
                "idempotency.capacity: warning: holds 1.1 new operations a second for the retention of 86400 s: 10 a second need a capacity of 864000",
            ),
        ),
        (
            "retention = \"7d\"",
            Some(
                "idempotency.capacity: warning: holds 1.6 new operations a second for the retention of 604800 s: 10 a second need a capacity of 6048000",
            ),
        ),
    ] {
        let keeping = Keeping::with(settings, |config| config).await;
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
            .args(["check", "-c"])
            .arg(keeping.lab.directory.path().join("config.toml"))
            .output()
            .unwrap();
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        match warning {
            Some(warning) => assert!(said.contains(warning), "{said}"),
            None => assert!(!said.contains("idempotency.capacity"), "{said}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_given_again_and_the_operation_not_carried_out_again() {
    let keeping = Keeping::with("max_answer_size = \"1KiB\"", |config| config).await;
    let request = |size: usize| keeping.post(&format!("{THINGS}/{size}?lab=big:{size}"), "{}");
    for _ in 0..2 {
        assert_eq!(keeping.send(&request(900)).await.body.len(), 900);
    }
    assert_eq!(keeping.reached(), 1);
    assert_eq!(keeping.send(&request(2000)).await.body.len(), 2000);
    for _ in 0..2 {
        assert_refused(&keeping.send(&request(2000)).await, 422, "ERRO_IDEMPOTENCIA");
    }
    assert_eq!(keeping.reached(), 2);
    let refused =
        "portaria_refusals_total{code=\"idempotency_answer_not_kept\",stage=\"idempotency\"}";
    keeping.lab.expect_metric(refused, 2.0).await;
}

#[tokio::test]
async fn without_a_key_file_a_duplicate_is_refused_and_no_answer_kept() {
    let mut keeping = Keeping::with("", |config| config).await;
    let answers = keeping.store.path().join("without");
    std::fs::create_dir(&answers).unwrap();
    let (old, new) = (keeping.directory().display().to_string(), answers.display().to_string());
    keeping.lab.rewrite_config(|config| without_key(config.swap(&old, &new)));
    keeping.restart("TERM").await;
    let request = keeping.consent("{}");
    keeping.create(&request).await;
    assert_refused(&keeping.send(&request).await, 422, "ERRO_IDEMPOTENCIA");
    keeping.restart("TERM").await;
    for body in ["{}", "[]"] {
        let response = keeping.send(&keeping.consent(body)).await;
        assert_refused(&response, 422, "ERRO_IDEMPOTENCIA");
    }
    assert_eq!(keeping.reached(), 1);
}

/// Everything that stands in the files of a directory.
fn on_disk(directory: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(directory).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn nothing_personal_stands_on_disk() {
    for with_key in [true, false] {
        let keeping = Keeping::with("", |config| config).await;
        if !with_key {
            std::fs::remove_dir_all(keeping.directory()).unwrap();
            std::fs::create_dir(keeping.directory()).unwrap();
            keeping.lab.rewrite_config(without_key);
            let mut keeping = keeping;
            keeping.restart("KILL").await;
            look_for_canaries(&keeping).await;
        } else {
            look_for_canaries(&keeping).await;
        }
    }
}

async fn look_for_canaries(keeping: &Keeping) {
    let (asked, key, path) = ("cpf-11122233344", "canary-key-0001", "policy-canary-4711");
    let request = keeping.consent(&format!(r#"{{"asked": "{asked}"}}"#));
    let request = request.without("x-idempotency-key").with("x-idempotency-key", key);
    let answer = keeping.create(&request).await;
    let consent = answer.json()["data"]["consentId"].as_str().unwrap().to_owned();
    keeping.create(&keeping.post(&format!("{THINGS}/{path}"), "{}")).await;
    let ordered = keeping.lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    keeping.create(&keeping.order(&ordered)).await;
    keeping.lab.expect_metric(ON_DISK, 3.0).await;
    let found = on_disk(&keeping.directory());
    assert!(found.windows(15).any(|window| window == b"SQLite format 3"));
    for canary in [
        asked,
        key,
        path,
        &consent,
        &ordered,
        CLIENT_ONE,
        "AWAITING_AUTHORISATION",
        "Seguradora",
        "application/json",
        THINGS,
        "demo",
        &"k".repeat(32),
    ] {
        let stands = found.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!stands, "{canary} stands on disk");
    }
}

#[tokio::test]
async fn a_record_that_does_not_open_is_no_answer_and_no_new_operation() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    keeping.create(&request).await;
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    let file = keeping.directory().join("answers.sqlite");
    let store = rusqlite::Connection::open(file).unwrap();
    store.execute("UPDATE answers SET expires = expires + 1", []).unwrap();
    for _ in 0..2 {
        assert_refused(&keeping.send(&request).await, 503, "SERVICO_INDISPONIVEL");
    }
    assert_eq!(keeping.reached(), 1);
    let code = "idempotency_store_unavailable";
    let refused = format!("portaria_refusals_total{{code=\"{code}\",stage=\"idempotency\"}}");
    keeping.lab.expect_metric(&refused, 2.0).await;
    keeping.lab.expect_metric("portaria_idempotency_store_failures_total", 2.0).await;
    // Other operations are not touched by it.
    keeping.create(&keeping.post(THINGS, "{}")).await;
}

#[tokio::test]
async fn what_cannot_be_written_is_known_all_the_same_and_written_later() {
    let keeping = Keeping::new().await;
    let store = rusqlite::Connection::open(keeping.directory().join("answers.sqlite")).unwrap();
    store
        .execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'full'); END;",
        )
        .unwrap();
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    let failing = "new ones wait in memory";
    eventually("the log says so", || async { keeping.lab.gateway.log_contains(failing) }).await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 1);
    store.execute_batch("DROP TRIGGER full;").unwrap();
    keeping.lab.expect_metric(ON_DISK, 1.0).await;
    keeping.lab.gateway.expect_log("the store of idempotent answers is in order again").await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn a_damaged_store_is_not_served_and_a_reload_with_one_changes_nothing() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    let first = keeping.create(&request).await;
    let damaged = keeping.store.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("answers.sqlite"), [0xff; 8192]).unwrap();
    let (old, new) = (keeping.directory().display().to_string(), damaged.display().to_string());
    keeping.lab.rewrite_config(|config| config.swap(&old, &new));
    reload(&keeping.lab, "the one in force stays").await;
    keeping.lab.gateway.expect_log("has a store that cannot be read").await;
    assert_eq!(keeping.create(&request).await.body, first.body);
    assert_eq!(keeping.reached(), 1);
    for command in ["check", "run"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
            .arg(command)
            .arg("-c")
            .arg(keeping.lab.directory.path().join("config.toml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{command}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(" idempotency.directory: "), "{said}");
        assert!(said.contains("(file is not a database), accepted: a directory"), "{said}");
    }
}

#[tokio::test]
async fn a_directory_that_everybody_may_write_to_is_not_taken() {
    let keeping = Keeping::new().await;
    let open = keeping.store.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let (before, after) = (keeping.directory().display().to_string(), open.display().to_string());
    keeping.lab.rewrite_config(|config| config.swap(&before, &after));
    keeping.lab.gateway.signal("HUP");
    keeping.lab.gateway.expect_log("can be written to by everybody on the machine").await;
    assert_eq!(std::fs::read_dir(&open).unwrap().count(), 0);
}

#[tokio::test]
async fn a_new_directory_takes_over_with_a_reload() {
    let keeping = Keeping::new().await;
    let request = keeping.consent("{}");
    keeping.create(&request).await;
    let fresh = keeping.store.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    let (old, new) = (keeping.directory().display().to_string(), fresh.display().to_string());
    keeping.lab.rewrite_config(|config| config.swap(&old, &new));
    reload(&keeping.lab, "configuration reloaded").await;
    for _ in 0..2 {
        keeping.create(&request).await;
    }
    assert_eq!(keeping.reached(), 2);
}

#[tokio::test]
async fn what_may_be_given_to_others_is_asked_for_in_plain() {
    let keeping = Keeping::new().await;
    let gzip = |path: &str| keeping.post(path, "{}").with("Accept-Encoding", "gzip");
    keeping.create(&gzip(THINGS)).await;
    assert_eq!(keeping.lab.last_recorded().field("accept-encoding"), Some("identity"));
    assert_eq!(keeping.lab.last_recorded().field("x-idempotency-key"), Some("key-1"));
    keeping.create(&gzip("/open-insurance/demo/v1/others")).await;
    assert_eq!(keeping.lab.last_recorded().field("accept-encoding"), Some("gzip"));
}

/// The customer's deletion comes while an initiation is under way, which is then answered 201. The registry
/// has not heard of either.
#[tokio::test]
async fn a_consent_that_was_deleted_is_not_one_that_was_used_up() {
    let keeping = Keeping::with("", patient).await;
    let lab = &keeping.lab;
    let consent = lab.consents.create(CLIENT_ONE, &[ORDER], "AUTHORISED");
    let slow = Request::post(&format!("{ORDERS}?lab=slow:700"), "{}")
        .bearer(&lab.user_token("demo", &consent));
    let mut connection = lab.http1().await;
    connection.send(&slow.to_bytes()).await.unwrap();
    eventually("the backend has it", || async { keeping.reached() == 1 }).await;
    let delete = Request::new("DELETE", &format!("{CONSENTS}/{consent}?lab=status:204"));
    let delete = delete.bearer(&lab.client_token("consents"));
    assert_eq!(keeping.send(&delete).await.status, 204);
    assert_refused(
        &keeping.send(&keeping.order(&consent)).await,
        403,
        "CONSENTIMENTO_NAO_AUTORIZADO",
    );
    assert_eq!(connection.receive(false).await.unwrap().status, 201);
    assert_refused(&keeping.send(&slow).await, 403, "CONSENTIMENTO_NAO_AUTORIZADO");
    assert_eq!(keeping.reached(), 2);
}

/// A body that is announced and does not come holds the room of the longest answer, though no backend has
/// anything to answer yet.
#[tokio::test]
async fn uploads_that_stall_leave_other_participants_their_turn() {
    // More of one participant than its ceiling admits by default.
    let ceilings = "\n[limits]\nunder_way = { per_address = 500, per_organisation = 500 }\n";
    let change = |config: String| slow_bodies(config) + ceilings;
    let keeping = Keeping::with("max_answer_size = \"1MiB\"", change).await;
    let lab = &keeping.lab;
    let token = lab.client_token("demo");
    let connector = lab.connector(Some(&lab.pki.one));
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (mut drivers, mut streams) = (JoinSet::new(), Vec::new());
    for number in 0..3 {
        let (mut sender, connection) =
            h2::client::handshake(connector.tls().await.unwrap()).await.unwrap();
        drivers.spawn(connection);
        for stream in 0..90 {
            sender = sender.ready().await.unwrap();
            let request = http::Request::post(format!("https://localhost{THINGS}"))
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json")
                .header("content-length", "100000")
                .header("x-idempotency-key", format!("key-{number}-{stream}"))
                .header("x-fapi-interaction-id", INTERACTION_ID)
                .body(())
                .unwrap();
            let (answer, mut body) = sender.send_request(request, false).unwrap();
            // As much as a backend is asked for.
            body.send_data(Bytes::from(vec![b'1'; 70_000]), false).unwrap();
            streams.push((answer, body));
        }
    }
    let are_under_way = || async { lab.backend.connections() >= 255 };
    eventually("they are under way", are_under_way).await;
    let grant = portaria::lab::authorization::TokenContent {
        client_id: CLIENT_TWO.into(),
        thumbprint: lab.pki.two.thumbprint(),
        ..lab.client_grant("demo")
    };
    let other = lab.authorization.issue_signed(&grant).unwrap();
    let request = Request::post(THINGS, "{}").bearer(&other).to_bytes();
    let mut connection = lab.connector(Some(&lab.pki.two)).http1().await.unwrap();
    let answer = connection.exchange(&request).await.unwrap();
    assert_eq!(answer.status, 201, "{} stalled uploads", streams.len());
}

/// Over HTTP/2 the end of a body may be said after its last byte, and after the backend's answer.
#[tokio::test]
async fn an_operation_whose_stream_ends_late_is_carried_out_once() {
    let keeping = Keeping::with("", slow_bodies).await;
    let long = "1".repeat(100_000);
    let connector = keeping.lab.connector(Some(&keeping.lab.pki.one));
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (sender, connection) = h2::client::handshake(connector.tls().await.unwrap()).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let mut request = http2_post(&keeping, CONSENTS);
    request.headers_mut().insert("content-length", "100000".parse().unwrap());
    let (answer, mut stream) = sender.send_request(request, false).unwrap();
    stream.send_data(Bytes::from(long.clone()), false).unwrap();
    let first = answer.await.unwrap();
    assert_eq!(first.status(), 201);
    let mut body = first.into_body();
    while let Some(piece) = body.data().await {
        piece.unwrap();
    }
    let _ = stream.send_data(Bytes::new(), true);
    keeping.create(&keeping.consent(&long)).await;
    assert_eq!(keeping.reached(), 1);
    driver.abort();
}

#[tokio::test]
async fn a_repeated_answer_has_the_links_that_the_first_one_had() {
    let keeping = Keeping::with("", |config| {
        let key = "name = \"legacy\"\npublic_url = \"https://api.seguradora.example\"";
        config.swap("name = \"legacy\"", key)
    })
    .await;
    let body = "{\"links\":{\"self\":\"http://legacy.internal/a\"}}";
    let request = keeping.post(&format!("{THINGS}?lab=echo"), body);
    for _ in 0..2 {
        let response = keeping.lab.send(&request).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.json()["links"]["self"], "https://api.seguradora.example/a");
    }
    assert_eq!(keeping.reached(), 1);
}

#[tokio::test]
async fn in_shadow_mode_a_used_up_consent_and_a_missing_key_go_on() {
    let keeping = shadowed().await;
    let consent = keeping.lab.consent(&[ORDER]);
    let order = keeping.order(&consent);
    let first = keeping.send(&order).await;
    assert_eq!(first.status, 201);
    let again = keeping.send(&order).await;
    assert_eq!((again.status, again.body, keeping.reached()), (first.status, first.body, 1));
    let series = |code: &str, stage: &str| {
        format!("portaria_would_refuse_total{{api=\"demo\",code=\"{code}\",stage=\"{stage}\"}}")
    };
    let used_up = series("consent_not_authorised", "consent");
    assert_eq!(keeping.lab.metric(&used_up).await, 0.0, "a repetition is admitted by the rules");
    let other = order.clone().without("x-idempotency-key").with("x-idempotency-key", "key-2");
    assert_eq!(keeping.send(&other).await.status, 201);
    assert_eq!(keeping.reached(), 2);
    keeping.lab.expect_metric(&used_up, 1.0).await;
    let keyless = keeping.post(THINGS, "{}").without("x-idempotency-key");
    for reached in [3, 4] {
        assert_eq!(keeping.send(&keyless).await.status, 201);
        assert_eq!(keeping.reached(), reached);
    }
    keeping.lab.expect_metric(&series("request_idempotency_key_missing", "request"), 2.0).await;
}

/// A lab whose rules are in shadow mode.
async fn shadowed() -> Keeping {
    let keeping = Keeping::new().await;
    let policy = POLICY.replacen("upstream", "shadow_until = \"2999-01-01\"\nupstream", 1);
    std::fs::write(keeping.store.path().join("policies/demo.toml"), policy).unwrap();
    reload(&keeping.lab, "configuration reloaded").await;
    keeping
}

/// Two customers of one client, whose consents do not permit the order: the second one must not get the
/// answer of the first, only because neither consent is told of.
#[tokio::test]
async fn in_shadow_mode_no_customer_gets_the_answer_of_another() {
    let keeping = shadowed().await;
    let [one, two] = [keeping.lab.consent(&["OTHER"]), keeping.lab.consent(&["OTHER"])];
    assert_eq!(keeping.send(&keeping.order(&one)).await.status, 201);
    assert_eq!(keeping.send(&keeping.order(&two)).await.status, 201);
    assert_eq!(keeping.reached(), 2, "the order of another customer was taken for a repetition");
}

/// An order that was carried out and is asked for again while the registry is out: enforced, it is refused.
#[tokio::test]
async fn in_shadow_mode_an_outage_of_the_registry_carries_no_operation_out_twice() {
    let mut keeping = shadowed().await;
    let consent = keeping.lab.consent(&[ORDER]);
    let order = keeping.order(&consent);
    assert_eq!(keeping.send(&order).await.status, 201);
    keeping.lab.stop_registry();
    keeping.send(&order).await;
    assert_eq!(keeping.reached(), 1, "one idempotency key, two orders");
}

/// The same the other way round: it went on without a consent that permits it, and is asked for again when
/// the customer has confirmed.
#[tokio::test]
async fn in_shadow_mode_a_consent_that_is_confirmed_later_carries_no_operation_out_twice() {
    let keeping = shadowed().await;
    let consent = keeping.lab.consents.create(CLIENT_ONE, &[ORDER], "AWAITING_AUTHORISATION");
    let order = keeping.order(&consent);
    assert_eq!(keeping.send(&order).await.status, 201);
    keeping.lab.consents.set_status(&consent, "AUTHORISED");
    keeping.send(&order).await;
    assert_eq!(keeping.reached(), 1, "one idempotency key, two orders");
}
