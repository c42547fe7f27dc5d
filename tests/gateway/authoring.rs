//! `portaria policy import openapi`: specifications made here, good and bad, through the real command.

use std::path::Path;
use std::process::{Command, Output};

use crate::errors::Forms;
use crate::harness::*;

/// A specification with what the official ones have: a customer's route, a client's, a table of permissions.
const DEMO: &str = r#"openapi: 3.0.0
info:
  title: API Demo
  version: 2.1.0
  description: |
    ### `/things`
      - permissions:
        - GET: **DEMO_READ**
servers:
  - url: https://api.example/open-insurance/demo/v2
  - url: https://test.example/open-insurance/demo/v2/
paths:
  /things:
    parameters:
      - $ref: '#/components/parameters/id'
    get:
      security:
        - OpenId: [openid]
          OAuth2: ['consent:consentId', demo]
      responses:
        '200': {description: ok}
  /orders:
    post:
      parameters:
        - $ref: '#/components/parameters/id'
        - {name: X-Idempotency-Key, in: header, required: true}
      requestBody: {$ref: '#/components/requestBodies/order'}
      security:
        - Client: [demo-orders]
      responses:
        '422': {$ref: '#/components/responses/refused'}
components:
  parameters:
    id:
      name: x-fapi-interaction-id
      in: header
      required: true
      schema: {$ref: '#/components/schemas/id'}
  requestBodies:
    order:
      content: {application/json; charset=utf-8: {schema: {type: object}}}
  responses:
    refused:
      content: {application/json: {schema: {properties: {errors: {type: object, properties: {code: {enum: [ERRO_IDEMPOTENCIA, NAO_INFORMADO]}}}}}}}
  schemas:
    id:
      type: string
      pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'
  securitySchemes:
    OpenId: {type: openIdConnect, openIdConnectUrl: 'https://as.example'}
    OAuth2: {type: oauth2, flows: {authorizationCode: {scopes: {demo: all}}}}
    Client: {type: oauth2, flows: {clientCredentials: {scopes: {demo-orders: all}}}}
"#;

const DECISIONS: &str = r#"[[decisions]]
below = ["/open-insurance/demo"]
class = "medium"
reason = "Demonstrations are of the medium class."
source = "nowhere"
"#;

const POLICY: &str = r#"# demo, version 2.
#
# Written by `portaria policy import openapi`: to change it, change the decisions and import again.
# From:
# - demo 2.1.0 (API Demo)
#
# Decided: class = "medium". Demonstrations are of the medium class. Source: nowhere.

api = "demo"
version = "2.1.0"
base_path = "/open-insurance/demo/v2"
scopes = ["demo", "demo-orders"]
class = "medium"
interaction_id = { form = "uuid", missing = "refuse", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "POST"
path = "/orders"
access = "client"
scope = "demo-orders"
idempotency_key = "required"
errors = "object"

[[routes]]
method = "GET"
path = "/things"
access = "consented"
scope = "demo"
permission = "DEMO_READ"
consent_use = "read"
"#;

struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.path("specs")).unwrap();
        std::fs::create_dir(desk.path("policies")).unwrap();
        desk.write("specs/demo.yaml", DEMO);
        desk.write("decisions.toml", DECISIONS);
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_portaria"))
            .current_dir(self.directory.path())
            .args(["policy", "import", "openapi", "-o", "policies"])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Imports with the decisions above: exit code, what it reports, what it complains of.
    fn import(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut all = vec!["specs", "--permissions", "decisions.toml"];
        all.extend(arguments);
        let output = self.run(&all);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn has_no_policy(&self) -> bool {
        std::fs::read_dir(self.path("policies")).unwrap().next().is_none()
    }
}

#[test]
fn an_import_writes_what_the_specification_says_and_the_decisions() {
    let desk = Desk::new();
    let (code, report, complaints) = desk.import(&[]);
    assert_eq!(
        report,
        "demo-v2.toml (new)\n  + POST /orders: client, demo-orders\n  + GET /things: consented, demo, \
         DEMO_READ\n1 specifications, 1 policies, 2 routes, 1 policies changed\n"
    );
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    assert_eq!(desk.read("policies/demo-v2.toml").as_deref(), Some(POLICY));
    let (code, report, _) = desk.import(&["--check"]);
    assert_eq!(report, "1 specifications, 1 policies, 2 routes, 0 policies changed\n");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn an_imported_policy_is_enforced() {
    let desk = Desk::new();
    // Two specifications of one base path, each with a version of its own.
    let other = DEMO.swap("2.1.0", "2.0.3").swap("/orders", "/others");
    let other = other.swap("  /things:\n", "  x-things:\n");
    desk.write("specs/other.yaml", &other);
    let (code, report, complaints) = desk.import(&[]);
    assert_eq!(code, Some(0), "{report}{complaints}");
    let policies = desk.path("policies").display().to_string();
    let lab = lab_with(|config| {
        config.swap(&crate::harness::policies().display().to_string(), &policies)
    })
    .await;
    let order = |path: &str| {
        let request = Request::post(path, "{}");
        request.bearer(&lab.client_token("demo-orders"))
    };
    let consent = lab.consent(&["OTHER_READ"]);
    let things = Request::get("/open-insurance/demo/v2/things");
    let things = things.bearer(&lab.user_token("demo", &consent));
    assert_refused(&lab.send(&things).await, 403, "PERMISSAO_INSUFICIENTE");
    let orders = order("/open-insurance/demo/v2/orders").without("x-idempotency-key");
    Forms::read().assert_accepts("object", &lab.send(&orders).await);
    lab.assert_untouched();
    for (path, version) in [("orders", "2.1.0"), ("others", "2.0.3")] {
        let response = lab.send(&order(&format!("/open-insurance/demo/v2/{path}"))).await;
        assert!(response.status.is_success(), "{response:?}");
        assert_eq!(response.field("x-v"), Some(version), "{path}");
    }
}

#[test]
fn the_form_of_errors_is_told_from_their_schemas() {
    let (object, closed) =
        ("type: object", "properties: {code: {enum: [ERRO_IDEMPOTENCIA, NAO_INFORMADO]}}");
    let meta = "}, meta: {required: [requestDateTime]}}";
    for (schema, form) in [
        ("type: array, items: {type: object}}}".to_owned(), None),
        (format!("type: array, items: {{type: object, {closed}}}}}}}"), Some("closed")),
        (format!("type: array, items: {{type: object}}, {closed}}}}}"), Some("closed")),
        (format!("{object}, {closed}}}}}"), Some("object")),
        (format!("{object}, {closed}{meta}"), Some("dated-meta")),
        (
            format!("type: array, items: {{required: [resquetDateTime], {closed}}}}}}}"),
            Some("misspelt"),
        ),
        // What is like none of them is taken for the common one, and said.
        (format!("{object}}}}}"), Some("unusual")),
        ("type: array, items: {required: [resquetDateTime]}}}".to_owned(), Some("unusual")),
        ("type: array, items: {properties: {code: {enum: [A]}}}}}".to_owned(), Some("unusual")),
    ] {
        let desk = Desk::new();
        let was = format!("{object}, {closed}}}}}");
        assert!(DEMO.contains(&was));
        desk.write("specs/demo.yaml", &DEMO.replace(&was, &schema));
        let (code, report, complaints) = desk.import(&[]);
        assert_eq!(code, Some(0), "{report}{complaints}");
        let expected = match form {
            None | Some("unusual") => POLICY.swap("errors = \"object\"\n", ""),
            Some(form) => POLICY.replace("\"object\"", &format!("{form:?}")),
        };
        assert_eq!(desk.read("policies/demo-v2.toml"), Some(expected), "{schema}");
        assert_eq!(
            complaints.contains("is unusual"),
            form == Some("unusual"),
            "{schema}: {complaints}"
        );
    }
}

/// A specification is somebody else's text: it must not become a route that it does not describe.
#[test]
fn nothing_of_a_specification_becomes_a_route_of_its_own() {
    let evil =
        "\\n[[routes]]\\nmethod = \\\"GET\\\"\\npath = \\\"/evil\\\"\\naccess = \\\"open\\\"\\n#";
    for (was, is) in [
        (
            "- OpenId: [openid]\n          OAuth2: ['consent:consentId', demo]",
            format!("- OpenId: [\"ok\\\"{evil}\"]\n          OAuth2: ['consent:consentId']"),
        ),
        (
            "- OpenId: [openid]\n          OAuth2: ['consent:consentId', demo]",
            format!("- OpenId: [\"[]{evil}\"]\n          OAuth2: ['consent:consentId']"),
        ),
        ("  /orders:\n", format!("  \"/orders\\\"{evil}\":\n")),
        ("version: 2.1.0", format!("version: \"2.1.0\\\"{evil}\"")),
        ("title: API Demo", format!("title: \"API Demo\\\"{evil}\"")),
    ] {
        let desk = Desk::new();
        desk.write("specs/demo.yaml", &DEMO.swap(was, &is));
        let (_, report, complaints) = desk.import(&[]);
        let Some(policy) = desk.read("policies/demo-v2.toml") else { continue };
        let policy: toml::Table = policy.parse().unwrap();
        let routes = policy["routes"].as_array().unwrap();
        let is_evil = |route: &&toml::Value| route["path"].as_str() == Some("/evil");
        assert_eq!(routes.iter().filter(is_evil).count(), 0, "{is}\n{report}{complaints}");
    }
}

#[test]
fn bounds_of_path_and_query_are_taken_from_their_schemas() {
    let desk = Desk::new();
    let everywhere = "    parameters:\n      - $ref: '#/components/parameters/id'\n";
    let declared = |text: &str| format!("      - {{{text}}}\n");
    let parameters = [
        "name: thingId, in: path, schema: {maxLength: 60}",
        "name: consentId, in: path, schema: {pattern: '^urn:[a-zA-Z0-9][a-zA-Z0-9-]{0,31}:[a-zA-Z0-9()+,\\-.:=@;$_!*''%\\/?#]+$', maxLength: 256}",
        "name: page-size, in: query, schema: {type: integer, minimum: 1, maximum: 1000}",
        "name: period, in: query, schema: {type: string, enum: [CURRENT, ALL]}",
        "name: line, in: query, schema: {type: string}",
        "name: other, in: path, schema: {pattern: '^(?!x)'}",
        "name: 'a\"b', in: query, schema: {type: string}",
    ];
    let all: String = parameters.iter().map(|text| declared(text)).collect();
    let specification = DEMO
        .swap(everywhere, &format!("{everywhere}{all}"))
        .swap("  /things:\n", "  /things/{thingId}/{consentId}/{other}:\n");
    desk.write("specs/demo.yaml", &specification);
    let decisions = DECISIONS
        .swap("class =", "consent_parameter = \"none\"\npermission = \"DEMO_READ\"\nclass =");
    desk.write("decisions.toml", &decisions);
    let (_, _, complaints) = desk.import(&[]);
    let written = desk.read("policies/demo-v2.toml").unwrap_or(complaints.clone());
    for line in [
        "path_parameters = [{ name = \"consentId\", max_length = 256, form = \"urn\" }, { name = \"thingId\", max_length = 60 }]\n",
        "query = [{ name = \"line\" }, { name = \"page-size\", least = 1, most = 1000 }, { name = \"period\", values = [\"CURRENT\", \"ALL\"] }]\n",
    ] {
        assert!(written.contains(line), "{written}");
    }
    assert!(complaints.contains("not checked: the pattern of other is not known"), "{complaints}");
}

#[test]
fn x_v_is_negotiated_where_it_is_declared() {
    let at = "        - $ref: '#/components/parameters/id'\n        - {name: X-Idemp";
    let everywhere = "    parameters:\n      - $ref: '#/components/parameters/id'\n";
    assert!(DEMO.contains(at) && DEMO.contains(everywhere));
    let declared = "{name: x-v, in: header}";
    let of_one = DEMO.swap(at, &format!("        - {declared}\n{at}"));
    let of_all = of_one.swap(everywhere, &format!("{everywhere}      - {declared}\n"));
    let (route, top) = ("path = \"/orders\"\n", "scopes = [\"demo\", \"demo-orders\"]\n");
    for (specification, after) in [(of_one, route), (of_all, top)] {
        let desk = Desk::new();
        desk.write("specs/demo.yaml", &specification);
        let (code, report, complaints) = desk.import(&[]);
        assert_eq!(code, Some(0), "{report}{complaints}");
        let expected = POLICY.swap(after, &format!("{after}x_v = \"negotiated\"\n"));
        assert_eq!(desk.read("policies/demo-v2.toml"), Some(expected));
    }
}

#[test]
fn importing_again_tells_what_changes_and_nothing_else() {
    let desk = Desk::new();
    desk.import(&[]);
    let changed = DEMO
        .swap("DEMO_READ", "DEMO_ALL_READ")
        .swap("2.1.0", "2.2.0")
        .swap("  /orders:\n    post:", "  /orders:\n    put:");
    desk.write("specs/demo.yaml", &changed);
    let expected = "demo-v2.toml\n  \
        ~ GET /things: permission \"DEMO_READ\" -> \"DEMO_ALL_READ\"; version \"2.1.0\" -> \"2.2.0\"\n  \
        - POST /orders: client, demo-orders\n  \
        + PUT /orders: client, demo-orders\n";
    let (code, report, _) = desk.import(&["--check"]);
    let mut lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.pop(), Some("1 specifications, 1 policies, 2 routes, 1 policies changed"));
    let (mut found, mut wanted) = (lines, expected.lines().collect::<Vec<_>>());
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert_eq!(code, Some(1));
    assert_eq!(
        desk.read("policies/demo-v2.toml").as_deref(),
        Some(POLICY),
        "a check writes nothing"
    );
    assert_eq!(desk.import(&[]).0, Some(0));
    let (code, report, _) = desk.import(&["--check"]);
    assert!(report.starts_with("1 specifications"), "{report}");
    assert_eq!(code, Some(0));
}

#[test]
fn comments_and_keys_of_another_hand_do_not_pass_unseen() {
    let desk = Desk::new();
    desk.write("policies/demo-v2.toml", &format!("# By hand.\n{POLICY}"));
    desk.write("policies/other-v1.toml", "nothing that the import reads");
    let (_, report, _) = desk.import(&["--check"]);
    assert!(report.starts_with("demo-v2.toml (comments and order only)\n1 spec"), "{report}");
    let other =
        POLICY.swap("consent_use = \"read\"\n", "consent_use = \"read\"\nother = [1, {a = 2}]\n");
    desk.write("policies/demo-v2.toml", &other);
    let (_, report, _) = desk.import(&["--check"]);
    assert!(report.contains("\n  ~ GET /things: other [1, { a = 2 }] -> nothing\n"), "{report}");
    desk.write("policies/demo-v2.toml", "api = \"demo\"\nversion = \n");
    let (code, _, complaints) = desk.import(&[]);
    assert!(complaints.starts_with("policies/demo-v2.toml:2: "), "{complaints}");
    assert_eq!((code, complaints.lines().count()), (Some(64), 1));
}

#[test]
fn routes_keep_their_upstream_unless_one_is_named() {
    let desk = Desk::new();
    let elsewhere = POLICY.swap("scope = \"demo\"\n", "scope = \"demo\"\nupstream = \"b\"\n");
    desk.write("policies/demo-v2.toml", &elsewhere.swap("\"legacy\"", "\"a\""));
    let (code, report, _) = desk.import(&["--check"]);
    assert!(report.contains("(comments and order only)"), "{report}");
    assert_eq!(code, Some(1));
    desk.import(&[]);
    let written = desk.read("policies/demo-v2.toml").unwrap();
    assert!(
        written.contains("upstream = \"a\"") && written.contains("upstream = \"b\""),
        "{written}"
    );
    let (_, report, _) = desk.import(&["--upstream", "c"]);
    let of = |method: &str, name: &str| format!("{method}: upstream \"{name}\" -> \"c\"\n");
    assert!(report.contains(&of("POST /orders", "a")), "{report}");
    assert!(report.contains(&of("GET /things", "b")), "{report}");
    assert_eq!(desk.read("policies/demo-v2.toml").unwrap().matches("upstream = \"c\"").count(), 1);
}

/// One change of the specification or of the decisions after which something of one route cannot be told,
/// and what is said of it.
const UNTOLD: &[(&str, &str, &str, &str)] = &[
    (
        "class = \"medium\"",
        "retired_from = \"2027-01-01\"",
        "GET /open-insurance/demo/v2/things",
        "class cannot be told: specifications do not say it",
    ),
    (
        "**DEMO_READ**",
        "none",
        "GET /open-insurance/demo/v2/things",
        "permission cannot be told: the specification names none",
    ),
    (
        "GET: **DEMO_READ**",
        "GET: **DEMO_READ**\n        - GET: **DEMO_ALL**",
        "GET /open-insurance/demo/v2/things",
        "permission cannot be told: the specification names DEMO_ALL and DEMO_READ",
    ),
    (
        "### `/things`",
        "### `/orders`\n      - POST: **DEMO_ORDER**\n    ### `/things`",
        "POST /open-insurance/demo/v2/orders",
        "permission cannot be told: DEMO_ORDER is of a consent, and the token is the client's own",
    ),
    (
        "        - OpenId: [openid]\n          OAuth2",
        "        - OpenId: [openid]\n        - OAuth2",
        "GET /open-insurance/demo/v2/things",
        "access cannot be told: the specification has alternatives",
    ),
    (
        "['consent:consentId', demo]",
        "[demo]",
        "GET /open-insurance/demo/v2/things",
        "access cannot be told: the flow is authorizationCode, but no scope names a consent",
    ),
    (
        "Client: [demo-orders]",
        "Client: [demo-orders, 'consent:consentId']",
        "POST /open-insurance/demo/v2/orders",
        "access cannot be told: the flow is clientCredentials, but a scope names a consent",
    ),
    (
        "Client: [demo-orders]",
        "Client: []",
        "POST /open-insurance/demo/v2/orders",
        "scope cannot be told: no scope of the API is asked for",
    ),
    (
        "Client: [demo-orders]",
        "{}",
        "POST /open-insurance/demo/v2/orders",
        "access cannot be told: an alternative asks for no token",
    ),
    (
        "      security:\n        - Client: [demo-orders]\n",
        "",
        "POST /open-insurance/demo/v2/orders",
        "access cannot be told: the specification asks for no token",
    ),
    (
        "{type: oauth2, flows: {clientCredentials: {scopes: {demo-orders: all}}}}",
        "{type: apiKey, in: header, name: key}",
        "POST /open-insurance/demo/v2/orders",
        "access cannot be told: a security scheme is of type \"apiKey\"",
    ),
    (
        "{12}$'",
        "{11}$'",
        "GET /open-insurance/demo/v2/things",
        "form cannot be told: the pattern of the interaction id is \"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{11}$\"",
    ),
    (
        "application/json; charset=utf-8",
        "application/jwt",
        "POST /open-insurance/demo/v2/orders",
        "request_body cannot be told: the body is application/jwt",
    ),
    (
        "  /orders:\n    post:",
        "  /orders/{consentId}:\n    post:",
        "POST /open-insurance/demo/v2/orders/{consentId}",
        "consent_parameter cannot be told: the path names a consent ({consentId}), the specification does not say whose",
    ),
    (
        "  /orders:\n    post:",
        "  /orders/{recurring_consent_id}:\n    post:",
        "POST /open-insurance/demo/v2/orders/{recurring_consent_id}",
        "consent_parameter cannot be told: the path names a consent ({recurring_consent_id}), the specification does not say whose",
    ),
    (
        "  /orders:\n    post:",
        "  /enrollments/{id}:\n    post:",
        "POST /open-insurance/demo/v2/enrollments/{id}",
        "consent_parameter cannot be told: the path names a consent ({id}), the specification does not say whose",
    ),
    (
        "  /things:\n    parameters:\n      - $ref: '#/components/parameters/id'\n    get:",
        "  /things:\n    delete:",
        "DELETE /open-insurance/demo/v2/things",
        "consent_use cannot be told: DELETE may or may not consume the consent",
    ),
    (
        "  /orders:\n    post:",
        "  /orders:\n    head:",
        "HEAD /open-insurance/demo/v2/orders",
        "HEAD is no method that a policy can have",
    ),
    (
        "class = \"medium\"",
        "class = \"medium\"\naccess = \"open\"",
        "POST /open-insurance/demo/v2/orders",
        "access cannot be told: open was decided for what is below a path, the specification says client",
    ),
    (
        "class = \"medium\"",
        "class = \"medium\"\nscope = \"openid\"",
        "POST /open-insurance/demo/v2/orders",
        "scope cannot be told: openid was decided for what is below a path, the specification says demo-orders",
    ),
];

#[test]
fn what_cannot_be_told_is_listed_and_left_out() {
    for (good, bad, route, untold) in UNTOLD {
        let desk = Desk::new();
        assert!(DEMO.contains(good) != DECISIONS.contains(good), "{good}");
        desk.write("specs/demo.yaml", &DEMO.replacen(good, bad, 1));
        desk.write("decisions.toml", &DECISIONS.replacen(good, bad, 1));
        let (code, report, complaints) = desk.import(&[]);
        assert_eq!(code, Some(1), "{bad}: {complaints}");
        let line = complaints
            .lines()
            .find(|line| line.contains(&format!(" {route}: warning: left out: ")));
        let line = line.unwrap_or_else(|| panic!("{bad}: {complaints}"));
        assert!(line.starts_with("specs/demo.yaml:") && line.contains(untold), "{bad}: {line}");
        let method = route.split(' ').next().unwrap();
        let path = route.split_once("/v2").unwrap().1;
        assert!(!report.contains(&format!("+ {method} {path}:")), "{report}");
        let written = desk.read("policies/demo-v2.toml").unwrap_or_default();
        assert!(!written.contains(&format!("path = \"{path}\"")), "{written}");
    }
}

#[test]
fn a_decision_is_about_what_could_not_be_told() {
    let desk = Desk::new();
    let open = DEMO.swap("      security:\n        - Client: [demo-orders]\n", "");
    desk.write("specs/demo.yaml", &open);
    let decide =
        |facts: &str| format!("{DECISIONS}\n[[decisions]]\n{facts}\nreason = \"So it is.\"\n");
    desk.write(
        "decisions.toml",
        &decide("below = [\"/open-insurance/demo/v2/orders\"]\naccess = \"open\""),
    );
    let (code, report, complaints) = desk.import(&[]);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    assert!(report.contains("+ POST /orders: open\n"), "{report}");
    let written = desk.read("policies/demo-v2.toml").unwrap();
    assert!(written.contains("# Decided: access = \"open\". So it is.\n[[routes]]\n"), "{written}");
    // With a token asked for again, only a decision about the route itself could let everyone in.
    desk.write("specs/demo.yaml", &DEMO.swap("Client: [demo-orders]", "{}"));
    let (code, _, complaints) = desk.import(&[]);
    assert!(complaints.contains("the specification has a security"), "{complaints}");
    assert_eq!(code, Some(1));
    let exact = "routes = [\"POST /open-insurance/demo/v2/orders\"]\n";
    desk.write("specs/demo.yaml", DEMO);
    desk.write("decisions.toml", &decide(&format!("{exact}access = \"open\"")));
    let (code, report, _) = desk.import(&["--check"]);
    assert!(report.contains("+ POST /orders: open\n"), "{report}");
    assert_eq!(code, Some(1));
    desk.write("decisions.toml", &decide(&format!("{exact}left_out = true")));
    let (_, report, _) = desk.import(&["--check"]);
    assert!(report.contains("left out: demo 2.1.0 (1): So it is.\n"), "{report}");
    assert!(!report.contains("+ POST /orders"), "{report}");
}

#[test]
fn decisions_that_have_had_their_day_are_named() {
    let desk = Desk::new();
    let more = "\n[[decisions]]\nroutes = [\"GET /open-insurance/demo/v2/gone\"]\nclass = \"high\"\nreason = \"r\"\n\
        [[decisions]]\nroutes = [\"GET /open-insurance/demo/v2/things\"]\npermission = \"DEMO_READ\"\nreason = \"r\"\n";
    desk.write("decisions.toml", &format!("{DECISIONS}{more}"));
    let (code, _, complaints) = desk.import(&[]);
    let expected = "decisions.toml:7 decisions[1]: warning: GET /open-insurance/demo/v2/gone is in no specification\n\
        decisions.toml:11 decisions[2]: warning: permission is what the specifications say themselves\n";
    assert_eq!((code, complaints.as_str()), (Some(0), expected));
}

/// One change of the specification, and the exact text that it earns.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "openapi: 3.0.0",
        "openapi: 3.1.0",
        "specs/demo.yaml:1 openapi: is no OpenAPI 3.0, accepted: openapi: 3.0.x",
    ),
    (
        "version: 2.1.0",
        "version: v2",
        "specs/demo.yaml:4 info.version: \"v2\" is no full version, accepted: a version such as 2.0.0, or v2.0.0, or 2.0 for 2.0.0",
    ),
    (
        "version: 2.1.0",
        "version: v2.1-errata2",
        "specs/demo.yaml:4 info.version: \"v2.1-errata2\" is no full version, accepted: a version such as 2.0.0, or",
    ),
    (
        "  version: 2.1.0\n",
        "",
        "specs/demo.yaml:3 info.version: is missing, accepted: a version such as 2.0.0, or",
    ),
    (
        "version: 2.1.0",
        "version: 1.9.0",
        "specs/demo.yaml:10 servers: are of version 2, accepted: that of 1.9.0",
    ),
    (
        "servers:\n  - url: https://api.example/open-insurance/demo/v2\n  - url: https://test.example/open-insurance/demo/v2/\n",
        "",
        "specs/demo.yaml:1 servers: is missing or empty, accepted: URLs such as https://api.example/open-insurance/consents/v3",
    ),
    (
        "https://test.example/open-insurance/demo/v2/",
        "https://test.example/open-insurance/demo/v3",
        "specs/demo.yaml:10 servers: have the paths /open-insurance/demo/v2 and /open-insurance/demo/v3, accepted: one",
    ),
    (
        "https://test.example/open-insurance/demo/v2/",
        "https://{host}/open-insurance/demo/v2",
        "specs/demo.yaml:11 servers: has no usable url, accepted: URLs such as https://api.example/open-insurance/consents/v3",
    ),
    ("paths:\n", "roads:\n", "specs/demo.yaml:1 paths: is missing, accepted: the paths of the API"),
    (
        "  /orders:",
        "  /orders/:",
        "specs/demo.yaml:22 /orders/: it must begin with '/' and have no empty segment, accepted: a path such as \"/a/{b}\"",
    ),
    (
        "  /orders:",
        "  /things:",
        "specs/demo.yaml:22: \"/things\" stands twice, first on line 13, accepted: each key once",
    ),
    (
        "  /orders:",
        "  /{order}: {$ref: '#/paths/~1orders'}\n  /orders:",
        "specs/demo.yaml:24 POST /open-insurance/demo/v2/{order}: overlaps POST /open-insurance/demo/v2/orders at specs/demo.yaml:24, accepted: templates of which a path matches one",
    ),
    (
        "    get:\n      security:",
        "    get: {}\n    get:\n      security:",
        "specs/demo.yaml:17: \"get\" stands twice, first on line 16, accepted: each key once",
    ),
    (
        "    post:",
        "    pots:",
        "specs/demo.yaml:23 /orders: pots is no method, accepted: get, put, post, delete, options, head, patch, trace",
    ),
    (
        "    post:",
        "    servers: []\n    post:",
        "specs/demo.yaml:23 /orders: has servers of its own, accepted: those of the file",
    ),
    (
        "Client: [demo-orders]\n",
        "Clinet: [demo-orders]\n",
        "specs/demo.yaml:29 POST /open-insurance/demo/v2/orders: Clinet is an unknown security scheme, accepted: Client, OAuth2, OpenId",
    ),
    (
        "Client: [demo-orders]\n",
        "Client: [demo-oders]\n",
        "specs/demo.yaml:29 POST /open-insurance/demo/v2/orders: \"demo-oders\" is an unknown scope, accepted: demo-orders",
    ),
    (
        "'#/components/schemas/id'",
        "'#/components/schemas/ids'",
        "specs/demo.yaml:38 $ref: #/components/schemas/ids: leads nowhere, accepted: a part of the file",
    ),
    (
        "'#/components/schemas/id'",
        "'other.yaml#/id'",
        "specs/demo.yaml:38 $ref: other.yaml#/id: is another file, accepted: a reference such as #/components/...",
    ),
    (
        "    id:\n      name: x-fapi-interaction-id\n",
        "    id: {$ref: '#/components/parameters/di'}\n    di: {$ref: '#/components/parameters/id'}\n    was:\n      name: x-fapi-interaction-id\n",
        "specs/demo.yaml:35 $ref: #/components/parameters/id: is a circle, accepted: an end",
    ),
    (
        "      responses:\n        '422': {$ref: '#/components/responses/refused'}\n",
        "      responses: &all\n        '422': *all\n",
        "specs/demo.yaml:31: is an alias, accepted: $ref instead of anchors",
    ),
    ("components:\n", "components: [\n", "specs/demo.yaml:"),
];

#[test]
fn each_mistake_in_a_specification_is_told_with_its_line_and_nothing_of_it_is_written() {
    for (good, bad, expected) in MISTAKES {
        let desk = Desk::new();
        assert!(DEMO.contains(good), "{good}");
        desk.write("specs/demo.yaml", &DEMO.replacen(good, bad, 1));
        desk.write("specs/good.yaml", &DEMO.swap("/demo/", "/good/"));
        desk.write("decisions.toml", &DECISIONS.swap("/open-insurance/demo", "/open-insurance"));
        let (code, report, complaints) = desk.import(&[]);
        assert_eq!(code, Some(64), "{bad}: {complaints}");
        let is_told = complaints.lines().any(|line| line.starts_with(expected));
        assert!(is_told, "{bad}\nexpected {expected}\nfound {complaints}");
        // The other one is no part of it.
        assert!(report.starts_with("good-v2.toml (new)\n  + POST /orders"), "{bad}: {report}");
        assert!(desk.read("policies/good-v2.toml").is_some(), "{bad}");
        assert_eq!(desk.read("policies/demo-v2.toml"), None, "{bad}");
        // Alone, it is all that there is.
        std::fs::remove_file(desk.path("specs/good.yaml")).unwrap();
        let (code, report, _) = desk.import(&[]);
        assert_eq!((code, report.as_str()), (Some(64), ""), "{bad}");
    }
}

/// What is not known of a specification with a mistake is not lost from the policy that it has a part in.
#[test]
fn a_policy_stays_as_it_is_where_one_of_its_specifications_has_a_mistake() {
    let desk = Desk::new();
    let other = DEMO.swap("/orders", "/others").swap("  /things:\n", "  x-things:\n");
    desk.write("specs/other.yaml", &other);
    desk.write("specs/more.yaml", &DEMO.swap("/demo/", "/more/"));
    desk.write("decisions.toml", &DECISIONS.swap("/open-insurance/demo", "/open-insurance"));
    assert_eq!(desk.import(&[]).0, Some(0));
    let before = desk.read("policies/demo-v2.toml").unwrap();
    assert!(before.contains("/others") && before.contains("/orders"), "{before}");
    let fewer = DEMO.swap("/demo/", "/more/").swap("  /things:\n", "  x-things:\n");
    for (bad, is_base_known) in [
        (other.swap("Client: [demo-orders]", "Client: [demo-oders]"), true),
        (other.swap("version: 2.1.0", "version: x"), false),
        (other.swap("components:\n", "components: [\n"), false),
    ] {
        desk.write("specs/other.yaml", &bad);
        desk.write("specs/more.yaml", &fewer);
        let more = desk.read("policies/more-v2.toml");
        let (code, report, complaints) = desk.import(&["--upstream", "new"]);
        assert_eq!(code, Some(64), "{complaints}");
        assert_eq!(desk.read("policies/demo-v2.toml").as_ref(), Some(&before), "{report}");
        let stays = "stays as it is, for a specification has mistakes: ";
        assert!(report.contains(&format!("{stays}demo-v2.toml\n")), "{report}");
        // Of which policy the file is a part nobody knows: no route goes anywhere.
        let is_changed = desk.read("policies/more-v2.toml") != more;
        assert_eq!(is_changed, is_base_known, "{report}");
        desk.write("specs/more.yaml", &DEMO.swap("/demo/", "/more/"));
        desk.write("specs/other.yaml", &other);
        desk.import(&[]);
        desk.write("policies/demo-v2.toml", &before);
    }
}

#[test]
fn a_version_is_read_where_there_is_no_doubt_about_it() {
    for (written, version, note) in [
        ("v2.1.0", "2.1.0", ""),
        ("V2.1.7", "2.1.7", ""),
        ("'2.1.0'", "2.1.0", ""),
        ("2.1", "2.1.0", "specs/demo.yaml:4 info.version: warning: \"2.1\" is taken for 2.1.0\n"),
        ("v2.4", "2.4.0", "specs/demo.yaml:4 info.version: warning: \"v2.4\" is taken for 2.4.0\n"),
    ] {
        let desk = Desk::new();
        desk.write("specs/demo.yaml", &DEMO.swap("version: 2.1.0", &format!("version: {written}")));
        let registry = format!(
            "{{\"urls\": [{{\"group\": \"demo\", \"version\": \"{}\", \"stage\": \"current\"}}]}}",
            written.trim_matches('\'')
        );
        desk.write("registry.json", &registry);
        let (code, _, complaints) = desk.import(&["--registry", "registry.json"]);
        assert_eq!((code, complaints.as_str()), (Some(0), note), "{written}");
        let policy = desk.read("policies/demo-v2.toml").unwrap();
        assert!(policy.contains(&format!("version = \"{version}\"\n")), "{written}: {policy}");
    }
}

/// Whether the id must be there is one thing, what it looks like another.
#[test]
fn an_interaction_id_that_may_be_missing_is_minted_whatever_its_form() {
    let pattern = "      pattern: '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'\n";
    let required = "      in: header\n      required: true\n";
    assert!(DEMO.contains(pattern) && DEMO.contains(required));
    let decided = DECISIONS.swap("class =", "interaction_id = { form = \"uuid\" }\nclass =");
    for (form, decisions) in [
        (pattern, DECISIONS),
        ("", decided.as_str()),
        ("      pattern: '^[a-z]+$'\n", &decided),
        ("      format: uuid\n", DECISIONS),
    ] {
        for (is_required, missing) in [
            ("required: true", "refuse"),
            ("required: True", "refuse"),
            ("required: false", "mint"),
            ("deprecated: false", "mint"),
        ] {
            let desk = Desk::new();
            let declared = required.replace("required: true", is_required);
            desk.write(
                "specs/demo.yaml",
                &DEMO.replace(pattern, form).replace(required, &declared),
            );
            desk.write("decisions.toml", decisions);
            let (code, report, complaints) = desk.import(&[]);
            assert_eq!(code, Some(0), "{form}{is_required}: {report}{complaints}");
            let policy = desk.read("policies/demo-v2.toml").unwrap();
            let rule = format!(
                "interaction_id = {{ form = \"uuid\", missing = \"{missing}\", malformed = \"refuse\" }}"
            );
            assert!(policy.contains(&rule), "{form}{is_required}: {policy}");
        }
    }
    let desk = Desk::new();
    desk.write("specs/demo.yaml", &DEMO.swap(pattern, ""));
    let (code, _, complaints) = desk.import(&[]);
    assert_eq!(code, Some(1));
    assert!(
        complaints.contains("form cannot be told: the interaction id has no pattern"),
        "{complaints}"
    );
}

#[test]
fn rows_of_permissions_are_understood_or_told_with_their_line() {
    let row = "        - GET: **DEMO_READ**\n";
    for other in [
        "        - GET **DEMO_READ**\n",
        "        * get: `DEMO_READ`\n",
        "        - **GET** - DEMO_READ\n",
    ] {
        let desk = Desk::new();
        desk.write("specs/demo.yaml", &DEMO.swap(row, other));
        assert_eq!(desk.import(&[]).0, Some(0), "{other}");
        assert_eq!(desk.read("policies/demo-v2.toml").as_deref(), Some(POLICY), "{other}");
    }
    let desk = Desk::new();
    desk.write("specs/demo.yaml", &DEMO.swap(row, "        - GET: **DEMO-READ**\n"));
    let (code, _, complaints) = desk.import(&[]);
    let told = "specs/demo.yaml:8 info.description: warning: \"- GET: **DEMO-READ**\" is no row of permissions, accepted: a row such as - GET: **RESOURCES_READ**\n";
    assert!(complaints.contains(told), "{complaints}");
    assert_eq!(code, Some(1));
}

#[test]
fn the_directory_of_the_policies_is_made_or_told() {
    let desk = Desk::new();
    std::fs::remove_dir(desk.path("policies")).unwrap();
    assert_eq!(desk.import(&["--check"]).0, Some(1));
    assert!(!desk.path("policies").exists(), "a check writes nothing");
    assert_eq!(desk.import(&[]).0, Some(0));
    assert_eq!(desk.read("policies/demo-v2.toml").as_deref(), Some(POLICY));
    std::fs::remove_dir_all(desk.path("policies")).unwrap();
    desk.write("policies", "a file");
    let (code, _, complaints) = desk.import(&[]);
    assert_eq!((code, complaints.lines().count()), (Some(64), 1), "{complaints}");
    let told = "accepted: a directory, or a place where one can be made\n";
    assert!(
        complaints.starts_with("policies:0: cannot be made (") && complaints.ends_with(told),
        "{complaints}"
    );
}

#[test]
fn files_that_no_specification_could_be_are_refused() {
    let desk = Desk::new();
    desk.write("specs/large.yaml", &"# ten megabytes\n".repeat(10 * 1024 * 1024 / 16));
    desk.write("specs/latin1.yaml", "");
    std::fs::write(desk.path("specs/latin1.yaml"), [0xe9, 0x0a]).unwrap();
    desk.write("specs/empty.yaml", "# nothing\n");
    let many: String = (0..1001).map(|number| format!("  /a{number}:\n    get: {{}}\n")).collect();
    let parameters = "{name: a, in: header}, ".repeat(201);
    let wide = DEMO.swap("    post:\n", &format!("    parameters: [{parameters}]\n    post:\n"));
    desk.write("specs/wide.yaml", &wide.swap("/demo/", "/wide/"));
    desk.write("specs/many.yaml", &DEMO.swap("paths:\n", &format!("paths:\n{many}")));
    std::fs::create_dir(desk.path("none")).unwrap();
    let (code, _, complaints) = desk.import(&["none", "nowhere.yaml"]);
    assert_eq!(code, Some(64), "{complaints}");
    for told in [
        "specs/large.yaml:0: is larger than 4 MiB, accepted: a file of up to 4 MiB",
        "specs/latin1.yaml:0: cannot be read (",
        "specs/empty.yaml:1: is empty, accepted: one YAML document",
        "specs/many.yaml:13 paths: has too many operations, accepted: up to 1000",
        "specs/wide.yaml:23 /orders: has too many parameters, accepted: up to 200",
        "none:0: has no file, accepted: OpenAPI files, or directories with .yaml files",
        "nowhere.yaml:0: cannot be read (",
    ] {
        assert!(complaints.lines().any(|line| line.starts_with(told)), "{told}\n{complaints}");
    }
    let mistakes = complaints.lines().filter(|line| !line.contains("warning"));
    assert_eq!(mistakes.count(), 7, "{complaints}");
    assert!(desk.has_no_policy());
}

#[test]
fn an_operation_in_two_specifications_is_refused() {
    let desk = Desk::new();
    desk.write("specs/again.yaml", DEMO);
    let (code, _, complaints) = desk.import(&[]);
    let twice = "specs/demo.yaml:23 POST /open-insurance/demo/v2/orders: overlaps POST \
        /open-insurance/demo/v2/orders at specs/again.yaml:23, accepted: templates of which a path \
        matches one, each method once";
    assert!(complaints.lines().any(|line| line == twice), "{complaints}");
    assert_eq!((code, complaints.lines().count()), (Some(64), 2));
    assert!(desk.has_no_policy());
}

#[test]
fn a_recursive_schema_is_no_circle() {
    let desk = Desk::new();
    let tree = "  schemas:\n    tree: {properties: {left: {$ref: '#/components/schemas/tree'}}}\n";
    desk.write("specs/demo.yaml", &DEMO.replacen("  schemas:\n", tree, 1));
    assert_eq!(desk.import(&[]).0, Some(0));
}

#[test]
fn the_registry_says_what_is_in_force() {
    let desk = Desk::new();
    let registry = |stage: &str| {
        let entry = |version, stage| {
            format!("{{\"group\": \"demo\", \"version\": \"{version}\", \"stage\": \"{stage}\"}}")
        };
        format!("{{\"urls\": [{},\n{}]}}", entry("2.1.0", stage), entry("1.4.0", "deprecated"))
    };
    let import = |stage: &str| {
        desk.write("registry.json", &registry(stage));
        desk.import(&["--registry", "registry.json"])
    };
    let (code, report, complaints) = import("deprecated");
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let told = "deprecated, to be retired on a day that is not known: demo-v2\n\
        in force by the registry, but not given: demo 1.4.0\n";
    assert!(report.contains(told), "{report}");
    let written = desk.read("policies/demo-v2.toml").unwrap();
    assert!(written.contains("# - demo 2.1.0 (API Demo), deprecated\n"), "{written}");
    for stage in ["retired", "developing"] {
        desk.write("policies/demo-v2.toml", &written);
        let (code, report, _) = import(stage);
        let expected = format!(
            "demo-v2.toml (goes)\n  - POST /orders: client, demo-orders\n  - GET /things: consented, \
             demo, DEMO_READ\nleft out: demo 2.1.0 (2): {stage} in the registry\n"
        );
        assert!(report.starts_with(&expected), "{report}");
        assert_eq!(code, Some(0));
        assert!(desk.has_no_policy());
    }
    // Another version of the same paths is in force: their policy stays.
    desk.write("policies/demo-v2.toml", &written);
    desk.write("registry.json", &registry("retired").swap("1.4.0", "2.2.0"));
    let (_, report, _) = desk.import(&["--registry", "registry.json"]);
    assert!(report.starts_with("left out: demo 2.1.0 (2): retired in the registry\n"), "{report}");
    assert_eq!(desk.read("policies/demo-v2.toml").as_ref(), Some(&written));
    std::fs::remove_file(desk.path("policies/demo-v2.toml")).unwrap();
    desk.write("registry.json", &registry("current").swap("2.1.0", "2.1.1"));
    let (code, _, complaints) = desk.import(&["--registry", "registry.json"]);
    let unknown = "specs/demo.yaml:0: warning: left out: the registry does not have demo 2.1.0\n";
    assert_eq!((code, complaints.as_str()), (Some(1), unknown));
    assert!(desk.has_no_policy());
    let (code, _, complaints) = import("sleeping");
    let lacks = "registry.json:1 urls: has an entry that lacks something, accepted: group, version and stage";
    assert!(complaints.starts_with(lacks), "{complaints}");
    assert_eq!(code, Some(64));
}

/// One change of the decisions, and the exact text that it earns.
const BAD_DECISIONS: &[(&str, &str, &str)] = &[
    (
        "reason = \"Demonstrations are of the medium class.\"\n",
        "",
        "decisions.toml:1 decisions[0].reason: is missing, accepted: why it is so",
    ),
    (
        "below = [\"/open-insurance/demo\"]\n",
        "",
        "decisions.toml:1 decisions[0]: is about nothing, accepted: below or routes",
    ),
    (
        "[\"/open-insurance/demo\"]",
        "[\"demo\"]",
        "decisions.toml:2 decisions[0].below: \"demo\" is not understood, accepted: paths such as \"/open-insurance/consents\"",
    ),
    (
        "below = [\"/open-insurance/demo\"]",
        "routes = [\"GET\"]",
        "decisions.toml:2 decisions[0].routes: \"GET\" is not understood, accepted: routes such as \"GET /a/{b}\"",
    ),
    (
        "class = \"medium\"\n",
        "",
        "decisions.toml:1 decisions[0]: decides nothing, accepted: access, available_from, class, consent_parameter, consent_use, deprecated_from, errors, idempotency_key, permission, request_body, retired_from, scope, shadow_until, security, x_v, interaction_id",
    ),
    (
        "\"medium\"",
        "\"low\"",
        "decisions.toml:3 decisions[0].class: \"low\" is not understood, accepted: \"high\", \"medium\" or \"admin\"",
    ),
    (
        "class",
        "clas",
        "decisions.toml:3 decisions[0].clas: is an unknown key (meant: class?), accepted: access, available_from, below, class,",
    ),
    (
        "class = \"medium\"",
        "deprecated_from = \"2027-01-02\"\nretired_from = \"2027-01-01\"",
        "decisions.toml:4 decisions[0].retired_from: retired on 2027-01-01, before it is deprecated on 2027-01-02, accepted: days in their order",
    ),
    (
        "source = \"nowhere\"\n",
        "\n[[decisions]]\nbelow = [\"/open-insurance/demo\"]\nclass = \"high\"\nreason = \"r\"\n",
        "decisions.toml:6 decisions[1]: decides class of /open-insurance/demo, as decisions.toml:1 does, accepted: one of them",
    ),
];

#[test]
fn each_mistake_in_the_decisions_is_told_exactly() {
    for (good, bad, expected) in BAD_DECISIONS {
        let desk = Desk::new();
        assert!(DECISIONS.contains(good), "{good}");
        desk.write("decisions.toml", &DECISIONS.replacen(good, bad, 1));
        let (code, _, complaints) = desk.import(&[]);
        assert_eq!(code, Some(64), "{bad}: {complaints}");
        let is_told = complaints.lines().any(|line| line.starts_with(expected));
        assert!(is_told, "{bad}\nexpected {expected}\nfound {complaints}");
        assert!(desk.has_no_policy(), "{bad}");
    }
}

#[test]
fn days_of_the_end_are_written_for_the_whole_api() {
    let desk = Desk::new();
    let dated = "deprecated_from = \"2026-10-01\"\nretired_from = \"2027-01-01\"\nshadow_until = \"2026-12-01\"\nclass = \"medium\"";
    desk.write("decisions.toml", &DECISIONS.swap("class = \"medium\"", dated));
    assert_eq!(desk.import(&[]).0, Some(0));
    let written = desk.read("policies/demo-v2.toml").unwrap();
    let top = "base_path = \"/open-insurance/demo/v2\"\nscopes = [\"demo\", \"demo-orders\"]\n\
        deprecated_from = \"2026-10-01\"\nretired_from = \"2027-01-01\"\nshadow_until = \"2026-12-01\"\nclass";
    assert!(written.contains(top), "{written}");
}

/// The decisions that are part of the binary are those of the repository, and a site's own count before them.
#[test]
fn decisions_of_a_site_add_to_the_shipped_ones() {
    let desk = Desk::new();
    desk.write("specs/demo.yaml", &DEMO.swap("/demo/", "/customers/"));
    assert_eq!(desk.run(&["specs"]).status.code(), Some(0));
    let written = desk.read("policies/customers-v2.toml").unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/catalogue/decisions.toml");
    let shipped = std::fs::read_to_string(shipped).unwrap();
    let reason = "Consents, customers and transactional data are of the medium class";
    assert!(shipped.contains(reason) && written.swap("\n# ", " ").contains(reason), "{written}");
    desk.write("decisions.toml", &DECISIONS.swap("demo", "customers").swap("medium", "admin"));
    let (code, report, complaints) = desk.import(&[]);
    assert!(report.contains("~ every route: class \"medium\" -> \"admin\"\n"), "{report}");
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    let own = "\n[[decisions]]\nroutes = [\"POST /open-insurance/customers/v2/orders\"]\nleft_out = true\n\
        reason = \"not offered\"\n";
    desk.write("decisions.toml", own);
    let (_, report, _) = desk.import(&["--check"]);
    assert!(report.contains("- POST /orders: client, demo-orders\n"), "{report}");
    assert!(report.contains("left out: demo 2.1.0 (1): not offered\n"), "{report}");
    let below = own.swap("routes = [\"POST ", "below = [\"").swap("/orders\"]", "\"]");
    desk.write("decisions.toml", &below);
    let (code, report, _) = desk.import(&[]);
    assert!(report.starts_with("customers-v2.toml (goes)\n  - POST /orders"), "{report}");
    assert!(report.contains("left out: demo 2.1.0 (2): not offered\n"), "{report}");
    assert_eq!(code, Some(0));
    assert!(desk.has_no_policy());
}
