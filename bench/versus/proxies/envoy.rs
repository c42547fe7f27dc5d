//! Envoy: passing through, and with the policy of its filters. The binding to the certificate is only looked for,
//! not compared: its Lua has no base64url, so this flatters Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, ISSUER};
use serde_json::{Value, json};

use crate::setting::Setting;

const TYPES: &str = "type.googleapis.com/envoy.extensions";
const JUDGE: &str = r#"
function envoy_on_request(handle)
  local said = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local claims = said and said["claims"]
  local mark = handle:connection():ssl():sha256PeerCertificateDigest()
  if claims == nil or mark == nil or claims["cnf"] == nil or claims["cnf"]["x5t#S256"] == nil then
    handle:respond({[":status"] = "401"}, "")
    return
  end
  if string.find(" " .. claims["scope"] .. " ", " insurance-auto ", 1, true) == nil then
    handle:respond({[":status"] = "403"}, "")
    return
  end
  local id = handle:headers():get("x-fapi-interaction-id")
  if id == nil then
    id = handle:headers():get("x-request-id")
    handle:headers():add("x-fapi-interaction-id", id)
  end
  handle:streamInfo():dynamicMetadata():set("exchange", "id", id)
end
function envoy_on_response(handle)
  local exchange = handle:streamInfo():dynamicMetadata():get("exchange")
  if exchange then handle:headers():add("x-fapi-interaction-id", exchange["id"]) end
end
"#;

/// Where `make bench` puts the package's program.
pub(super) fn program() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.with_file_name("envoy").join("envoy/_bin/envoy")
}

pub(super) fn proxy(
    setting: &Setting,
    address: SocketAddr,
    is_full: bool,
    mut program: Command,
) -> Result<Command> {
    let conf = setting.path(if is_full { "envoy-full.json" } else { "envoy-pass.json" });
    std::fs::write(&conf, configuration(setting, address, is_full).to_string())?;
    program.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "off", "-c"]);
    program.arg(conf).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(program)
}

fn configuration(setting: &Setting, address: SocketAddr, is_full: bool) -> Value {
    let filters = if is_full { policy(setting) } else { Vec::new() };
    let mut manager = json!({
        "stat_prefix": "entry",
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "legacy"}}]
        }]},
        "http_filters": filters.into_iter()
            .chain([extension("http.router", "router.v3.Router", json!({}))])
            .collect::<Vec<_>>(),
    });
    if is_full && let Some(manager) = manager.as_object_mut() {
        manager.insert("forward_client_cert_details".into(), "SANITIZE_SET".into());
        manager.insert("set_current_client_cert_details".into(), json!({"subject": true}));
    }
    let manager = extension(
        "network.http_connection_manager",
        "http_connection_manager.v3.HttpConnectionManager",
        manager,
    );
    json!({"static_resources": {
        "listeners": [{
            "name": "entry",
            "address": socket(address),
            "filter_chains": [{"transport_socket": tls(setting), "filters": [manager]}],
        }],
        "clusters": [{
            "name": "legacy", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "legacy", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": socket(setting.backend)}}]}
            ]},
        }],
    }})
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A filter: by its name below `envoy.filters`, and its type below the filters' own of that kind.
fn extension(name: &str, kind: &str, mut settings: Value) -> Value {
    let family = name.split('.').next().unwrap_or_default();
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("@type".into(), format!("{TYPES}.filters.{family}.{kind}").into());
    }
    json!({"name": format!("envoy.filters.{name}"), "typed_config": settings})
}

fn tls(setting: &Setting) -> Value {
    let file = |name: &str| json!({"filename": setting.path(name)});
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "require_client_certificate": true,
            "disable_stateless_session_resumption": true,
            "disable_stateful_session_resumption": true,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [
                    {"certificate_chain": file("server.pem"), "private_key": file("server.key")}
                ],
                "validation_context": {"trusted_ca": file("root.pem")},
            },
        },
    })
}

fn policy(setting: &Setting) -> Vec<Value> {
    let always = json!({"default_value": {"numerator": 100}});
    let limit = json!({
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": 10_000_000, "tokens_per_fill": 10_000_000, "fill_interval": "1s"},
        "filter_enabled": always,
        "filter_enforced": always,
    });
    let tokens = json!({
        "providers": {"issuer": {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": {"filename": setting.path("jwks.json")},
            "payload_in_metadata": "claims",
            "forward": true,
            "jwt_cache_config": {"jwt_cache_size": 1000},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}],
    });
    let judge = json!({"default_source_code": {"inline_string": JUDGE}});
    vec![
        extension("http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", limit),
        extension("http.jwt_authn", "jwt_authn.v3.JwtAuthentication", tokens),
        extension("http.lua", "lua.v3.Lua", judge),
    ]
}
