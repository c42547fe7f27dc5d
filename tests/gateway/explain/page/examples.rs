//! Refusals that the command tells with a gateway and without, in the same words.

use std::sync::OnceLock;

use portaria::lab::authorization::TokenContent;
use portaria::lab::bad_tokens::{self, Material};
use portaria::lab::consents::StoredConsent;
use portaria::lab::pki::{ClientSubject, Identity};
use serde_json::{Value, json};

use super::{Example, ask, digest_of, offline, shown};
use crate::harness::*;

const CALLBACK: &str = "/open-insurance/dynamic-fields/v2/callback/damage-and-person";
const RESOURCES: &str = "/open-insurance/resources/v3/resources";
const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const LEAD: &str = "/open-insurance/quote-auto/v2/lead/request";
const CLAIM: &str = "/open-insurance/claim-notification/v2/request/damage";
const PERMISSION: &str = "CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE";
const OWN: &str = "urn:insurer:C1";

/// A certificate that breaks a rule of the profile.
pub fn without_cnpj() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let subject = ClientSubject { cnpj: String::new(), ..ClientSubject::default() };
        pki().issuing.client(&pki().client_key, &subject).unwrap()
    })
}

/// One request, and all that is known of it.
#[derive(Clone)]
struct Case {
    code: &'static str,
    listener: &'static str,
    certificate: &'static str,
    request: Request,
    /// Arguments that say of the request what it is.
    arguments: Vec<String>,
    token: Option<(String, String)>,
    consent: Option<StoredConsent>,
    introspection: Option<Value>,
}

fn case(code: &'static str, method: &str, path: &str) -> Case {
    let request = match method {
        "POST" => Request::new(method, path).content("{}"),
        _ => Request::new(method, path),
    };
    Case {
        code,
        listener: "mtls",
        certificate: "chain.pem",
        request,
        arguments: Vec::new(),
        token: None,
        consent: None,
        introspection: None,
    }
}

impl Case {
    /// With this field instead of a good one.
    fn field(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.without(name).with(name, value);
        self.argue(&["--header", &format!("{name}: {value}")])
    }

    fn without(mut self, name: &str) -> Self {
        self.request = self.request.without(name);
        self.argue(&["--without", name])
    }

    fn argue(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    fn token(mut self, file: &str, text: String) -> Self {
        self.token = Some((file.to_owned(), text));
        self
    }

    fn consent(mut self, record: StoredConsent) -> Self {
        self.consent = Some(record);
        self
    }

    fn by(self, certificate: &'static str) -> Self {
        Self { certificate, ..self }
    }

    /// Puts its files where the configuration is; gives the command's arguments.
    fn prepare(&self, lab: &Lab) -> Vec<String> {
        let put = |name: &str, text: &str| {
            std::fs::write(lab.directory.path().join(name), text).unwrap();
        };
        let mut arguments: Vec<String> = Vec::new();
        let mut argue = |pair: [&str; 2]| arguments.extend(pair.map(str::to_owned));
        if self.listener == "mtls" {
            put(self.certificate, &super::identity(self.certificate).chain_pem);
            argue(["--cert", self.certificate]);
        }
        if let Some((file, text)) = &self.token {
            put(file, text);
            argue(["--token", file]);
        }
        if let Some(answer) = &self.introspection {
            put("introspection.json", &answer.to_string());
            argue(["--introspection", "introspection.json"]);
        }
        if let Some(record) = &self.consent {
            lab.consents.put(OWN, record.clone());
            let data = json!({
                "consentId": OWN, "status": record.status, "permissions": record.permissions,
                "clientId": record.client_id, "expirationDateTime": record.expiration,
            });
            put("consent.json", &json!({ "data": data }).to_string());
            argue(["--consent", "consent.json"]);
        }
        argue(["--method", &self.request.method]);
        argue(["--path", &self.request.target]);
        arguments.extend(self.arguments.clone());
        arguments
    }

    /// Runs it both ways.
    async fn run(&self, lab: &Lab) -> Example {
        let arguments = self.prepare(lab);
        let mut request = self.request.clone();
        if let Some((_, text)) = &self.token {
            request = request.bearer(text);
        }
        let certificate = (self.listener == "mtls").then_some(self.certificate);
        let online = ask(lab, self.listener, certificate, &request.to_bytes()).await;
        let here = shown(&offline(lab, &arguments, 1));
        assert_eq!(here, online, "{}: {arguments:?}", self.code);
        Example { code: self.code, arguments: Some(arguments), online }
    }
}

fn record(status: &str, permissions: &[&str]) -> StoredConsent {
    StoredConsent {
        status: status.to_owned(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        client_id: CLIENT_ONE.into(),
        expiration: Some("2300-01-01T00:00:00Z".into()),
        ..StoredConsent::default()
    }
}

/// Every example.
pub async fn all() -> Vec<Example> {
    let change = |config: String| {
        config.swap(
            "[[token.issuers]]",
            "longest_lifetime = \"15m\"\nparticipant_claims = \"if_present\"\n[[token.issuers]]",
        )
    };
    let lab = lab_with(change).await;
    let mut examples = Vec::new();
    let cases = [requests(&lab), certificates(&lab), tokens(&lab), consents(&lab)];
    for case in cases.into_iter().flatten() {
        // What the gateway keeps of the last one's consent is ended.
        let path = format!("/consents/{}", digest_of(OWN));
        assert_eq!(lab.gateway.ask_admin("DELETE", &path).await.0, 204);
        examples.push(case.run(&lab).await);
    }
    lab.assert_untouched();
    examples.extend(carried().await);
    examples
}

/// Answers that are shown as they are: allowed, refused, undecided.
pub async fn wholes() -> Vec<(&'static str, Vec<String>, String)> {
    let lab = lab().await;
    let get = || case("", "GET", RESOURCES).token("token", lab.user_token("resources", OWN));
    let allowed = get().consent(record("AUTHORISED", &["RESOURCES_READ"]));
    let claim = case("", "POST", &format!("{CLAIM}/{OWN}"));
    let refused = claim
        .token("token", lab.user_token("claim-notification", OWN))
        .consent(record("REJECTED", &[PERMISSION]))
        .field("x-idempotency-key", "key-1");
    let mut wholes = Vec::new();
    for (title, case, code) in
        [("Allowed", allowed, 0), ("Refused", refused, 1), ("Undecided", get(), 1)]
    {
        let arguments = case.prepare(&lab);
        let text = offline(&lab, &arguments, code);
        wholes.push((title, arguments, text));
    }
    lab.assert_untouched();
    wholes
}

fn requests(lab: &Lab) -> Vec<Case> {
    let get = |code| case(code, "GET", RESOURCES);
    let own = |scope: &str| lab.client_token(scope);
    let post = |code| {
        let lead = case(code, "POST", LEAD);
        lead.token("own-token", own("quote-auto-lead"))
    };
    let mut not_found = case("route_not_found", "GET", "/open-insurance/resources/v9/resources");
    not_found.listener = "public";
    vec![
        not_found,
        case("route_method", "DELETE", RESOURCES),
        get("request_framing_lookalike").field("transfer_encoding", "chunked"),
        get("request_misdirected")
            .field("host", "api.example.com.br")
            .argue(&["--server-name", "localhost"]),
        get("request_host").without("host"),
        case("request_target", "GET", "/open-insurance/resources/v3/../resources"),
        get("request_upgrade").field("upgrade", "h2c"),
        get("request_expectation").field("expect", "200-ok"),
        get("version_malformed").field("x-v", "v3"),
        get("version_unsupported").field("x-v", "2.0.0"),
        case("parameters_path", "GET", &format!("{CONSENTS}/C1"))
            .token("own-token", own("consents")),
        case("parameters_bounds", "GET", &format!("{RESOURCES}?page=0"))
            .token("token", lab.user_token("resources", OWN)),
        case("parameters_value", "GET", "/open-insurance/admin/v1/metrics?period=TODAY"),
        case("parameters_repeated", "GET", &format!("{RESOURCES}?page=1&page=2"))
            .token("token", lab.user_token("resources", OWN)),
        get("request_not_acceptable").field("accept", "text/html"),
        post("request_media_type").field("content-type", "text/plain"),
        post("request_body_too_large").field("content-length", "9999999"),
        post("request_idempotency_key_missing"),
        post("request_idempotency_key_malformed")
            .field("x-idempotency-key", "-".repeat(41).as_str()),
        post("interaction_missing").without("x-fapi-interaction-id"),
        case("interaction_attempt", "POST", CALLBACK)
            .token("own-token", own("dynamic-fields"))
            .field("content-type", "application/json"),
        get("interaction_malformed")
            .token("token", lab.user_token("resources", OWN))
            .field("x-fapi-interaction-id", "flow-1"),
        Case {
            request: Request::get(RESOURCES).with("x-fapi-interaction-id", INTERACTION_ID),
            ..get("interaction_repeated").token("token", lab.user_token("resources", OWN))
        }
        .argue(&["--header", &format!("x-fapi-interaction-id: {INTERACTION_ID}")])
        .argue(&["--header", &format!("x-fapi-interaction-id: {INTERACTION_ID}")]),
    ]
}

fn certificates(lab: &Lab) -> Vec<Case> {
    let get = |code| case(code, "GET", RESOURCES).token("token", lab.user_token("resources", OWN));
    vec![
        get("identity_organisation").by("without-organisation.pem"),
        get("identity_software_statement").by("without-software.pem"),
        get("identity_profile").by("without-cnpj.pem"),
    ]
}

/// The first bad token of each code, and what bad tokens alone cannot show.
fn tokens(lab: &Lab) -> Vec<Case> {
    let get = |code| case(code, "GET", RESOURCES);
    let good = lab.user_grant("resources", OWN);
    let signer = lab.authorization.signer();
    let stranger = portaria::lab::authorization::Signer::new(
        "key-1",
        &portaria::lab::pki::rsa_key().unwrap().serialize_pem(),
    );
    let material = Material {
        signer: signer.clone(),
        stranger: stranger.unwrap(),
        claims: good.claims(),
        other: pki().two.thumbprint().unwrap(),
    };
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut claims = good.claims();
        change(&mut claims);
        signer.sign(&signer.header(), &claims).unwrap()
    };
    let mut cases = vec![
        get("token_missing"),
        get("token_scheme").field("authorization", "Basic cG9ydGFyaWE="),
        get("token_malformed").field("authorization", "Bearer a b"),
        get("token_repeated")
            .token("token", lab.user_token("resources", OWN))
            .field("authorization", "Bearer another"),
        get("token_too_long").token("long-token", "a".repeat(9000)),
        get("token_lifetime").token(
            "token",
            signed(&|claims| {
                claims["exp"] = json!(claims["iat"].as_u64().unwrap() + 3600);
            }),
        ),
        get("token_other_participant")
            .token("token", signed(&|claims| claims["org_id"] = "another".into())),
        get("token_grant").token("own-token", lab.client_token("resources")),
        get("scope_insufficient").token("token", lab.user_token("customers", OWN)),
        Case {
            introspection: Some(json!({"active": false})),
            ..get("token_inactive").token("opaque-token", "nobody-knows-it".into())
        },
    ];
    for bad in bad_tokens::all(&material).unwrap() {
        let is_sent = !bad.text.is_empty() && bad.text.bytes().all(|b| b.is_ascii_graphic());
        let is_new = cases.iter().all(|case| case.code != bad.code);
        if is_sent && is_new {
            cases.push(get(bad.code).token("token", bad.text));
        }
    }
    cases
}

fn consents(lab: &Lab) -> Vec<Case> {
    let token = || lab.user_token("resources", OWN);
    let get = |code| case(code, "GET", RESOURCES);
    let other_client =
        StoredConsent { client_id: CLIENT_TWO.into(), ..record("AUTHORISED", &["RESOURCES_READ"]) };
    let over = StoredConsent {
        expiration: Some("2026-01-01T00:00:00Z".into()),
        ..record("AUTHORISED", &["RESOURCES_READ"])
    };
    let unnamed =
        TokenContent { scope: "openid resources".into(), ..lab.user_grant("resources", OWN) };
    let claim = lab.user_token("claim-notification", OWN);
    vec![
        get("consent_unnamed").token("token", lab.authorization.issue_signed(&unnamed).unwrap()),
        case("consent_other_consent", "POST", &format!("{CLAIM}/urn:insurer:C2"))
            .token("token", claim)
            .consent(record("AUTHORISED", &[PERMISSION]))
            .field("x-idempotency-key", "key-1"),
        case("consent_unknown", "GET", &format!("{CONSENTS}/urn:insurer:C2"))
            .token("own-token", lab.client_token("consents"))
            .argue(&["--consent", "none"]),
        get("consent_other_client").token("token", token()).consent(other_client),
        get("consent_not_authorised")
            .token("token", token())
            .consent(record("REJECTED", &["RESOURCES_READ"])),
        get("consent_expired").token("token", token()).consent(over),
        get("consent_permission")
            .token("token", token())
            .consent(record("AUTHORISED", &["CUSTOMERS_PERSONAL_QUALIFICATION_READ"])),
        get("consent_registry_unavailable")
            .token("token", token())
            .consent(record("CONFIRMED", &["RESOURCES_READ"])),
    ]
}

/// A token that is to say what its consent permits, and does not.
async fn carried() -> Vec<Example> {
    let lab = lab_with(|config| {
        let table = "[token.consent]\npermissions = \"/permissions\"\nstatus = \"implied\"\n";
        config
            .swap("keep = \"5m\"", "source = \"token\"")
            .swap("[[token.issuers]]", &format!("{table}[[token.issuers]]"))
    })
    .await;
    let token = lab.user_token("resources", OWN);
    let not_carried = case("consent_not_carried", "GET", RESOURCES).token("token", token);
    let examples = vec![not_carried.run(&lab).await];
    lab.assert_untouched();
    examples
}
