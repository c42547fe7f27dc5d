//! The stops of the tour, in the order of a request's path.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::Visitor;
use super::request::TourRequest;
use super::revocation;
use super::table::Expected::{self, Answer, Fault, Nothing, Refusal, Retried};
use crate::identity::PathReason;
use crate::lab::Result;
use crate::lab::authorization::{Signer, TokenContent, now};
use crate::lab::directory::{AUTHORIZATION, MUTUAL};
use crate::lab::pki::rsa_key;
use crate::lab::tour::token;

const CONSENTS: &str = "/open-insurance/consents/v3/consents";
const AUTO: &str = "/open-insurance/insurance-auto/v2/insurance-auto";
pub(super) const BRANCHES: &str = "/open-insurance/channels/v2/branches";
const STATUS: &str = "/open-insurance/discovery/v1/status";
const QUOTE: &str = "/open-insurance/quote-auto/v2/request";
const CLAIM: &str = "/open-insurance/claim-notification/v2/request/damage";

pub(super) async fn all(visitor: &mut Visitor) -> Result<()> {
    handshakes(visitor).await?;
    open_data(visitor).await?;
    wire(visitor).await?;
    media(visitor).await?;
    forged_tokens(visitor).await?;
    bindings(visitor).await?;
    revocation::stop(visitor).await?;
    consents(visitor).await?;
    initiations(visitor).await?;
    quotes(visitor).await?;
    backend(visitor).await?;
    // Last: it uses up the quota of the address.
    limits(visitor).await
}

async fn handshakes(visitor: &mut Visitor) -> Result<()> {
    let nobody = visitor.place.connector(MUTUAL, None)?;
    let request = TourRequest::get(BRANCHES);
    visitor.expect("mTLS without a client certificate", &nobody, &request, Nothing).await?;
    // Whom the gateway does not let in makes no request.
    visitor.requests -= 1;
    for reason in PathReason::ALL {
        let what = format!("client certificate: refused/{reason}");
        let identity = visitor.place.refused(*reason)?;
        // A gateway puts no list in force that is expired: that certificate has none.
        let told = match reason {
            PathReason::CrlExpired => PathReason::CrlMissing,
            reason => *reason,
        };
        visitor.expect_refusal(&what, &identity, told).await?;
    }
    for (what, name) in [
        ("client certificate: of a delegated issuer", "participant-two"),
        ("client certificate: of a cross-signed issuer", "participant-three"),
    ] {
        let who = visitor.place.connector(MUTUAL, Some(name))?;
        visitor.expect(what, &who, &request, Answer(200)).await?;
    }
    Ok(())
}

async fn open_data(visitor: &mut Visitor) -> Result<()> {
    let public = visitor.public.clone();
    let not_here = Refusal(404, "RECURSO_NAO_ENCONTRADO");
    for (what, request, expected) in [
        ("public: GET branches", TourRequest::get(BRANCHES), Answer(200)),
        ("public: GET discovery status", TourRequest::get(STATUS), Answer(200)),
        ("public: POST consents (an mTLS route)", TourRequest::post(CONSENTS, "{}"), not_here),
    ] {
        visitor.expect(what, &public, &request, expected).await?;
    }
    let doubled = TourRequest::get("/open-insurance/channels//v2/branches");
    visitor.one("a path with a double slash", &doubled, Answer(200)).await?;
    visitor
        .one("a path that no policy lists", &TourRequest::get("/open-insurance/x"), not_here)
        .await?;
    let put = TourRequest::new("PUT", BRANCHES);
    visitor.one("another method", &put, Refusal(405, "METODO_NAO_PERMITIDO")).await?;
    Ok(())
}

async fn wire(visitor: &mut Visitor) -> Result<()> {
    let malformed = Refusal(400, "REQUISICAO_INVALIDA");
    let too_large = Refusal(431, "CABECALHO_EXCEDE_LIMITE");
    let get = || TourRequest::get(BRANCHES);
    let smuggled = TourRequest::post(CONSENTS, "0\r\n\r\n").with("transfer-encoding", "chunked");
    for (what, request, expected) in [
        ("a path with dot segments", TourRequest::get("/open-insurance/x/../channels"), malformed),
        ("an encoded NUL in the path", TourRequest::get("/open-insurance/%00"), malformed),
        ("Content-Length and Transfer-Encoding", smuggled, malformed),
        (
            "Transfer_Encoding with an underscore",
            get().with("transfer_encoding", "chunked"),
            malformed,
        ),
        ("two Host fields", get().with("host", "other"), malformed),
        ("an upgrade to WebSocket", get().with("upgrade", "websocket"), malformed),
        ("a head of 100 KB", get().with("x-padding", &"a".repeat(100_000)), too_large),
        (
            "a body over the limit",
            TourRequest::post(CONSENTS, &"a".repeat(2_000_000)),
            Refusal(413, "CORPO_EXCEDE_LIMITE"),
        ),
    ] {
        visitor.one(what, &request, expected).await?;
    }
    Ok(())
}

async fn media(visitor: &mut Visitor) -> Result<()> {
    let token = visitor.token("participant-one", "consents", None).await?;
    let get = || TourRequest::get(BRANCHES);
    let post = || TourRequest::post(CONSENTS, "{}").bearer(&token);
    let text = post().without("content-type").with("content-type", "text/plain");
    let keyless = post().without("x-idempotency-key");
    let odd = post().without("x-fapi-interaction-id").with("x-fapi-interaction-id", "not a uuid");
    for (what, request, expected) in [
        (
            "Accept: text/html",
            get().with("accept", "text/html"),
            Refusal(406, "FORMATO_NAO_ACEITAVEL"),
        ),
        ("Content-Type: text/plain", text, Refusal(415, "MIDIA_NAO_SUPORTADA")),
        ("no x-idempotency-key", keyless, Refusal(422, "ERRO_IDEMPOTENCIA")),
        ("a malformed x-fapi-interaction-id", odd, Refusal(400, "PARAMETRO_INVALIDO")),
    ] {
        visitor.one(what, &request, expected).await?;
    }
    Ok(())
}

async fn forged_tokens(visitor: &mut Visitor) -> Result<()> {
    let refused = Refusal(401, "TOKEN_INVALIDO");
    let post = || TourRequest::post(CONSENTS, "{}");
    visitor.one("no token", &post(), refused).await?;
    let basic = post().with("authorization", "Basic dTpw");
    visitor.one("Authorization: Basic", &basic, refused).await?;
    let signer = visitor.signer.clone();
    let claims = good_claims(visitor)?;
    let header = signer.header();
    let other = Signer::new("lab-1", &rsa_key()?.serialize_pem())?;
    let rs256 = json!({"alg": "RS256", "typ": "at+jwt", "kid": "lab-1"}).to_string();
    let good = signer.sign(&header, &claims)?;
    let unsigned =
        good.rsplit_once('.').map_or_else(String::new, |(signed, _)| format!("{signed}."));
    let changed =
        |name: &str, value: Value| signer.sign(&header, &with_claim(claims.clone(), name, value));
    for (what, token) in [
        ("a garbage token", "garbage".to_owned()),
        ("a token without its signature", unsigned),
        (
            "a token signed with RS256",
            signer.sign_as(Algorithm::RS256, &rs256, &claims.to_string())?,
        ),
        ("a token signed by somebody else", other.sign(&header, &claims)?),
        ("an expired token", changed("exp", json!(now() - 1))?),
        ("a token for another audience", changed("aud", json!("https://other.example"))?),
        ("a token that is bound to no certificate", changed("cnf", json!({}))?),
    ] {
        visitor.one(what, &post().bearer(&token), refused).await?;
    }
    let both = post().bearer(&good).bearer(&good);
    visitor.one("two Authorization fields", &both, refused).await?;
    Ok(())
}

fn with_claim(mut claims: Value, name: &str, value: Value) -> Value {
    if let Some(members) = claims.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    claims
}

/// The claims of a token that is good for creating consents.
fn good_claims(visitor: &Visitor) -> Result<Value> {
    let grant = TokenContent {
        client_id: "participant-one".into(),
        scope: "consents".into(),
        subject: None,
        thumbprint: visitor.place.identity("participant-one")?.thumbprint(),
        lifetime: 300,
    };
    Ok(grant.claims())
}

async fn bindings(visitor: &mut Visitor) -> Result<()> {
    let token = visitor.token("participant-one", "consents", None).await?;
    let request = TourRequest::post(CONSENTS, "{}").bearer(&token);
    visitor.one("the token with its own certificate", &request, Answer(201)).await?;
    let two = visitor.two.clone();
    let refused = Refusal(401, "TOKEN_INVALIDO");
    visitor
        .expect("the same token with participant two's certificate", &two, &request, refused)
        .await?;
    let nameless = visitor.place.connector(MUTUAL, Some("nameless"))?;
    let nobody = Refusal(401, "CERTIFICADO_NAO_ACEITO");
    visitor.expect("a certificate that names no organisation", &nameless, &request, nobody).await?;
    let connector = visitor.place.connector(AUTHORIZATION, Some("participant-one"))?;
    let opaque = token::request(&connector, "participant-one", "consents", None, true).await?;
    let request = TourRequest::post(CONSENTS, "{}").bearer(&opaque);
    visitor.one("an opaque token (introspection)", &request, Answer(201)).await?;
    visitor.expect("the opaque token with another certificate", &two, &request, refused).await?;
    let scope = visitor.token("participant-one", "resources", None).await?;
    let request = TourRequest::post(CONSENTS, "{}").bearer(&scope);
    visitor
        .one("a token without the route's scope", &request, Refusal(403, "ESCOPO_INSUFICIENTE"))
        .await?;
    Ok(())
}

/// Creates a consent through the gateway; gives its id.
async fn create(visitor: &mut Visitor, what: &str, permission: &str) -> Result<String> {
    let token = visitor.token("participant-one", "consents", None).await?;
    let body = json!({"data": {"permissions": [permission]}}).to_string();
    let request = TourRequest::post(CONSENTS, &body).bearer(&token);
    let response = visitor.one(what, &request, Answer(201)).await?;
    let body = response.json();
    let id = body.pointer("/data/consentId").and_then(Value::as_str);
    Ok(id.unwrap_or_default().to_owned())
}

/// A consent to read, and the tokens to read and to manage it.
struct ReadableConsent {
    id: String,
    token: String,
    manage: String,
}

const NOT_AUTHORISED: Expected = Refusal(401, "CONSENTIMENTO_NAO_AUTORIZADO");

async fn consents(visitor: &mut Visitor) -> Result<()> {
    let what = "POST consents: a consent to read auto policies";
    let id = create(visitor, what, "DAMAGES_AND_PEOPLE_AUTO_READ").await?;
    let scope = json!(format!("openid consent:{id} insurance-auto"));
    let claims = with_claim(good_claims(visitor)?, "scope", scope);
    let claims = with_claim(claims, "sub", json!("customer"));
    let early = visitor.signer.sign(&visitor.signer.header(), &claims)?;
    let request = TourRequest::get(AUTO).bearer(&early);
    visitor.one("GET auto before the customer confirmed", &request, NOT_AUTHORISED).await?;
    let token = visitor.token("participant-one", "insurance-auto", Some(&id)).await?;
    let manage = visitor.token("participant-one", "consents", None).await?;
    let reading = ReadableConsent { id, token, manage };
    read(visitor, &reading).await?;
    read_in_vain(visitor, &reading).await?;
    let delete = TourRequest::new("DELETE", &format!("{CONSENTS}/{}", reading.id));
    visitor.one("DELETE the consent", &delete.bearer(&reading.manage), Answer(204)).await?;
    let request = TourRequest::get(AUTO).bearer(&reading.token);
    visitor.one("GET auto with the old token, at once", &request, NOT_AUTHORISED).await?;
    Ok(())
}

async fn read(visitor: &mut Visitor, reading: &ReadableConsent) -> Result<()> {
    let get = TourRequest::get(&format!("{CONSENTS}/{}", reading.id)).bearer(&reading.manage);
    visitor.one("GET the consent (its own client)", &get, Answer(200)).await?;
    let request = TourRequest::get(AUTO).bearer(&reading.token);
    visitor.one("GET auto after the customer confirmed", &request, Answer(200)).await?;
    visitor.http2("the same over HTTP/2", &request, Answer(200)).await?;
    let forged = request.with("x-portaria-client-id", "forged");
    visitor.one("with a forged identity field (removed)", &forged, Answer(200)).await?;
    Ok(())
}

async fn read_in_vain(visitor: &mut Visitor, reading: &ReadableConsent) -> Result<()> {
    let own = visitor.token("participant-one", "insurance-auto", None).await?;
    let premium = TourRequest::get(&format!("{AUTO}/111111/premium")).bearer(&reading.token);
    let unknown = TourRequest::get(&format!("{CONSENTS}/urn:portaria-lab:unknown"));
    let unknown = unknown.bearer(&reading.manage);
    for (what, request, expected) in [
        (
            "GET premium: the consent lacks its permission",
            premium,
            Refusal(403, "PERMISSAO_INSUFICIENTE"),
        ),
        (
            "GET auto with a client_credentials token",
            TourRequest::get(AUTO).bearer(&own),
            Refusal(401, "TOKEN_INVALIDO"),
        ),
        (
            "GET a consent that does not exist",
            unknown,
            Refusal(404, "CONSENTIMENTO_NAO_ENCONTRADO"),
        ),
    ] {
        visitor.one(what, &request, expected).await?;
    }
    let two = visitor.two.clone();
    let manage = visitor.token("participant-two", "consents", None).await?;
    let foreign = TourRequest::get(&format!("{CONSENTS}/{}", reading.id)).bearer(&manage);
    let refused = Refusal(403, "CONSENTIMENTO_NAO_AUTORIZADO");
    visitor.expect("GET the consent (another client)", &two, &foreign, refused).await?;
    Ok(())
}

async fn initiations(visitor: &mut Visitor) -> Result<()> {
    let permission = "CLAIM_NOTIFICATION_REQUEST_DAMAGE_CREATE";
    let id = create(visitor, "POST consents: a consent to announce a claim", permission).await?;
    let token = visitor.token("participant-one", "claim-notification", Some(&id)).await?;
    let refused = Refusal(403, "CONSENTIMENTO_NAO_AUTORIZADO");
    let other = TourRequest::post(&format!("{CLAIM}/urn:portaria-lab:other"), "{}").bearer(&token);
    visitor.one("POST claim: the path names another consent", &other, refused).await?;
    let claim = TourRequest::post(&format!("{CLAIM}/{id}"), "{}").bearer(&token);
    visitor.one("POST claim under the customer's consent", &claim, Answer(201)).await?;
    visitor.one("the same again: the consent is CONSUMED", &claim, refused).await?;
    Ok(())
}

async fn quotes(visitor: &mut Visitor) -> Result<()> {
    let token = visitor.token("participant-one", "quote-auto", None).await?;
    let quote = TourRequest::post(QUOTE, "{}").bearer(&token);
    visitor.one("POST quote (the consent is the initiator's)", &quote, Answer(201)).await?;
    let lead = TourRequest::post("/open-insurance/quote-auto/v2/lead/request", "{}").bearer(&token);
    visitor
        .one("POST quote lead with the scope of quotes", &lead, Refusal(403, "ESCOPO_INSUFICIENTE"))
        .await?;
    Ok(())
}

async fn backend(visitor: &mut Visitor) -> Result<()> {
    let ask = |demand: &str| TourRequest::get(&format!("{BRANCHES}?lab={demand}"));
    let unavailable = Fault(503, "SERVICO_INDISPONIVEL");
    for (what, demand, expected) in [
        ("a backend that keeps silent", "silent", Fault(504, "TEMPO_DE_RESPOSTA_ESGOTADO")),
        ("a backend that answers nonsense", "malformed", unavailable),
        ("a backend that switches protocols unasked", "switching", unavailable),
        ("a backend that breaks off in its answer", "truncated", Nothing),
        ("a backend that closed its idle connection: tried again", "close-once", Retried(200)),
    ] {
        visitor.one(what, &ask(demand), expected).await?;
    }
    Ok(())
}

/// Fills the minute up to the quota of the address, below the quota of all, and goes one beyond.
async fn limits(visitor: &mut Visitor) -> Result<()> {
    let request = TourRequest::get(STATUS);
    let mut connection = visitor.one.http1().await?;
    // 250 in a second, which the quota of all, 300, lets pass.
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(4));
    let mut refused = 0;
    let made = visitor.requests;
    for _ in made..499 {
        pace.tick().await;
        let response = connection.exchange(&request.to_bytes()).await?;
        refused += u32::from(response.status != 200);
    }
    let what = format!("{} more requests of the minute, {refused} refused: the 500th", 499 - made);
    visitor.one(&what, &request, if refused == 0 { Answer(200) } else { Nothing }).await?;
    // The quota grows again by one request in 120 ms: the first refusal is the one to show.
    let beyond = Refusal(429, "LIMITE_EXCEDIDO");
    let mut last = connection.exchange(&request.to_bytes()).await?;
    for _ in 0..200 {
        if last.status == 429 {
            break;
        }
        last = connection.exchange(&request.to_bytes()).await?;
    }
    let wait = last.field("retry-after").unwrap_or("nothing").to_owned();
    let what = format!("beyond 500 in a minute: Retry-After says {wait} s");
    visitor.table.note(&what, &beyond, Some(&last), 0);
    Ok(())
}
