//! `portaria explain` without a gateway: the verdict, what was compared, and what cannot be told without asking.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use portaria::admission::Step;
use portaria::lab::authorization::{AuthorizationServer, ISSUER, Signer, TokenContent, now};
use portaria::lab::consents::Store;
use portaria::services::key_sets::kept::KeySetKeeper;
use serde_json::{Value, json};

use crate::harness::*;

const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const GET: [&str; 4] = ["--method", "GET", "--path", RESOURCES];
const CERTIFICATE: [&str; 2] = ["--cert", "one.pem"];
const TOKEN: [&str; 2] = ["--token", "token"];
const CONSENT: [&str; 2] = ["--consent", "consent.json"];
const CONSENT_ID: &str = "urn:portaria:consent:1";

/// A directory with a configuration whose services nobody must ask: they listen, and nothing answers.
struct Desk {
    directory: tempfile::TempDir,
    services: TcpListener,
    authorization: AuthorizationServer,
}

fn desk() -> Desk {
    desk_with(|config| config)
}

fn desk_with(change: impl FnOnce(String) -> String) -> Desk {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::new("key-1", &pki().signer_pem).unwrap();
    let authorization = AuthorizationServer::new(signer, Store::default());
    write_files(directory.path(), pki(), &authorization);
    let services = TcpListener::bind(LOOPBACK).unwrap();
    services.set_nonblocking(true).unwrap();
    let address = services.local_addr().unwrap();
    let config = change(default_config(address, address, address, &policies()));
    let desk = Desk { directory, services, authorization };
    desk.put("config.toml", &config);
    for (name, identity) in
        [("one", &pki().one), ("foreign", &pki().foreign), ("nameless", &pki().nameless)]
    {
        desk.put(&format!("{name}.pem"), &identity.chain_pem);
    }
    desk.put("token", &desk.token("resources"));
    desk.put_consent("AUTHORISED", &["RESOURCES_READ"]);
    desk
}

impl Desk {
    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn put_consent(&self, status: &str, permissions: &[&str]) {
        let data = json!({
            "consentId": CONSENT_ID, "status": status, "permissions": permissions,
            "expirationDateTime": "2300-01-01T00:00:00Z", "clientId": CLIENT_ONE,
        });
        self.put("consent.json", &json!({ "data": data }).to_string());
    }

    fn grant(&self, scope: &str) -> TokenContent {
        TokenContent {
            client_id: CLIENT_ONE.into(),
            scope: format!("openid consent:{CONSENT_ID} {scope}"),
            subject: Some("customer".into()),
            thumbprint: pki().one.thumbprint(),
            lifetime: 900,
        }
    }

    fn token(&self, scope: &str) -> String {
        self.authorization.issue_signed(&self.grant(scope)).unwrap()
    }

    fn run(&self, arguments: &[&[&str]]) -> Output {
        let output = explain(self.directory.path(), &arguments.concat(), None);
        let nobody = self.services.accept().map(drop).map_err(|error| error.kind());
        assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock), "a service was asked");
        output
    }

    /// What is said, if it ends with this code.
    #[track_caller]
    fn says(&self, arguments: &[&[&str]], code: i32) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        for secret in [CONSENT_ID, CLIENT_ONE, "eyJ", "lab-secret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        text
    }
}

pub fn explain(directory: &Path, arguments: &[&str], input: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portaria"));
    command.current_dir(directory).env_remove("PORTARIA_CONFIG").arg("explain").args(arguments);
    let Some(input) = input else {
        return command.stdin(Stdio::null()).output().unwrap();
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Has these lines, in this order, perhaps among others.
#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    let mut found = text.lines();
    for line in lines {
        assert!(
            found.any(|found| found == *line),
            "{line:?} is missing or out of order in\n{text}"
        );
    }
}

#[test]
fn an_allowed_request_passes_every_stage() {
    let desk = desk();
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &CONSENT], 0);
    assert_lines(
        &text,
        &[
            "limits       passed      nothing was counted before",
            "request      passed      head",
            "identity     passed      the certificate leads to a trust anchor",
            "request      passed      path",
            "route        passed      GET /open-insurance/resources/v3/resources",
            "request      passed      media types",
            "token        passed      valid, bound to the certificate, a customer's",
            "interaction  passed      interaction id",
            "consent      passed      permission: wanted RESOURCES_READ, found RESOURCES_READ",
            "allowed      it reaches the backend",
        ],
    );
    assert!(
        text.contains("\nscope        passed      scope: wanted resources, found openid consent:")
    );
    assert!(!text.contains("refused") && !text.contains("not judged"), "{text}");
}

#[test]
fn a_refused_request_is_told_as_the_gateway_tells_it() {
    let desk = desk();
    desk.put_consent("AUTHORISED", &["CUSTOMERS_PERSONAL_ADITTIONALINFO_READ"]);
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &CONSENT], 1);
    assert_lines(
        &text,
        &[
            "interaction  passed      interaction id",
            "consent      refused     consent",
            "refused by   consent (consent_permission, 403)",
            "because      the consent lacks the permission of the route",
            "compared     permission",
            "wanted       RESOURCES_READ",
            "found        CUSTOMERS_PERSONAL_ADITTIONALINFO_READ",
            "request      GET /open-insurance/resources/v3/resources",
            "listener     mtls",
            "answer       403, WWW-Authenticate: Bearer error=\"insufficient_scope\"",
        ],
    );
    let other = ["--token", "other"];
    desk.put("other", &desk.token("customers"));
    let text = desk.says(&[&GET, &CERTIFICATE, &other, &CONSENT], 1);
    assert_lines(
        &text,
        &[
            "token        passed      valid, bound to the certificate, a customer's",
            "scope        refused     scope",
            "interaction  not judged  interaction id",
            "consent      not judged  consent",
            "refused by   scope (scope_insufficient, 403)",
        ],
    );
    let json = desk.says(&[&GET, &CERTIFICATE, &other, &CONSENT, &["--json"]], 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    let record = &json[0];
    assert_eq!((&record["verdict"], &record["step"]), (&"refused".into(), &"scope".into()));
    assert_eq!((&record["code"], &record["status"]), (&"scope_insufficient".into(), &403.into()));
    assert_eq!(record["compared"]["wanted"], "resources");
    assert_eq!(record.get("times"), None);
}

#[test]
fn what_goes_on_in_shadow_mode_is_told_and_reaches_the_backend() {
    let own = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(policies().join("resources-v3.toml")).unwrap();
    let text = text.replacen("upstream = ", "shadow_until = \"2999-01-01\"\nupstream = ", 1);
    std::fs::write(own.path().join("resources.toml"), text).unwrap();
    let (shipped, own) = (policies().display().to_string(), own.path().display().to_string());
    let desk = desk_with(|config| config.swap(&shipped, &own));
    desk.put_consent("REJECTED", &["RESOURCES_READ"]);
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &CONSENT], 0);
    assert_lines(
        &text,
        &[
            "consent      refuses     consent",
            "would refuse consent (consent_not_authorised, 401)",
            "but          shadow mode: it reaches the backend",
            "found        REJECTED",
        ],
    );
    // Nor does it let anybody in.
    desk.says(&[&GET, &CERTIFICATE, &CONSENT], 1);
    // What the rules say may depend on what is not known.
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN], 1);
    assert_lines(&text, &["undecided by consent"]);
}

#[test]
fn the_handshake_is_judged_by_the_verifier_of_the_listener() {
    let desk = desk();
    for (certificate, reason) in [("foreign", "unknown_issuer"), ("nameless", "")] {
        let file = format!("{certificate}.pem");
        let text = desk.says(&[&GET, &["--cert", &file], &TOKEN, &CONSENT], 1);
        match reason {
            "" => assert_lines(&text, &["refused by   identity (identity_organisation, 401)"]),
            reason => assert_lines(&text, &[&format!("refused by   handshake ({reason}, -)")]),
        }
    }
    let none = desk.says(&[&GET, &TOKEN, &["--listener", "mtls"]], 1);
    assert_lines(&none, &["refused by   handshake (certificate_required, -)"]);
    // Certificates of tests live for a day.
    let late = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &["--at", "2099-01-01T00:00:00Z"]], 1);
    assert_lines(
        &late,
        &["refused by   handshake (expired, -)", "at           2099-01-01T00:00:00Z"],
    );
}

#[test]
fn without_a_certificate_it_is_a_public_listener() {
    let desk = desk();
    let open = ["--method", "GET", "--path", "/open-insurance/channels/v2/branches"];
    let text = desk.says(&[&open], 0);
    assert_lines(
        &text,
        &["identity     passed      the listener asks for no certificate", "listener     public"],
    );
    assert!(!text.contains("token") && !text.contains("consent"), "{text}");
    let text = desk.says(&[&GET], 1);
    assert_lines(&text, &["refused by   route (route_not_found, 404)", "answer       404"]);
}

#[test]
fn what_would_have_to_be_asked_is_undecided() {
    let desk = desk();
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN], 1);
    let advice =
        "because      the gateway would ask the consent registry: --consent FILE gives its answer";
    assert_lines(&text, &["consent      undecided   consent", "undecided by consent", advice]);
    assert!(!text.contains("answer "), "{text}");
    desk.put("opaque", "an-opaque-token");
    let opaque = ["--token", "opaque"];
    let text = desk.says(&[&GET, &CERTIFICATE, &opaque, &CONSENT], 1);
    assert_lines(&text, &["token        undecided   token", "undecided by token"]);
    assert!(text.contains("--introspection FILE gives its answer"), "{text}");
    // What is given decides, either way.
    let mut claims = desk.grant("resources").claims();
    claims["active"] = true.into();
    desk.put("answer.json", &claims.to_string());
    let answer = ["--introspection", "answer.json"];
    desk.says(&[&GET, &CERTIFICATE, &opaque, &CONSENT, &answer], 0);
    desk.put("answer.json", "{\"active\": false}");
    let text = desk.says(&[&GET, &CERTIFICATE, &opaque, &CONSENT, &answer], 1);
    assert_lines(&text, &["refused by   token (token_inactive, 401)"]);
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &["--consent", "none"]], 1);
    assert_lines(&text, &["refused by   consent (consent_unknown, 404)"]);
    // An answer that is not understood is an outage to the gateway, and no lack of an answer.
    desk.put("consent.json", "{}");
    let text = desk.says(&[&GET, &CERTIFICATE, &TOKEN, &CONSENT], 1);
    assert_lines(&text, &["refused by   consent (consent_registry_unavailable, 503)"]);
    assert_lines(&text, &["answer       503, Retry-After: 5"]);
}

#[test]
fn keys_that_would_have_to_be_read_are_given_or_lack() {
    let desk = desk_with(|config| {
        config
            .swap("file = \"jwks.json\"", "url = \"http://127.0.0.1:1/jwks\"")
            .within("[token]", "directory = \"keys\"")
    });
    let question = [&GET[..], &CERTIFICATE, &TOKEN, &CONSENT];
    let text = desk.says(&question, 1);
    assert_lines(&text, &["undecided by token"]);
    assert!(text.contains("--jwks FILE gives it"), "{text}");
    let given = [&question[..], &[&["--jwks", "jwks.json"]]].concat();
    desk.says(&given, 0);
    let stranger = Signer::new("key-2", &pki().signer_pem).unwrap();
    desk.put(
        "token",
        &stranger.sign(&stranger.header(), &desk.grant("resources").claims()).unwrap(),
    );
    let text = desk.says(&given, 1);
    assert_lines(&text, &["refused by   token (token_unknown_key, 401)"]);
    let text = desk.says(&[&question[..], &[&["--jwks", "one.pem"]]].concat(), 64);
    assert!(text.contains("token.issuers[0].jwks: one.pem is not usable"), "{text}");
    // What was given here must not be what a gateway trusts at its next start.
    assert!(!desk.directory.path().join("keys").exists(), "a key set was kept");
}

/// Those that the gateway kept for its next start count as long as they would count there.
#[test]
fn keys_that_were_kept_verify() {
    let desk = desk_with(|config| {
        config
            .swap("file = \"jwks.json\"", "url = \"http://127.0.0.1:1/jwks\"")
            .within("[token]", "directory = \"keys\"")
    });
    let keys = desk.directory.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let keeper = KeySetKeeper::new(&keys, ISSUER);
    let keep = |read_at: u64| {
        let key_set = desk.authorization.signer().jwks();
        let kept = json!({"issuer": ISSUER, "read_at": read_at, "key_set": key_set});
        std::fs::write(keeper.file(), kept.to_string()).unwrap();
    };
    let question = [&GET[..], &CERTIFICATE, &TOKEN, &CONSENT];
    keep(now() - 60);
    desk.says(&question, 0);
    let good = desk.token("resources");
    let other = Signer::new("key-2", &pki().signer_pem).unwrap();
    desk.put("token", &other.sign(&other.header(), &desk.grant("resources").claims()).unwrap());
    assert_lines(&desk.says(&question, 1), &["undecided by token"]);
    desk.put("token", &good);
    keep(now() - 7200);
    assert_lines(&desk.says(&question, 1), &["undecided by token"]);
}

/// The registry's own route ends at the gateway.
#[test]
fn an_event_reaches_no_backend() {
    let webhook = "webhook = { listener = \"public\", path = \"/events\", keys = \"jwks.json\" }";
    let desk =
        desk_with(|config| config.swap("keep = \"5m\"", &format!("keep = \"5m\"\n{webhook}")));
    let event = ["--method", "POST", "--path", "/events"];
    let media = ["--header", "content-type: application/secevent+jwt"];
    let text = desk.says(&[&event, &media], 1);
    assert_lines(&text, &["undecided by consent", "listener     public"]);
    assert!(!text.contains("backend\n") || text.contains("no backend gets it"), "{text}");
    assert_lines(&desk.says(&[&event], 1), &["refused by   request (request_media_type, 415)"]);
}

#[test]
fn the_token_may_come_from_standard_input() {
    let desk = desk();
    let arguments = [&GET[..], &CERTIFICATE, &["--token", "-"], &CONSENT].concat();
    let token = desk.token("resources") + "\n";
    let output = explain(desk.directory.path(), &arguments, Some(&token));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn fields_are_those_of_a_good_request_unless_they_are_named() {
    let desk = desk();
    let question = [&GET[..], &CERTIFICATE, &TOKEN, &CONSENT];
    let with = |more: &[&str], code: i32| desk.says(&[&question[..], &[more]].concat(), code);
    with(&["--header", "accept: application/json"], 0);
    let text = with(&["--header", "accept: text/html"], 1);
    assert_lines(&text, &["refused by   request (request_not_acceptable, 406)"]);
    with(&["--header", "host: api.example.com.br:8443"], 0);
    let elsewhere = ["--header", "host: a.example", "--server-name", "b.example"];
    assert_lines(&with(&elsewhere, 1), &["refused by   request (request_misdirected, 421)"]);
    let text = with(&["--without", "host"], 1);
    assert_lines(&text, &["refused by   request (request_host, 400)"]);
    let complaint = with(&["--without", "cookie"], 64);
    assert_eq!(
        complaint,
        "--without \"cookie\": not there, accepted: host, x-fapi-interaction-id\n"
    );
}

/// A request with every fault there is, of which one after the other is mended: each time the next question
/// is the one that is not passed.
#[test]
fn the_questions_are_asked_in_the_order_in_which_they_are_told() {
    const ORDER: [Step; 9] = [
        Step::Head,
        Step::Target,
        Step::Route,
        Step::Media,
        Step::Participant,
        Step::Token,
        Step::Scope,
        Step::Interaction,
        Step::Repetition,
    ];
    let desk = desk();
    desk.put_consent("AUTHORISED", &["NOTHING"]);
    let path = format!("/open-insurance/claim-notification/v2/request/damage/{CONSENT_ID}");
    desk.put("late", &{
        let mut claims = desk.grant("other").claims();
        claims["exp"] = 1.into();
        let signer = desk.authorization.signer();
        signer.sign(&signer.header(), &claims).unwrap()
    });
    desk.put("other", &desk.token("other"));
    desk.put("good", &desk.token("claim-notification"));
    for mended in 0..=ORDER.len() {
        let is_faulty = |step: Step| ORDER[mended..].contains(&step);
        let path = match () {
            () if is_faulty(Step::Target) => "/open-insurance/../x",
            () if is_faulty(Step::Route) => "/open-insurance/x",
            () => &path,
        };
        let token = match () {
            () if is_faulty(Step::Token) => "late",
            () if is_faulty(Step::Scope) => "other",
            () => "good",
        };
        let certificate = if is_faulty(Step::Participant) { "nameless.pem" } else { "one.pem" };
        let mut arguments = vec!["--method", "POST", "--path", path, "--token", token];
        arguments.extend(["--cert", certificate, "--consent", "consent.json", "--json"]);
        for (step, argument) in [
            (Step::Head, ["--header", "expect: 200-ok"]),
            (Step::Media, ["--header", "accept: text/html"]),
            (Step::Interaction, ["--header", "x-fapi-interaction-id: -"]),
        ] {
            arguments.extend(argument.into_iter().filter(|_| is_faulty(step)));
        }
        if !is_faulty(Step::Repetition) {
            arguments.extend(["--header", "x-idempotency-key: key-1"]);
        }
        let said = String::from_utf8(desk.run(&[&arguments]).stdout).unwrap();
        let record: Value = serde_json::from_str(&said).unwrap();
        let expected = ORDER.get(mended).copied().unwrap_or(Step::Consent);
        assert_eq!(record[0]["step"], json!(expected), "{record}");
        assert_eq!(record[0]["stage"], expected.stage(), "{record}");
    }
    // The table is in the order that admission is held to here.
    assert!(Step::ALL.is_sorted() && ORDER.is_sorted());
}

#[test]
fn bad_input_is_told_and_never_a_verdict() {
    let desk = desk();
    desk.put("empty", "");
    desk.put("two-lines", "a\nb");
    for (arguments, complaint) in [
        (&[][..], "nothing is asked, accepted: --id, or --method and --path"),
        (&["--method", "GET"], "nothing is asked, accepted"),
        (&["--method", "G T", "--path", "/"], "--method \"G T\" is none, accepted: such as GET"),
        (&["--method", "GET", "--path", "x"], "--path is none, accepted"),
        (&["--method", "GET", "--path", "/", "--cert", "none.pem"], "none.pem: cannot be read"),
        (&["--method", "GET", "--path", "/", "--cert", "token"], "--cert token has no certificate"),
        (
            &["--method", "GET", "--path", "/", "--token", "two-lines"],
            "--token two-lines: no token",
        ),
        (&["--method", "GET", "--path", "/", "--at", "noon"], "--at \"noon\" is not understood"),
        (&["--method", "GET", "--path", "/", "--header", "accept"], "--header: no field, accepted"),
        (
            &["--method", "GET", "--path", "/", "--listener", "x"],
            "--listener: there is none that fits, accepted: mtls, public",
        ),
        (&["--method", "GET", "--path", "/", "--colour"], "unexpected argument"),
        (
            &["--method", "GET", "--path", "/", "-c", "nowhere.toml"],
            "nowhere.toml:0: cannot be read",
        ),
    ] {
        let text = desk.says(&[arguments], 64);
        assert!(text.contains(complaint), "{complaint} in {text}");
    }
    desk.put("config.toml", "[token]\n");
    let text = desk.says(&[&GET], 64);
    assert!(text.contains("config.toml:1 token.audiences: is missing"), "{text}");
}
