//! portaria: always with its full policy, this repository's.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use portaria::identity::Rule;
use portaria::lab::Result;
use portaria::lab::authorization::{AUDIENCE, ISSUER};

use crate::setting::Setting;

/// What differs between two portarias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) threads: usize,
    pub(super) trust: Trust,
    pub(super) tokens: usize,
}

/// How certificates are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// By a path to an anchor, and the rules as they are set by default.
    Usual,
    /// Without revocation lists and profile.
    Lenient,
    /// With a list of 50,000 certificates and every rule of the profile.
    Strict,
}

/// With the access log in a file; what it says of itself goes to a pipe.
pub(super) fn proxy(
    setting: &Setting,
    address: SocketAddr,
    manner: Manner,
    mut program: Command,
) -> Result<Command> {
    let conf = setting.path("config.toml");
    std::fs::write(&conf, configuration(setting, address, manner))?;
    program.args(["run", "-c"]).arg(conf);
    program.stdout(File::create(setting.path("access.log"))?).stderr(Stdio::piped());
    Ok(program)
}

fn configuration(setting: &Setting, address: SocketAddr, manner: Manner) -> String {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let (policies, backend, registry) = (policies.display(), setting.backend, setting.registry);
    let Manner { threads, trust, tokens } = manner;
    let revocation = match trust {
        Trust::Strict => {
            "revocation = { lists = [\"root.crl\", \"issuing.crl\"], issuers = \"issuing.pem\" }"
        }
        _ => "",
    };
    let rules = match trust {
        Trust::Usual => String::new(),
        Trust::Lenient => rules("off"),
        Trust::Strict => rules("enforce"),
    };
    format!(
        r#"
[server]
threads = {threads}
drain_timeout = "1s"
[admin]
address = "127.0.0.1:0"
[[listeners]]
name = "mtls"
address = "{address}"
client_auth = "required"
certificate = "server.pem"
private_key = "server.key"
trust_anchors = "root.pem"
{revocation}
[policies]
directory = "{policies}"
[[upstreams]]
name = "legacy"
servers = ["{backend}"]
[token]
audiences = ["{AUDIENCE}"]
longest_lifetime = "1d"
algorithms = ["PS256", "ES256"]
cache_capacity = {tokens}
[[token.issuers]]
issuer = "{ISSUER}"
jwks = {{ file = "jwks.json" }}
[consent]
registry = "http://{registry}"
keep = "5m"
[limits]
global = {{ requests = 10000000, per = "1s" }}
per_address = {{ requests = 1000000000, per = "1m" }}
connections = {{ total = 6000, per_address = 6000, per_organisation = 6000 }}
under_way = {{ total = 4096, per_address = 4096, per_organisation = 4096 }}
{rules}
"#
    )
}

fn rules(level: &str) -> String {
    let rules = Rule::ALL.iter().map(|rule| format!("{rule} = \"{level}\"\n"));
    format!("[identity.rules]\n{}", rules.collect::<String>())
}
