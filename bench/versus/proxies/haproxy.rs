//! HAProxy: passing through, and with the policy that its own language can say. Debian's verifies RS256 only.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, ISSUER};

use crate::setting::Setting;

pub(super) const PROGRAM: &str = "haproxy";

pub(super) fn proxy(
    setting: &Setting,
    address: SocketAddr,
    is_full: bool,
    mut program: Command,
) -> Result<Command> {
    let conf = setting.path(if is_full { "haproxy-full.cfg" } else { "haproxy-pass.cfg" });
    std::fs::write(&conf, configuration(setting, address, is_full))?;
    program.args(["-db", "-q", "-f"]).arg(conf);
    program.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(program)
}

fn configuration(setting: &Setting, address: SocketAddr, is_full: bool) -> String {
    let (pki, backend) = (setting.directory().display(), setting.backend);
    let policy = if is_full { policy(setting) } else { String::new() };
    format!(
        "global\n nbthread 1\n maxconn 6000\n tune.ssl.cachesize 0\n\
         \x20ssl-default-bind-options no-tls-tickets ssl-min-ver TLSv1.2\n\
         defaults\n mode http\n timeout client 300s\n timeout server 60s\n timeout connect 5s\n\
         \x20http-reuse always\n\
         frontend entry\n bind {address} ssl crt {pki}/chain-and-key.pem ca-file {pki}/root.pem \
         verify required alpn h2,http/1.1\n{policy} default_backend legacy\n\
         backend legacy\n server one {backend}\n"
    )
}

/// Limits, the token with its signature, issuer, audience, expiry, binding and scope, and the fields.
fn policy(setting: &Setting) -> String {
    let key = setting.path("jwt.pub");
    let key = key.display();
    let claims = [
        ("alg", "jwt_header_query('$.alg')"),
        ("bound", "jwt_payload_query('$.cnf.x5t#S256')"),
        ("iss", "jwt_payload_query('$.iss')"),
        ("aud", "jwt_payload_query('$.aud')"),
        ("exp", "jwt_payload_query('$.exp','int')"),
        ("scope", "jwt_payload_query('$.scope')"),
    ];
    let claims = claims.map(|(name, query)| {
        format!(" http-request set-var(txn.{name}) http_auth_bearer,{query}\n")
    });
    format!(
        " stick-table type ip size 100k expire 2m store http_req_rate(60s)\n\
         \x20http-request track-sc0 src\n\
         \x20http-request return status 429 if {{ sc_http_req_rate(0) gt 100000000 }}\n\
         \x20http-request return status 429 if {{ fe_req_rate gt 10000000 }}\n\
         \x20http-request set-var(txn.iid) req.hdr(x-fapi-interaction-id)\n\
         \x20http-request set-var(txn.iid) uuid() unless {{ var(txn.iid) -m found }}\n\
         \x20http-request set-header x-fapi-interaction-id %[var(txn.iid)]\n\
         \x20http-request set-var(txn.bearer) http_auth_bearer\n{}\
         \x20http-request set-var(txn.thumb) ssl_c_der,sha2(256),ub64enc\n\
         \x20http-request set-var(txn.now) date()\n\
         \x20http-request return status 401 unless {{ var(txn.alg) -m str RS256 }}\n\
         \x20http-request return status 401 unless {{ var(txn.iss) -m str {ISSUER} }}\n\
         \x20http-request return status 401 unless {{ var(txn.aud) -m str {AUDIENCE} }}\n\
         \x20http-request return status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n\
         \x20http-request return status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{key}\") -m int 1 }}\n\
         \x20http-request return status 401 unless {{ var(txn.bound),strcmp(txn.thumb) eq 0 }}\n\
         \x20http-request return status 403 unless {{ var(txn.scope) -m reg (^|\\ )insurance-auto(\\ |$) }}\n\
         \x20http-response set-header x-fapi-interaction-id %[var(txn.iid)]\n\
         \x20http-response set-header x-v 2.0.0\n",
        claims.concat()
    )
}
