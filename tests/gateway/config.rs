//! Mistakes in a configuration: all of them at once, each with file, line and key; exit code 64.

use std::path::Path;
use std::process::{Command, Output};

use portaria::config::{self, Mistake, Mistakes};
use portaria::lab::authorization::{AuthorizationServer, Signer};
use portaria::lab::consents::Store;

use crate::harness::*;

/// A directory with a configuration that is good, and its policies.
pub struct Sandbox {
    pub directory: tempfile::TempDir,
    pub config: String,
}

pub const POLICY: &str = r#"api = "demo"
version = "1.0.0"
base_path = "/open-insurance/demo/v1"
class = "medium"
interaction_id = { form = "uuid", missing = "mint", malformed = "refuse" }
upstream = "legacy"

[[routes]]
method = "GET"
path = "/things/{thingId}"
access = "consented"
scope = "demo"
permission = "DEMO_READ"
consent_use = "read"

[[routes]]
method = "POST"
path = "/things"
access = "client"
scope = "demo"
idempotency_key = "required"
"#;

impl Sandbox {
    pub fn new() -> Self {
        let directory = private_directory();
        let signer = Signer::new("key-1", &pki().signer_pem).unwrap();
        let authorization = AuthorizationServer::new(signer, Store::default());
        write_files(directory.path(), pki(), &authorization);
        let expired = &pki().expired_server;
        std::fs::write(directory.path().join("expired.pem"), &expired.chain_pem).unwrap();
        std::fs::write(directory.path().join("intermediate.pem"), pki().issuing.pem()).unwrap();
        let other_key = portaria::lab::pki::rsa_key().unwrap().serialize_pem();
        std::fs::write(directory.path().join("other.key"), other_key).unwrap();
        std::fs::write(directory.path().join("empty"), "").unwrap();
        let policies = directory.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        std::fs::write(policies.join("demo.toml"), POLICY).unwrap();
        let config = default_config(LOOPBACK, LOOPBACK, LOOPBACK, Path::new("policies"));
        Self { directory, config: config.trim_start().to_owned() }
    }

    fn check(&self, config: &str) -> Output {
        std::fs::write(self.directory.path().join("config.toml"), config).unwrap();
        Command::new(env!("CARGO_BIN_EXE_portaria"))
            .current_dir(self.directory.path())
            .env_remove("PORTARIA_CONFIG")
            .args(["check", "-c", "config.toml"])
            .output()
            .unwrap()
    }

    fn complaints(&self, config: &str) -> (Option<i32>, Vec<String>) {
        let output = self.check(config);
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text.lines().map(str::to_owned).collect())
    }
}

#[test]
fn a_good_configuration_is_ok() {
    let sandbox = Sandbox::new();
    let output = sandbox.check(&sandbox.config);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(said, "config.toml: ok, 2 listeners, 2 routes\n");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// Reading is no more than that: it asks no name server, and what it gives can be printed wherever it helps.
#[test]
fn settings_are_read_without_asking_anybody_and_print_no_secret() {
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.directory.path().join(name);
    let secret = "a-secret-that-is-long-enough-for-a-signature";
    std::fs::write(at("secret"), secret).unwrap();
    std::fs::write(at("answers.key"), [b'k'; 32]).unwrap();
    let config = sandbox.config.swap(
        &format!("servers = [\"{LOOPBACK}\"]"),
        "servers = [\"legacy.portaria.invalid:443\"]",
    );
    let webhook = "\n[consent.webhook]\nlistener = \"public\"\npath = \"/events\"\nsecret_file = \"secret\"\n";
    let idempotency = "\n[idempotency]\ndirectory = \"answers\"\nkey_file = \"answers.key\"\n";
    let config = config.swap("/introspect\"", "/introspect?key=of-the-gateway\"");
    std::fs::write(at("config.toml"), format!("{config}{webhook}{idempotency}")).unwrap();
    let read = || {
        let mistakes = Mistakes::default();
        let settings = config::read(&at("config.toml"), &mistakes).unwrap();
        let errors: Vec<_> =
            mistakes.take().into_iter().filter(Mistake::prevents_loading).collect();
        assert!(errors.is_empty(), "{errors:?}");
        settings
    };
    let settings = read();
    assert!(settings.token.as_ref().is_some_and(|token| token.introspection.is_some()));
    assert!(settings.idempotency.as_ref().is_some_and(Option::is_some));
    let printed = format!("{settings:?}");
    assert!(printed.contains("legacy.portaria.invalid:443"), "{printed}");
    let bytes = |text: &[u8]| format!("{text:?}").trim_matches(['[', ']']).to_owned();
    let key = "of-the-gateway".to_owned();
    let secrets = [secret.to_owned(), bytes(secret.as_bytes()), bytes(&[b'k'; 8]), key];
    for secret in secrets {
        assert!(!printed.contains(&secret), "{printed}");
    }
    assert_eq!(printed, format!("{:?}", read()), "the same files say the same");
}

#[test]
fn the_configuration_of_the_repository_has_no_mistakes_but_missing_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(root)
        .args(["check", "-c", "config.toml"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    // Where the default is no place for an upgrade: that is a fact of the machine.
    let no_place = " server.upgrade_socket: warning: no upgrade is possible at /run/portaria/";
    for line in text.lines().filter(|line| !line.contains(no_place)) {
        assert!(line.contains("certs/") && line.contains("cannot be read"), "{line}");
    }
}

#[test]
fn the_configuration_of_the_repository_names_every_key() {
    let sandbox = Sandbox::new();
    let repository =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml")).unwrap();
    let tables = "[identity]\n[identity.rules]\n[limits]\n[idempotency]\n[log]\n[consent.members]\n[consent.breaker]\n[consent.stale_for]\n[consent.webhook]\n[token.introspection.breaker]\n";
    let revocation = "trust_anchors = \"roots.pem\"\n[listeners.revocation]\n";
    let with_revocation = sandbox.config.swap("trust_anchors = \"roots.pem\"\n", revocation);
    let mut tables_seen = 0;
    let config: String =
        format!("{with_revocation}{tables}[token.consent]\n")
            .lines()
            .map(|line| {
                if line.starts_with('[') {
                    format!("{line}\nzzz = 1\n")
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
    let (_, complaints) = sandbox.complaints(&config);
    for complaint in
        complaints.iter().filter(|complaint| complaint.contains("zzz: is an unknown key"))
    {
        tables_seen += 1;
        let keys = complaint.split_once("accepted: ").unwrap().1;
        for key in keys.split(", ") {
            let named = repository.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ']);
                match line.strip_prefix('[') {
                    Some(table) => table.split(']').next().is_some_and(|t| t.ends_with(key)),
                    None => line.split([' ', '=']).next() == Some(key),
                }
            });
            assert!(named, "{key}, of {complaint}, is not in config.toml");
        }
    }
    assert_eq!(tables_seen, 24, "{complaints:#?}");
}

/// One change of the good configuration, and the exact text that it earns. `LINE` stands for the line of
/// the changed text.
pub const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "threads = 1",
        "thraeds = 1",
        "config.toml:LINE server.thraeds: is an unknown key (meant: threads?), accepted: drain_timeout, threads, upgrade_socket",
    ),
    (
        "threads = 1",
        "threads = 0",
        "config.toml:LINE server.threads: 0 is out of bounds, accepted: a whole number from 1 to 1024",
    ),
    (
        "threads = 1",
        "threads = \"1\"",
        "config.toml:LINE server.threads: is of type string, accepted: a whole number from 1 to 1024",
    ),
    (
        "drain_timeout = \"5s\"",
        "drain_timeout = \"5\"",
        "config.toml:LINE server.drain_timeout: \"5\" is not understood, accepted: a duration above zero, up to 36500d, such as \"250ms\", \"10s\", \"5m\", \"1h\"",
    ),
    (
        "address = \"127.0.0.1:0\"\n\n",
        "address = \"0.0.0.0:9100\"\n\n",
        "config.toml:LINE admin.address: can be reached from other machines, and whoever reaches it reads metrics and ends consents, accepted: a loopback address such as \"127.0.0.1:9100\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"optional\"",
        "config.toml:LINE listeners[0].client_auth: \"optional\" is not understood, accepted: \"required\" or \"none\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = true",
        "config.toml:LINE+1 listeners[0].proxy_protocol: is of type boolean, accepted: a table",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = {}",
        "config.toml:LINE+1 listeners[0].proxy_protocol.from: is missing, accepted: one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = { from = [] }",
        "config.toml:LINE+1 listeners[0].proxy_protocol.from: is empty, accepted: one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = { from = \"10.0.0.4\" }",
        "config.toml:LINE+1 listeners[0].proxy_protocol.from: is of type string, accepted: one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = { from = [\"10.0.0.4\", \"10.0.0.4/8\"] }",
        "config.toml:LINE+1 listeners[0].proxy_protocol.from: entry 2 is no network that begins at its first address, accepted: one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"",
    ),
    (
        "client_auth = \"required\"",
        "client_auth = \"required\"\nproxy_protocol = { from = [\"10.0.0.4\"], version = 2 }",
        "config.toml:LINE+1 listeners[0].proxy_protocol.version: is an unknown key, accepted: from",
    ),
    (
        "client_auth = \"none\"",
        "client_auth = \"none\"\nforwarded_for = { from = [\"balancer.internal\"] }",
        "config.toml:LINE+1 listeners[1].forwarded_for.from: entry 1 is no network that begins at its first address, accepted: one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"",
    ),
    (
        "name = \"public\"\naddress = \"127.0.0.1:0\"",
        "name = \"public\"\naddress = \"localhost\"",
        "config.toml:LINE+1 listeners[1].address: \"localhost\" is not understood, accepted: \"IP:port\" such as \"0.0.0.0:8443\"",
    ),
    (
        "name = \"public\"",
        "name = \"mtls\"",
        "config.toml:LINE listeners[1].name: \"mtls\" names two listeners, accepted: distinct names",
    ),
    (
        "client_auth = \"none\"",
        "client_auth = \"none\"\ntrust_anchors = \"roots.pem\"",
        "config.toml:LINE+1 listeners[1].trust_anchors: has no effect with client_auth = \"none\", accepted: \"required\"",
    ),
    (
        "certificate = \"server.pem\"\nprivate_key = \"server.key\"\ntrust_anchors",
        "certificate = \"missing.pem\"\nprivate_key = \"server.key\"\ntrust_anchors",
        "config.toml:LINE listeners[0].certificate: missing.pem cannot be read (No such file or directory (os error 2)), accepted: a PEM file with certificates",
    ),
    (
        "certificate = \"server.pem\"\nprivate_key = \"server.key\"\ntrust_anchors",
        "certificate = \"empty\"\nprivate_key = \"server.key\"\ntrust_anchors",
        "config.toml:LINE listeners[0].certificate: empty has no certificate, accepted: a PEM file with certificates",
    ),
    (
        "private_key = \"server.key\"\ntrust_anchors",
        "private_key = \"other.key\"\ntrust_anchors",
        "config.toml:LINE listeners[0].private_key: does not belong to the certificate, accepted: the certificate's own key",
    ),
    (
        "private_key = \"server.key\"\ntrust_anchors",
        "private_key = \"roots.pem\"\ntrust_anchors",
        "config.toml:LINE listeners[0].private_key: roots.pem:1 begins a block of another kind (CERTIFICATE), accepted: a PEM file with one unencrypted private key",
    ),
    (
        "trust_anchors = \"roots.pem\"",
        "trust_anchors = \"intermediate.pem\"",
        "config.toml:LINE listeners[0].trust_anchors: intermediate.pem:1 is not usable: certificate 1 is not a root: subject and issuer differ, or it is not a CA, accepted: self-signed root certificates",
    ),
    (
        "directory = \"policies\"",
        "directory = \"nowhere\"",
        "config.toml:LINE policies.directory: nowhere cannot be read (No such file or directory (os error 2)), accepted: a directory of policy files (*.toml)",
    ),
    (
        "name = \"legacy\"",
        "name = \"Legacy System\"",
        "config.toml:LINE upstreams[0].name: \"Legacy System\" is not understood, accepted: a name of lower-case letters, digits and hyphens",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = []",
        "config.toml:LINE upstreams[0].servers: is empty, accepted: one or more \"host:port\"",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"127.0.0.1:+80\"]",
        "config.toml:LINE upstreams[0].servers: \"127.0.0.1:+80\" names no address, accepted: one or more \"host:port\"",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"no port\"]",
        "config.toml:LINE upstreams[0].servers: \"no port\" names no address, accepted: one or more \"host:port\"",
    ),
    (
        "total_timeout = \"1s\"",
        "total_timeout = \"0s\"",
        "config.toml:LINE upstreams[0].total_timeout: \"0s\" is not understood, accepted: a duration above zero, up to 36500d, such as \"250ms\", \"10s\", \"5m\", \"1h\"",
    ),
    (
        "issuer = \"https://as.portaria-lab.example\"",
        "issuer = \"${PORTARIA_TEST_NOT_SET}\"",
        "config.toml:LINE token.issuers[0].issuer: the variable PORTARIA_TEST_NOT_SET is not set, accepted: a set variable, or ${PORTARIA_TEST_NOT_SET:-default}",
    ),
    (
        "audiences = [\"https://api.portaria-lab.example\"]",
        "audiences = []",
        "config.toml:LINE token.audiences: is empty, accepted: one or more audiences that access tokens are meant for",
    ),
    (
        "audiences = [\"https://api.portaria-lab.example\"]",
        "",
        "config.toml:TOKEN token.audiences: is missing, accepted: one or more audiences that access tokens are meant for",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"secret\"",
        "config.toml:LINE token.issuers[0].jwks.file: secret is not usable (not a JSON Web Key Set: expected value at line 1 column 1), accepted: a JSON Web Key Set with RSA keys of at least 2048 bits for PS256",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"jwks.json\"\nurl = \"https://as.example/jwks\"",
        "config.toml:JWKS token.issuers[0].jwks: has none or several origins, accepted: one of file, url and discovery",
    ),
    (
        "issuer = \"https://as.portaria-lab.example\"",
        "issuer = \"\"",
        "config.toml:LINE token.issuers[0].issuer: \"\" is not understood, accepted: the exact iss of its access tokens",
    ),
    (
        "audiences = [\"https://api.portaria-lab.example\"]",
        "audiences = [\"${PORTARIA_TEST_NOT_SET}\"]",
        "config.toml:LINE token.audiences: the variable PORTARIA_TEST_NOT_SET is not set, accepted: a set variable, or ${PORTARIA_TEST_NOT_SET:-default}",
    ),
    (
        "[[token.issuers]]",
        "consent_scope_prefix = \"consent\"\n[[token.issuers]]",
        "config.toml:LINE token.consent_scope_prefix: \"consent\" is not understood, accepted: the beginning of a scope that names a consent, up to its colon",
    ),
    (
        "[[token.issuers]]",
        "enrollment_scope_prefix = \":\"\n[[token.issuers]]",
        "config.toml:LINE token.enrollment_scope_prefix: \":\" is not understood, accepted: the beginning of a scope that names an enrollment, up to its colon",
    ),
    (
        "[[token.issuers]]",
        "consent_claim = \"client_id\"\n[[token.issuers]]",
        "config.toml:LINE token.consent_claim: \"client_id\" is not understood, accepted: the name of a claim that names a consent and nothing else",
    ),
    (
        "[[token.issuers]]",
        "leeway = \"5m\"\n[[token.issuers]]",
        "config.toml:LINE token.leeway: \"5m\" is not understood, accepted: a duration up to 60s",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"jwks.json\"\nrefresh_interval = \"365d\"",
        "config.toml:LINE+1 token.issuers[0].jwks.refresh_interval: \"365d\" is not understood, accepted: a duration up to 1h",
    ),
    (
        "file = \"jwks.json\"",
        "url = \"http://as.example/jwks\"",
        "config.toml:LINE token.issuers[0].jwks.url: is not encrypted, accepted: an https:// URL, or http:// on a loopback address",
    ),
    (
        "file = \"jwks.json\"",
        "discovery = true",
        "config.toml:JWKS token.issuers[0].jwks.trust_anchors: is missing, accepted: a PEM file with certificates",
    ),
    (
        "issuer = \"https://as.portaria-lab.example\"\n\n[token.issuers.jwks]\nfile = \"jwks.json\"",
        "issuer = \"urn:as\"\n\n[token.issuers.jwks]\ndiscovery = true",
        "config.toml:LINE token.issuers[0].issuer: cannot be discovered, accepted: an issuer that is an https:// URL without query",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"jwks.json\"\nrefresh_interval = \"1h\"\nstale_for = \"30m\"",
        "config.toml:LINE+2 token.issuers[0].jwks.stale_for: ends before refresh_interval does, accepted: a stale_for that does not",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"jwks.json\"\nstale_for = \"2d\"",
        "config.toml:LINE+1 token.issuers[0].jwks.stale_for: \"2d\" is not understood, accepted: a duration up to 1d",
    ),
    (
        "file = \"jwks.json\"",
        "file = \"jwks.json\"\nlookup_cooldown = \"1h\"",
        "config.toml:LINE+1 token.issuers[0].jwks.lookup_cooldown: \"1h\" is not understood, accepted: a duration up to 5m",
    ),
    (
        "file = \"jwks.json\"",
        "url = \"http://127.0.0.1:1/jwks\"\ntimeout = \"1m\"",
        "config.toml:LINE+1 token.issuers[0].jwks.timeout: \"1m\" is not understood, accepted: a duration up to 30s",
    ),
    (
        "[token.issuers.jwks]",
        "[[token.issuers]]\nissuer = \"https://as.portaria-lab.example\"\n\n[token.issuers.jwks]",
        "config.toml:ISSUERS token.issuers: names \"https://as.portaria-lab.example\" twice, accepted: distinct issuers",
    ),
    (
        "[[token.issuers]]",
        "algorithms = [\"PS256\", \"RS256\"]\n[[token.issuers]]",
        "config.toml:LINE token.algorithms: names no algorithm or another one, accepted: one or more of \"PS256\", \"PS384\", \"PS512\", \"ES256\"",
    ),
    (
        "[[token.issuers]]",
        "types = [\"application/at+jwt\"]\n[[token.issuers]]",
        "config.toml:LINE token.types: is empty or names a whole media type, accepted: one or more types such as \"at+jwt\" and \"JWT\"; \"\" for tokens without typ",
    ),
    (
        "[[token.issuers]]",
        "participant_claims = \"maybe\"\n[[token.issuers]]",
        "config.toml:LINE token.participant_claims: \"maybe\" is not understood, accepted: \"ignore\", \"if_present\" or \"require\"",
    ),
    (
        "[[token.issuers]]",
        "directory = \"server.pem/keys\"\n[[token.issuers]]",
        "config.toml:LINE token.directory: server.pem/keys cannot be written to (not a directory), accepted: a directory that the gateway, and not everybody, may write to",
    ),
    (
        "client_auth = \"client_secret_basic\"\nclient_id = \"portaria\"\nclient_secret_file = \"secret\"",
        "client_auth = \"tls_client_auth\"\nclient_id = \"portaria\"\ncertificate = \"server.pem\"\nprivate_key = \"server.key\"",
        "config.toml:LINE+2 token.introspection.certificate: client certificates need TLS, accepted: an https:// URL",
    ),
    (
        "registry = \"http://127.0.0.1:0\"",
        "registry = \"https://registry.invalid\"\ntrust_anchors = \"roots.pem\"\ncertificate = \"server.pem\"\nprivate_key = \"other.key\"",
        "config.toml:LINE consent.registry: has a client certificate that its private key does not belong to, accepted: a matching pair",
    ),
    (
        "name = \"legacy\"",
        "name = \"legacy\"\nanswer_fields = [\"server\"]",
        "config.toml:LINE+1 upstreams[0].answer_fields: \"server\" passes anyway or never, accepted: \"set-cookie\"",
    ),
    (
        "name = \"legacy\"",
        "name = \"legacy\"\nerror_bodies = \"html\"",
        "config.toml:LINE+1 upstreams[0].error_bodies: \"html\" is not understood, accepted: \"ecosystem\" or \"backend\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"365d\"",
        "config.toml:LINE consent.keep: \"365d\" is not understood, accepted: a duration up to 5m",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nkeep_unknown = \"2m\"",
        "config.toml:LINE+1 consent.keep_unknown: \"2m\" is not understood, accepted: a duration up to 60s",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nbreaker = { failures = 0 }",
        "config.toml:LINE+1 consent.breaker.failures: 0 is out of bounds, accepted: a whole number from 1 to 1000",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nstale_for = { medium = \"2h\" }",
        "config.toml:LINE+1 consent.stale_for.medium: \"2h\" is not understood, accepted: \"refuse\" or a duration up to 1h",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nsource = \"claims\"",
        "config.toml:LINE+1 consent.source: \"claims\" is not understood, accepted: \"registry\" or \"token\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nsource = \"token\"",
        "config.toml:TOKEN token.consent: is missing with consent.source = \"token\", accepted: a table",
    ),
    (
        "[[token.issuers]]",
        "consent = { permissions = \"/permissions\", status = \"implied\" }\n[[token.issuers]]",
        "config.toml:LINE token.consent: has no effect, accepted: with consent.source = \"token\"",
    ),
    (
        "[[token.issuers]]",
        "consent = { permissions = \"/scope\", status = \"implied\" }\n[[token.issuers]]",
        "config.toml:LINE token.consent.permissions: \"/scope\" is not understood, accepted: a JSON pointer (RFC 6901) such as \"/permissions\"",
    ),
    (
        "[[token.issuers]]",
        "consent = { permissions = \"/permissions\" }\n[[token.issuers]]",
        "config.toml:LINE token.consent.status: is missing, accepted: a JSON pointer (RFC 6901) such as \"/permissions\", or \"implied\": a token is only issued under an AUTHORISED consent",
    ),
    (
        "[[token.issuers]]",
        "consent = { permissions = \"/permissions\", status = \"implied\", details_type_member = \"Type\" }\n[[token.issuers]]",
        "config.toml:LINE token.consent.details_type_member: has no effect without details_type, accepted: with it",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"admin\", path = \"/events\", keys = \"jwks.json\" }",
        "config.toml:LINE+1 consent.webhook.listener: \"admin\" is an unknown listener, accepted: mtls, public",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/events/{consentId}\", keys = \"jwks.json\" }",
        "config.toml:LINE+1 consent.webhook.path: \"/events/{consentId}\" is not understood, accepted: a path without parameters such as \"/portaria/consents\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/events\" }",
        "config.toml:LINE+1 consent.webhook: has neither or both of keys and secret_file, accepted: one of them",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/events\", keys = \"secret\" }",
        "config.toml:LINE+1 consent.webhook.keys: secret is not usable (not a JSON Web Key Set: expected value at line 1 column 1), accepted: a JSON Web Key Set with RSA keys of at least 2048 bits for PS256",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/events\", secret_file = \"secret\" }",
        "config.toml:LINE+1 consent.webhook.secret_file: is too short, accepted: a secret of at least 32 bytes",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/open-insurance/demo/v1/things/mine\", keys = \"jwks.json\" }",
        "config.toml:LINE+1 consent.webhook.path: /open-insurance/demo/v1/things/mine overlaps GET /open-insurance/demo/v1/things/{thingId} at policies/demo.toml:10, accepted: templates of which a path matches one",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nremember_ended = \"2d\"",
        "config.toml:LINE+1 consent.remember_ended: \"2d\" is not understood, accepted: a duration up to 1d",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\npreset = \"opin\"",
        "config.toml:LINE+1 consent.preset: \"opin\" is not understood, accepted: \"opin-v2\", \"opin-v3\" or \"ofb\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nauthorisation_window = \"never\"",
        "config.toml:LINE+1 consent.authorisation_window: \"never\" is not understood, accepted: \"none\" or a duration above zero, up to 36500d, such as \"250ms\", \"10s\", \"5m\", \"1h\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nconsumed_after = \"204\"",
        "config.toml:LINE+1 consent.consumed_after: \"204\" is not understood, accepted: \"201_or_422\", \"201\" or \"never\"",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"127.0.0.1:0\"]\npublic_url = \"http://api.example.com.br\"",
        "config.toml:LINE+1 upstreams[0].public_url: \"http://api.example.com.br\" is not understood, accepted: an https:// URL without a path",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"127.0.0.1:0\"]\npublic_url = \"https://api.example.com.br/open-insurance\"",
        "config.toml:LINE+1 upstreams[0].public_url: \"https://api.example.com.br/open-insurance\" is not understood, accepted: an https:// URL without a path",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"127.0.0.1:0\"]\npublic_url = \"api.example.com.br\"",
        "config.toml:LINE+1 upstreams[0].public_url: \"api.example.com.br\" is not understood, accepted: an https:// URL without a path",
    ),
    (
        "servers = [\"127.0.0.1:0\"]",
        "servers = [\"127.0.0.1:0\"]\nrequest_fields = [\"x-portaria-client-id\"]",
        "config.toml:LINE+1 upstreams[0].request_fields: \"x-portaria-client-id\" cannot be passed on, accepted: names of fields that do not pass anyway and that the gateway does not set",
    ),
    (
        "client_auth = \"client_secret_basic\"",
        "client_auth = \"client_secret_post\"",
        "config.toml:LINE token.introspection.client_auth: \"client_secret_post\" is not understood, accepted: \"client_secret_basic\", \"private_key_jwt\" or \"tls_client_auth\"",
    ),
    (
        "client_auth = \"client_secret_basic\"",
        "client_auth = \"client_secret_basic\"\nsigning_key = \"client.key\"",
        "config.toml:LINE+1 token.introspection.signing_key: has no effect with this client_auth, accepted: private_key_jwt",
    ),
    (
        "client_auth = \"client_secret_basic\"\nclient_id = \"portaria\"\nclient_secret_file = \"secret\"",
        "client_id = \"portaria\"\nclient_auth = \"private_key_jwt\"\nassertion_audience = \"x\"",
        "config.toml:TABLE token.introspection.signing_key: is missing, accepted: a PEM file with one unencrypted private key",
    ),
    (
        "client_secret_file = \"secret\"",
        "client_secret_file = \"secret\"\nkeep_inactive = \"2m\"",
        "config.toml:LINE+1 token.introspection.keep_inactive: \"2m\" is not understood, accepted: a duration up to 60s",
    ),
    (
        "client_secret_file = \"secret\"",
        "client_secret_file = \"secret\"\nbreaker = { failures = 0 }",
        "config.toml:LINE+1 token.introspection.breaker.failures: 0 is out of bounds, accepted: a whole number from 1 to 1000",
    ),
    (
        "client_secret_file = \"secret\"",
        "client_secret_file = \"empty\"",
        "config.toml:LINE token.introspection.client_secret_file: empty holds no secret, accepted: a readable file that holds the secret and nothing else",
    ),
    (
        "registry = \"http://127.0.0.1:0\"",
        "registry = \"ftp://127.0.0.1\"",
        "config.toml:LINE consent.registry: \"ftp://127.0.0.1\" is not understood, accepted: an https:// or http:// URL",
    ),
    (
        "registry = \"http://127.0.0.1:0\"",
        "registry = \"https://registry.example\"",
        "config.toml:CONSENT consent.trust_anchors: is missing, accepted: a PEM file with certificates",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[limits]\nglobal = { requests = 0, per = \"1s\" }",
        "config.toml:LINE+2 limits.global.requests: 0 is out of bounds, accepted: a whole number from 1 to 4294967295",
    ),
    (
        "head_timeout = \"500ms\"",
        "idle_timeout = \"61s\"\nhead_timeout = \"500ms\"",
        "config.toml:LINE http.idle_timeout: \"61s\" is not understood, accepted: a duration up to 60s",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { preset = \"modern\" }",
        "config.toml:LINE+1 listeners[0].tls.preset: \"modern\" is not understood, accepted: \"fapi-br\"",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { versions = [\"1.3\", \"1.1\"] }",
        "config.toml:LINE+1 listeners[0].tls.versions: entry 2 is unknown, accepted: one or more of 1.2, 1.3",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { versions = [\"1.3\"], cipher_suites = [\"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"] }",
        "config.toml:LINE+1 listeners[0].tls.cipher_suites: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is of no version of versions, accepted: suites of those",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { cipher_suites = [\"TLS_AES_128_GCM_SHA256\"] }",
        "config.toml:LINE+1 listeners[0].tls.cipher_suites: has none of TLS 1.2, accepted: one for each of versions",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { versions = [\"1.2\"], cipher_suites = [\"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\"] }",
        "config.toml:LINE+1 listeners[0].tls: cannot be served (peer is incompatible: NoCipherSuitesInCommon), accepted: parameters and certificates with which a client can shake hands",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\ntls = { groups = [] }",
        "config.toml:LINE+1 listeners[0].tls.groups: is empty, accepted: one or more of X25519, secp256r1, secp384r1, X25519MLKEM768, secp256r1MLKEM768, MLKEM768, MLKEM1024",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\nadditional_certificates = [{ certificate = \"server.pem\", private_key = \"server.key\" }]",
        "config.toml:LINE+1 listeners[0].additional_certificates[0].certificate: has no host name that those before it do not have, accepted: a certificate with one",
    ),
    (
        "name = \"mtls\"",
        "name = \"mtls\"\nadditional_certificates = [{ certificate = \"server.pem\", private_key = \"other.key\" }]",
        "config.toml:LINE+1 listeners[0].additional_certificates[0].private_key: does not belong to the certificate, accepted: the certificate's own key",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[identity]\nprofile = \"opin\"",
        "config.toml:LINE+2 identity.profile: \"opin\" is not understood, accepted: \"opin-production\", \"opin-sandbox\", \"ofb-production\" or \"ofb-sandbox\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[identity]\nlongest_validity = \"1y\"",
        "config.toml:LINE+2 identity.longest_validity: \"1y\" is not understood, accepted: a duration above zero, up to 36500d, such as \"250ms\", \"10s\", \"5m\", \"1h\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[identity.rules]\ncnpj = \"maybe\"",
        "config.toml:LINE+2 identity.rules.cnpj: \"maybe\" is not understood, accepted: \"enforce\", \"warn\" or \"off\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[consent.members]\nstatus = \"data.status\"",
        "config.toml:LINE+2 consent.members.status: \"data.status\" is not understood, accepted: a JSON pointer (RFC 6901) such as \"/data/status\"",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\nkeep = \"2h\"",
        "config.toml:LINE+1: duplicate key, accepted: TOML 1.1",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nretention = \"1h\"",
        "config.toml:LINE+1 idempotency.directory: is missing, accepted: a directory of the gateway's own on a local disk",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\ndirectory = \"none\"",
        "config.toml:LINE+2 idempotency.directory: none cannot be used (No such file or directory (os error 2)), accepted: a directory of the gateway's own on a local disk, empty or with a store",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\ndirectory = \"empty\"",
        "config.toml:LINE+2 idempotency.directory: empty cannot be used (not a directory), accepted: a directory of the gateway's own on a local disk, empty or with a store",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nkey_file = \"empty\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.key_file: empty has 0 bytes that are no key, accepted: a file of 32 random bytes, raw or in base64",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nkey_file = \"secret\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.key_file: secret has 10 bytes that are no key, accepted: a file of 32 random bytes, raw or in base64",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nkey_file = \"none\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.key_file: none cannot be read (No such file or directory (os error 2)), accepted: a file of 32 random bytes, raw or in base64",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nretention = \"8d\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.retention: \"8d\" is not understood, accepted: a duration from 1s to 7d",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nretention = \"500ms\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.retention: \"500ms\" is not understood, accepted: a duration from 1s to 7d",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\ncapacity = 0\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.capacity: 0 is out of bounds, accepted: a whole number from 1 to 10000000",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nmax_size = \"1MiB\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.max_size: \"1MiB\" is not understood, accepted: a size from 16MiB to 1024GiB",
    ),
    (
        "keep = \"5m\"",
        "keep = \"5m\"\n[idempotency]\nmax_answer_size = \"2MiB\"\ndirectory = \".\"",
        "config.toml:LINE+2 idempotency.max_answer_size: \"2MiB\" is not understood, accepted: a size up to 1MiB",
    ),
];

#[test]
fn each_mistake_in_the_configuration_is_told_exactly() {
    let sandbox = Sandbox::new();
    for (good, bad, expected) in MISTAKES {
        assert!(sandbox.config.contains(good), "{good}");
        let config = sandbox.config.replacen(good, bad, 1);
        let mut expected = (*expected).to_owned();
        let base = line_at(&sandbox.config, good);
        for (mark, line) in [
            ("LINE+1", base + 1),
            ("LINE+2", base + 2),
            ("LINE", base),
            ("TOKEN", line_of(&config, "[token]")),
            ("ISSUERS", line_of(&config, "[[token.issuers]]")),
            ("JWKS", line_of(&config, "[token.issuers.jwks]")),
            ("CONSENT", line_of(&config, "[consent]")),
            ("TABLE", line_of(&config, "[token.introspection]")),
        ] {
            expected = expected.replacen(&format!(":{mark} "), &format!(":{line} "), 1);
            expected = expected.replacen(&format!(":{mark}:"), &format!(":{line}:"), 1);
        }
        let (code, complaints) = sandbox.complaints(&config);
        assert_eq!(code, Some(64), "{bad}: {complaints:?}");
        assert!(complaints.contains(&expected), "expected {expected}\nfound {complaints:#?}");
    }
}

/// What is wrong is told, and not what stands beside it and is right.
#[test]
fn a_mistake_in_one_key_makes_no_other_unknown() {
    let sandbox = Sandbox::new();
    let jwks = "jwks = { file = \"jwks.json\" }";
    for (good, bad) in [
        ("client_auth = \"required\"", "client_auth = \"requred\""),
        ("client_auth = \"client_secret_basic\"", "client_auth = \"basic\""),
        ("[token]", "[consent.webhook]\nlistener = 1\npath = 1\nclaim = \"a\"\n[token]"),
        (
            jwks,
            "jwks = { file = \"jwks.json\", url = \"https://a\", timeout = \"1s\", trust_anchors = \"roots.pem\" }",
        ),
    ] {
        let config = match sandbox.config.contains(good) {
            true => sandbox.config.swap(good, bad),
            // The sandbox writes the issuer's keys as a table of their own.
            false => sandbox.config.swap(
                "[token.issuers.jwks]",
                "[token.issuers.jwks]\ndiscovery = true\ntimeout = \"1s\"",
            ),
        };
        let (code, complaints) = sandbox.complaints(&config);
        assert_eq!(code, Some(64), "{bad}: {complaints:?}");
        let unknown: Vec<_> = complaints.iter().filter(|c| c.contains("unknown key")).collect();
        assert!(unknown.is_empty(), "{bad}: {unknown:?}");
    }
    let policy = sandbox.directory.path().join("policies/demo.toml");
    std::fs::write(&policy, POLICY.swap("access = \"client\"", "access = \"clientt\"")).unwrap();
    let (_, complaints) = sandbox.complaints(&sandbox.config);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("\"clientt\" is not understood"), "{complaints:?}");
}

/// What is accepted is served with: a deadline in a century is one, and no clock leaves its range for it.
#[tokio::test]
async fn the_longest_durations_are_deadlines() {
    let http =
        ["handshake", "head", "body", "write", "exchange"].map(|key| format!("{key}_timeout"));
    let upstream = ["connect", "first_byte", "total", "idle"].map(|key| format!("{key}_timeout"));
    let lines = |keys: &[String]| -> String {
        keys.iter().map(|key| format!("{key} = \"36500d\"\n")).collect()
    };
    let plain = |config: String| -> String {
        let is_duration = |line: &&str| !line.contains("_timeout = ");
        config.lines().filter(is_duration).map(|line| format!("{line}\n")).collect()
    };
    let lab = lab_with(|config| {
        let config = plain(config).swap("[http]\n", &format!("[http]\n{}", lines(&http)));
        let name = "[[upstreams]]\n";
        let config =
            config.swap(name, &format!("{name}{}eject_for = \"36500d\"\n", lines(&upstream)));
        config
            + "\n[limits]\nglobal = { requests = 300, per = \"36500d\" }\n\
                  per_address = { requests = 500, per = \"36500d\" }\n"
    })
    .await;
    let target = "/open-insurance/channels/v2/branches";
    for _ in 0..2 {
        assert_eq!(lab.send(&Request::get(target)).await.status, 200);
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let answer = lab.http2().await.exchange(request, bytes::Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert!(!lab.gateway.log_contains("panic"));
}

/// Without any of them nothing could be served: an empty array says as little as none.
#[test]
fn an_array_of_no_tables_is_a_mistake() {
    let sandbox = Sandbox::new();
    for key in ["listeners", "upstreams"] {
        let mut config: toml::Table = sandbox.config.parse().unwrap();
        config.insert(key.into(), toml::Value::Array(Vec::new()));
        let (code, complaints) = sandbox.complaints(&config.to_string());
        assert_eq!(code, Some(64), "{key}: {complaints:?}");
        let told = format!("{key}: is empty, accepted: at least one [[{key}]] table");
        assert!(complaints.iter().any(|c| c.ends_with(&told)), "{key}: {complaints:?}");
    }
}

/// What a file of certificates or of a key is instead, in which line, and what is accepted.
#[test]
fn a_file_that_is_not_what_it_should_be_is_named_for_what_it_is() {
    let sandbox = Sandbox::new();
    let (leaf, issuing, root) =
        (pki().server.without_intermediate().chain_pem, pki().issuing.pem(), pki().root.pem());
    let lines = |text: &str| text.matches('\n').count();
    let second = 1 + lines(&leaf);
    let (key, der) = (&pki().server.key_pem, pki().server.chain[0].to_vec());
    let utf16 = |text: &str| -> Vec<u8> {
        [0xfe, 0xff].into_iter().chain(text.bytes().flat_map(|byte| [0, byte])).collect()
    };
    let encrypted = key.swap("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let accepted = "accepted: a PEM file with certificates";
    let chains = [
        (der, format!(" is binary (DER or PKCS #12), not PEM, {accepted}")),
        (utf16(&leaf), format!(" is UTF-16, not plain text: save it as UTF-8, {accepted}")),
        (
            ("\u{feff}".to_owned() + &leaf).into_bytes(),
            format!(" has a byte order mark: save it without, {accepted}"),
        ),
        (
            (leaf.clone() + key).into_bytes(),
            format!(":{second} begins a block of another kind (PRIVATE KEY), {accepted}"),
        ),
        (
            (leaf.clone() + "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n")
                .into_bytes(),
            format!(":{second} is no certificate, {accepted}"),
        ),
        (
            (issuing.clone() + &leaf).into_bytes(),
            format!(
                ":{} is not the issuer of the one before it (bad.pem:1), accepted: the own \
                 certificate first, and after each its issuer's",
                1 + lines(&issuing)
            ),
        ),
        (
            (leaf.clone() + &root + &issuing).into_bytes(),
            format!(
                ":{second} is not the issuer of the one before it (bad.pem:1), accepted: the own \
                 certificate first, and after each its issuer's"
            ),
        ),
        (
            (issuing.clone() + &root).into_bytes(),
            ":1 is an authority's certificate, accepted: the own certificate first, and after each its issuer's".into(),
        ),
    ];
    let one_key = "accepted: a PEM file with one unencrypted private key";
    let keys = [
        (
            encrypted.into_bytes(),
            format!(
                ":1 begins an encrypted private key: decrypt it first, as openssl pkey does, {one_key}"
            ),
        ),
        (
            (key.clone() + key).into_bytes(),
            format!(":{} begins a second private key, {one_key}", 1 + lines(key)),
        ),
        (utf16(key), format!(" is UTF-16, not plain text: save it as UTF-8, {one_key}")),
        (
            leaf.clone().into_bytes(),
            format!(":1 begins a block of another kind (CERTIFICATE), {one_key}"),
        ),
    ];
    let bad = sandbox.directory.path().join("bad.pem");
    std::fs::write(&bad, "").unwrap();
    std::fs::set_permissions(&bad, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let good = "certificate = \"server.pem\"\nprivate_key = \"server.key\"";
    for (instead, files) in [
        ("certificate = \"bad.pem\"\nprivate_key = \"server.key\"", &chains[..]),
        ("certificate = \"server.pem\"\nprivate_key = \"bad.pem\"", &keys[..]),
    ] {
        let config = sandbox.config.replacen(good, instead, 1);
        let key =
            if instead.starts_with("certificate = \"bad") { "certificate" } else { "private_key" };
        let line = line_at(&config, "bad.pem");
        for (content, expected) in files {
            std::fs::write(&bad, content).unwrap();
            let (code, complaints) = sandbox.complaints(&config);
            let expected = format!("config.toml:{line} listeners[0].{key}: bad.pem{expected}");
            assert_eq!((code, complaints), (Some(64), vec![expected]));
        }
    }
    std::fs::write(&bad, &leaf).unwrap();
    let config =
        sandbox.config.replacen(good, "certificate = \"bad.pem\"\nprivate_key = \"server.key\"", 1);
    let (code, complaints) = sandbox.complaints(&config);
    let alone = "warning: has the server's certificate alone";
    assert!(
        code == Some(0) && complaints.len() == 1 && complaints[0].contains(alone),
        "{complaints:?}"
    );
}

const POINT: &str = "distribution_points = [\"http://ccd.example/a.crl\"]";
const ISSUERS: &str = "issuers = \"intermediate.pem\"";
const DIRECTORY: &str = "directory = \"crl\"";

#[test]
fn each_mistake_about_revocation_is_told_exactly() {
    let sandbox = Sandbox::new();
    let whole = format!("{POINT}, {ISSUERS}, {DIRECTORY}");
    let urls = "accepted: one or more http:// or https:// URLs of revocation lists";
    let directory = "accepted: a directory that can be written, or made";
    let with = |from: &str, to: &str| whole.swap(from, to);
    let cases = [
        (String::new(), ": has no list, accepted: lists, distribution_points or both".to_owned()),
        (format!("missing = \"allow\", {ISSUERS}"), ": has no list, accepted: lists, distribution_points or both".to_owned()),
        (format!("lists = [], missing = \"allow\", {DIRECTORY}"), ".directory: has no effect without distribution_points, accepted: with them".into()),
        (with(POINT, "distribution_points = []"), format!(".distribution_points: is empty, {urls}")),
        (with("http:", "ldap:"), format!(".distribution_points: has an entry that is no such URL, {urls}")),
        (with("http://", "http://user:canary@"), format!(".distribution_points: has an entry that is no such URL, {urls}")),
        (with("[", "[\"http://ccd.example/a.crl\", "), ".distribution_points: names a point twice, accepted: distinct URLs".into()),
        (with(ISSUERS, ""), ".issuers: is missing, accepted: a PEM file with certificates".into()),
        (with("intermediate.pem", "server.pem"), ".issuers: server.pem:1 is no authority's certificate, accepted: a PEM file with the authorities that sign the lists".into()),
        (with(DIRECTORY, ""), format!(".directory: is missing, {directory}")),
        (with("crl\"", "secret\""), format!(".directory: secret cannot be written (not a directory), {directory}")),
        (with("\"crl\"", "\"secret/crl\""), format!(".directory: secret/crl cannot be written (not a directory), {directory}")),
        (with("http:", "https:"), ".trust_anchors: is missing, accepted: a PEM file with certificates".into()),
        (whole.clone() + ", trust_anchors = \"roots.pem\"", ".trust_anchors: has no effect with http:// URLs, accepted: an https:// URL".into()),
        (whole.clone() + ", refresh = \"999ms\"", ".refresh: \"999ms\" is not understood, accepted: a duration from 1s to 1d".into()),
        (whole.clone() + ", timeout = \"6m\"", ".timeout: \"6m\" is not understood, accepted: a duration up to 5m".into()),
        (whole.clone() + ", expired = \"8d\"", ".expired: \"8d\" is not understood, accepted: \"refuse\" or a duration up to 7d".into()),
    ];
    let anchors = "trust_anchors = \"roots.pem\"\n";
    let line = line_at(&sandbox.config, anchors) + 1;
    let complaints = |table: &str| {
        let config = format!("{anchors}revocation = {{ {} }}\n", table.replace(", ,", ","));
        sandbox.complaints(&sandbox.config.replacen(anchors, &config, 1))
    };
    for (table, expected) in &cases {
        let expected = format!("config.toml:{line} listeners[0].revocation{expected}");
        let (code, complaints) = complaints(table);
        assert_eq!(code, Some(64), "{table}: {complaints:?}");
        assert_eq!(complaints, [expected], "{table}");
    }
    assert_eq!(complaints(&whole), (Some(0), Vec::new()));
    // What only follows from another mistake is not told.
    let list = pki().root.revocation_list(1, &[], -3600, 3600).unwrap();
    std::fs::write(sandbox.directory.path().join("root.crl"), list).unwrap();
    let (_, said) = complaints("lists = [], missing = \"alow\"");
    assert!(
        said.len() == 1 && said[0].contains(".missing: \"alow\" is not understood"),
        "{said:?}"
    );
    let config = "trust_anchors = \"missing.pem\"\nrevocation = { lists = [\"root.crl\"] }\n";
    let (_, said) = sandbox.complaints(&sandbox.config.replacen(anchors, config, 1));
    assert!(said.len() == 1 && said[0].contains("missing.pem cannot be read"), "{said:?}");
    assert!(!sandbox.directory.path().join("crl").exists(), "a check leaves nothing behind");
}

fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line == part).map_or(0, |position| position + 1)
}

/// The line on which a part begins.
fn line_at(text: &str, part: &str) -> usize {
    1 + text[..text.find(part).unwrap()].matches('\n').count()
}

/// One change of the good policy, and the exact text that it earns. `LINE` as above.
pub const POLICY_MISTAKES: &[(&str, &str, &str)] = &[
    (
        "method = \"GET\"",
        "method = \"get\"",
        "policies/demo.toml:LINE routes[0].method: \"get\" is not understood, accepted: \"GET\", \"POST\", \"PUT\", \"PATCH\" or \"DELETE\"",
    ),
    (
        "version = \"1.0.0\"",
        "version = \"v1\"",
        "policies/demo.toml:LINE version: \"v1\" is not understood, accepted: a full version such as \"2.0.0\"",
    ),
    (
        "class = \"medium\"",
        "class = \"low\"",
        "policies/demo.toml:LINE class: \"low\" is not understood, accepted: \"high\", \"medium\" or \"admin\"",
    ),
    (
        "upstream = \"legacy\"",
        "upstream = \"legaxy\"",
        "policies/demo.toml:LINE upstream: \"legaxy\" is an unknown upstream, accepted: legacy",
    ),
    (
        "form = \"uuid\"",
        "form = \"any\"",
        "policies/demo.toml:LINE interaction_id.form: \"any\" is not understood, accepted: \"uuid\" or \"alphanumeric\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{thing\"",
        "policies/demo.toml:LINE routes[0].path: \"/things/{thing\": a parameter is one whole segment {name} of letters, digits, '-' and '_', accepted: a path such as \"/request/{consentId}\"",
    ),
    (
        "access = \"consented\"",
        "access = \"public\"",
        "policies/demo.toml:LINE routes[0].access: \"public\" is not understood, accepted: \"open\", \"certificate\", \"client\" or \"consented\"",
    ),
    (
        "permission = \"DEMO_READ\"\n",
        "",
        "policies/demo.toml:ROUTE0 routes[0].permission: is missing, accepted: one permission such as RESOURCES_READ",
    ),
    (
        "scope = \"demo\"\nidempotency_key",
        "scope = \"demo\"\npermission = \"DEMO_WRITE\"\nidempotency_key",
        "policies/demo.toml:LINE+1 routes[1].permission: has no effect with access = \"client\", accepted: an access that needs it",
    ),
    (
        "idempotency_key = \"required\"\n",
        "",
        "policies/demo.toml:ROUTE1 routes[1].idempotency_key: is missing, accepted: \"required\" or \"ignored\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nconsent_parameter = \"consentId\"",
        "policies/demo.toml:LINE+1 routes[0].consent_parameter: \"consentId\" is no parameter of the path, accepted: the name of one",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{consentId}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({consentId}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{ConsentId}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({ConsentId}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{consent_id}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({consent_id}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{enrollmentId}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({enrollmentId}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/things/{recurringConsentId}/parts\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({recurringConsentId}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/insurance-consents/{id}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({id}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "path = \"/consents/{a}/enrollments/{b}\"",
        "policies/demo.toml:ROUTE0 routes[0].consent_parameter: is missing though the path names a consent ({a} and {b}), accepted: the name of the path parameter that is the caller's consent, or \"none\"",
    ),
    (
        "path = \"/things/{thingId}\"",
        "consent_parameter = \"a\"\npath = \"/consents/{a}/enrollments/{b}\"",
        "policies/demo.toml:LINE routes[0].consent_parameter: leaves {b} to nobody's check: one consent of a path is judged, accepted: a path that names one, or \"none\" where the backend checks them",
    ),
    (
        "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"",
        "access = \"open\"\nconsent_parameter = \"thingId\"",
        "policies/demo.toml:LINE+1 routes[0].consent_parameter: has no effect with access = \"open\", accepted: an access that needs it",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nconsent = \"enrolment\"",
        "policies/demo.toml:LINE+1 routes[0].consent: \"enrolment\" is not understood, accepted: \"consent\" or \"enrollment\"",
    ),
    (
        "path = \"/things\"\n",
        "path = \"/things\"\nconsent = \"enrollment\"\n",
        "policies/demo.toml:LINE+1 routes[1].consent: has no effect here, accepted: access = \"consented\", or a consent_parameter",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nscopes = \"demo\"",
        "policies/demo.toml:LINE+1 routes[0].scopes: is an unknown key (meant: scope?), accepted: access, available_from, class, consent, consent_parameter, consent_use, deprecated_from, errors, idempotency_key, interaction_id, max_body_size, method, other_query, path, path_parameters, permission, query, request_body, retired_from, scope, shadow_until, token_revocation, upstream, version, x_v",
    ),
    (
        "method = \"POST\"\npath = \"/things\"",
        "method = \"POST\"\npath = \"/things/mine\"",
        "policies/demo.toml:LINE+1 routes[1].path: /open-insurance/demo/v1/things/mine overlaps GET /open-insurance/demo/v1/things/{thingId} at policies/demo.toml:10, accepted: templates of which a path matches one",
    ),
    (
        "method = \"POST\"\npath = \"/things\"",
        "method = \"GET\"\npath = \"/things/{thingId}\"",
        "policies/demo.toml:LINE+1 routes[1].path: /open-insurance/demo/v1/things/{thingId} overlaps GET /open-insurance/demo/v1/things/{thingId} at policies/demo.toml:10, accepted: templates of which a path matches one",
    ),
    (
        "upstream = \"legacy\"\n",
        "upstream = \"legacy\"\nscopes = [\"demo-lead\", \"demo-firm\"]\n",
        "policies/demo.toml:LINE+7 routes[0].scope: \"demo\" is an unknown scope, accepted: demo-lead, demo-firm",
    ),
    (
        "upstream = \"legacy\"\n",
        "upstream = \"legacy\"\ndeprecated_from = \"2026-09-01\"\nretired_from = \"2026-08-31\"\n",
        "policies/demo.toml:LINE+2 retired_from: retired on 2026-08-31, before it is deprecated on 2026-09-01, accepted: days in their order",
    ),
    (
        "upstream = \"legacy\"\n\n[[routes]]\n",
        "upstream = \"legacy\"\nretired_from = \"2026-08-31\"\n\n[[routes]]\ndeprecated_from = \"2026-09-01\"\n",
        "policies/demo.toml:LINE+4 routes[0].deprecated_from: retired on 2026-08-31, before it is deprecated on 2026-09-01, accepted: days in their order",
    ),
    (
        "upstream = \"legacy\"\n",
        "upstream = \"legacy\"\navailable_from = \"2026-09-02\"\ndeprecated_from = \"2026-09-01\"\n",
        "policies/demo.toml:LINE+2 deprecated_from: deprecated on 2026-09-01, before it is available on 2026-09-02, accepted: days in their order",
    ),
    (
        "upstream = \"legacy\"\n\n[[routes]]\n",
        "upstream = \"legacy\"\nretired_from = \"2026-08-31\"\n\n[[routes]]\navailable_from = \"2026-09-01\"\n",
        "policies/demo.toml:LINE+4 routes[0].available_from: retired on 2026-08-31, before it is available on 2026-09-01, accepted: days in their order",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\npath_parameters = [{ name = \"policyId\", max_length = 60 }]",
        "policies/demo.toml:LINE+1 routes[0].path_parameters[0].name: \"policyId\" is no parameter of the path, accepted: the name of one",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\npath_parameters = [{ name = \"thingId\" }]",
        "policies/demo.toml:LINE+1 routes[0].path_parameters[0]: asks for nothing, accepted: max_length or form",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\npath_parameters = [{ name = \"thingId\", max_length = 0 }]",
        "policies/demo.toml:LINE+1 routes[0].path_parameters[0].max_length: 0 is out of bounds, accepted: a whole number from 1 to 4096",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\npath_parameters = [{ name = \"thingId\", form = \"uuid\" }]",
        "policies/demo.toml:LINE+1 routes[0].path_parameters[0].form: \"uuid\" is not understood, accepted: \"urn\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nquery = [{ name = \"page\" }, { name = \"page\" }]",
        "policies/demo.toml:LINE+1 routes[0].query[1].name: \"page\" stands twice, accepted: each name once",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nquery = [{ name = \"page\", least = 5, most = 4 }]",
        "policies/demo.toml:LINE+1 routes[0].query[0].most: 4 is out of bounds, accepted: a whole number from 5 to 4294967295",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nquery = [{ name = \"page\", least = 1, values = [\"1\"] }]",
        "policies/demo.toml:LINE+1 routes[0].query[0].values: stands with bounds, or empty, accepted: values, or least and most",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nquery = [{ name = \"a b\" }]",
        "policies/demo.toml:LINE+1 routes[0].query[0].name: \"a b\" is not understood, accepted: a name of up to 64 letters, digits, hyphens, dots and underscores",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nother_query = \"dropped\"",
        "policies/demo.toml:LINE+1 routes[0].other_query: \"dropped\" is not understood, accepted: \"ignored\" or \"refused\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nmax_body_size = \"1KiB\"",
        "policies/demo.toml:LINE+1 routes[0].max_body_size: has no effect with this method, accepted: POST, PUT or PATCH",
    ),
    (
        "method = \"POST\"\n",
        "max_body_size = \"2MiB\"\nmethod = \"POST\"\n",
        "policies/demo.toml:LINE+2 routes[1].path: has a max_body_size of 2097152 bytes, accepted: up to the 1048576 of http.max_body_size",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nx_v = \"asked\"",
        "policies/demo.toml:LINE+1 routes[0].x_v: \"asked\" is not understood, accepted: \"negotiated\" or \"ignored\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nretired_from = \"2026-02-30\"",
        "policies/demo.toml:LINE+1 routes[0].retired_from: \"2026-02-30\" is not understood, accepted: a day such as \"2026-12-31\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nshadow_until = \"2026-13-01\"",
        "policies/demo.toml:LINE+1 routes[0].shadow_until: \"2026-13-01\" is not understood, accepted: a day such as \"2026-12-31\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nversion = \"1.0\"",
        "policies/demo.toml:LINE+1 routes[0].version: \"1.0\" is not understood, accepted: a full version such as \"2.0.0\"",
    ),
    (
        "consent_use = \"read\"",
        "consent_use = \"read\"\nerrors = \"list\"",
        "policies/demo.toml:LINE+1 routes[0].errors: \"list\" is not understood, accepted: \"common\", \"closed\", \"object\", \"dated-meta\" or \"misspelt\"",
    ),
    (
        "access = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"",
        "access = \"open\"\npermission = \"DEMO_READ\"",
        "policies/demo.toml:LINE+1 routes[0].permission: has no effect with access = \"open\", accepted: an access that needs it",
    ),
    (
        "[[routes]]\nmethod = \"POST\"",
        "[[routes]]\nmethod = \"GET\"\npath = \"/more\"\naccess = \"consented\"\nscope = \"demo\"\npermission = \"DEMO_READ\"\nconsent_use = \"read\"\n\n[[routes]]\nmethod = \"POST\"",
        "policies/demo.toml:LINE+5 routes[1].permission: \"DEMO_READ\" is the permission of the route at policies/demo.toml:13 too, accepted: one route per permission",
    ),
];

#[test]
fn each_mistake_in_a_policy_is_told_exactly() {
    let sandbox = Sandbox::new();
    for (good, bad, expected) in POLICY_MISTAKES {
        assert!(POLICY.contains(good), "{good}");
        let policy = POLICY.replacen(good, bad, 1);
        std::fs::write(sandbox.directory.path().join("policies/demo.toml"), &policy).unwrap();
        let base = line_at(POLICY, good);
        let routes: Vec<usize> = policy
            .lines()
            .enumerate()
            .filter(|(_, l)| *l == "[[routes]]")
            .map(|(n, _)| n + 1)
            .collect();
        let mut expected = (*expected).to_owned();
        for (mark, line) in [
            ("LINE+1", base + 1),
            ("LINE+2", base + 2),
            ("LINE+4", base + 4),
            ("LINE+5", base + 5),
            ("LINE+7", base + 7),
            ("LINE", base),
            ("ROUTE0", routes[0]),
            ("ROUTE1", routes[1]),
        ] {
            expected = expected.replacen(&format!(":{mark} "), &format!(":{line} "), 1);
        }
        let (code, complaints) = sandbox.complaints(&sandbox.config);
        assert_eq!(code, Some(64), "{bad}: {complaints:?}");
        assert!(complaints.contains(&expected), "expected {expected}\nfound {complaints:#?}");
    }
}

#[test]
fn what_a_variable_holds_is_never_shown() {
    let sandbox = Sandbox::new();
    let config = sandbox.config.replacen("http://127.0.0.1:0\"\nkeep", "${REGISTRY}\"\nkeep", 1);
    assert_ne!(config, sandbox.config);
    std::fs::write(sandbox.directory.path().join("config.toml"), &config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(sandbox.directory.path())
        .env("REGISTRY", "https://user:canary@registry.example")
        .args(["check", "-c", "config.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("consent.registry: \"${REGISTRY}\" is not understood"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

/// A mistake is told, and not what only follows from it: with the whole catalogue there would be hundreds.
#[test]
fn a_mistake_hides_what_only_follows_from_it() {
    let sandbox = Sandbox::new();
    for entry in std::fs::read_dir(crate::harness::policies()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap();
            std::fs::copy(&path, sandbox.directory.path().join("policies").join(name)).unwrap();
        }
    }
    let webhook =
        "keep = \"5m\"\nwebhook = { listener = \"public\", path = \"/e\", keys = \"jwks.json\" }";
    let servers = sandbox.config.lines().find(|line| line.starts_with("servers = ")).unwrap();
    let of_public = sandbox.config.rfind("certificate = \"server.pem\"").unwrap();
    let broken_listener = format!(
        "{}certificate = \"none.pem\"{}",
        &sandbox.config[..of_public],
        &sandbox.config[of_public + "certificate = \"server.pem\"".len()..]
    );
    for (config, expected) in [
        (sandbox.config.swap(servers, "servers = [\"nowhere\"]"), "upstreams[0].servers: "),
        (sandbox.config.swap(servers, "servers = 7"), "upstreams[0].servers: is of type"),
        (sandbox.config.swap("name = \"legacy\"", "name = \"Le gacy\""), "upstreams[0].name: "),
        (sandbox.config.swap("[[upstreams]]", "[upstreams]"), "upstreams: is of type table"),
        (broken_listener.swap("keep = \"5m\"", webhook), "listeners[1].certificate: none.pem"),
        (sandbox.config.swap("[http]", "[[http]"), "config.toml:"),
        (format!("x = \"\n{}", sandbox.config), "config.toml:1: "),
        (sandbox.config.swap("keep = \"5m\"", "keep = \"${KEEP\""), "consent.keep: has a ${"),
    ] {
        let (code, complaints) = sandbox.complaints(&config);
        assert_eq!(code, Some(64), "{expected}");
        assert_eq!(complaints.len(), 1, "{expected}: {complaints:#?}");
        assert!(complaints[0].contains(expected), "{expected}: {complaints:?}");
    }
    // Of a policy file likewise.
    let policy = sandbox.directory.path().join("policies/demo.toml");
    for (good, bad, expected) in [
        ("class = \"medium\"", "class = \"low\"", "class: \"low\" is not understood"),
        ("form = \"uuid\"", "form = \"any\"", "interaction_id.form: \"any\""),
        ("api = \"demo\"", "api = \"demo", "policies/demo.toml:1: "),
    ] {
        std::fs::write(&policy, POLICY.replacen(good, bad, 1)).unwrap();
        let (_, complaints) = sandbox.complaints(&sandbox.config);
        assert_eq!(complaints.len(), 1, "{expected}: {complaints:#?}");
        assert!(complaints[0].contains(expected), "{expected}: {complaints:?}");
    }
}

#[test]
fn a_file_is_told_before_those_that_it_names() {
    let sandbox = Sandbox::new();
    let policy = sandbox.directory.path().join("policies/demo.toml");
    std::fs::write(&policy, POLICY.replacen("class = \"medium\"", "class = \"low\"", 1)).unwrap();
    std::fs::rename(sandbox.directory.path().join("policies"), sandbox.directory.path().join("a"))
        .unwrap();
    let config = sandbox.config.swap("directory = \"policies\"", "directory = \"a\"");
    let (_, complaints) = sandbox.complaints(&config.swap("keep = \"5m\"", "keep = \"365d\""));
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].starts_with("config.toml:"), "{complaints:?}");
    assert!(complaints[1].starts_with("a/demo.toml:"), "{complaints:?}");
}

#[test]
fn a_file_in_another_encoding_is_told_by_its_name() {
    let sandbox = Sandbox::new();
    let path = sandbox.directory.path().join("config.toml");
    let utf16: Vec<u8> = [0xFF, 0xFE]
        .into_iter()
        .chain(sandbox.config.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    for (bytes, expected) in [
        (utf16, "config.toml:0: is UTF-16, accepted: UTF-8"),
        (b"x = \"\xE9\"".to_vec(), "config.toml:0: is not UTF-8, accepted: UTF-8"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
            .current_dir(sandbox.directory.path())
            .args(["check", "-c", "config.toml"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap().trim_end(), expected);
    }
    // A byte order mark says nothing, and changes nothing.
    assert_eq!(sandbox.complaints(&format!("\u{feff}{}", sandbox.config)).0, Some(0));
}

#[test]
fn what_an_editor_hides_is_no_policy() {
    let sandbox = Sandbox::new();
    let policies = sandbox.directory.path().join("policies");
    std::fs::write(policies.join(".demo.toml"), "not = [TOML").unwrap();
    std::os::unix::fs::symlink("somebody@somewhere.1", policies.join(".#demo.toml")).unwrap();
    let (code, complaints) = sandbox.complaints(&sandbox.config);
    assert_eq!((code, complaints.len()), (Some(0), 2), "{complaints:?}");
    for (complaint, name) in complaints.iter().zip([".#demo.toml", ".demo.toml"]) {
        let expected = format!(
            "policies.directory: warning: policies/{name} is hidden, as an editor's files are, and not read"
        );
        assert!(complaint.ends_with(&expected), "{complaint}");
    }
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let key = sandbox.directory.path().join("server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, complaints) = sandbox.complaints(&sandbox.config);
    assert_eq!((code, complaints.len()), (Some(0), 2), "one for each listener: {complaints:?}");
    let warning = "private_key: warning: server.key can be read by others (mode 644): chmod 600";
    assert!(complaints.iter().all(|complaint| complaint.ends_with(warning)), "{complaints:?}");
}

#[test]
fn a_key_for_answers_is_raw_or_base64_and_for_nobody_elses_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let key = sandbox.directory.path().join("answers.key");
    let table = "\n[idempotency]\ndirectory = \".\"\nkey_file = \"answers.key\"\n";
    let config = format!("{}{table}", sandbox.config);
    let base64 = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
    let raw = "k".repeat(32);
    for (text, mode, complaints) in [
        (raw.as_str(), 0o600, 0),
        (base64, 0o600, 0),
        (&format!("{base64}\n"), 0o600, 0),
        (base64, 0o640, 1),
    ] {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, found) = sandbox.complaints(&config);
        assert_eq!((code, found.len()), (Some(0), complaints), "{text} {found:?}");
        let warning = "idempotency.key_file: warning: answers.key can be read by others (mode 640): chmod 600";
        assert!(found.iter().all(|complaint| complaint.ends_with(warning)), "{found:?}");
    }
    let short = &base64[4..];
    std::fs::write(&key, short).unwrap();
    let (code, found) = sandbox.complaints(&config);
    assert_eq!(code, Some(64), "{found:?}");
    assert!(found.iter().all(|complaint| !complaint.contains(short)), "{found:?}");
    let made = std::fs::read_dir(sandbox.directory.path()).unwrap();
    let made = made
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "sqlite"));
    assert_eq!(made.count(), 0, "check makes nothing");
}

#[test]
fn an_unreadable_policy_is_told() {
    let sandbox = Sandbox::new();
    let policy = sandbox.directory.path().join("policies/broken.toml");
    std::fs::write(&policy, [0xff, 0xfe]).unwrap();
    let (code, complaints) = sandbox.complaints(&sandbox.config);
    assert_eq!(code, Some(64));
    let expected = "policies/broken.toml:0: is UTF-16, accepted: UTF-8";
    assert_eq!(complaints, [expected]);
    std::fs::write(&policy, "api = \n").unwrap();
    let (_, complaints) = sandbox.complaints(&sandbox.config);
    assert!(complaints[0].starts_with("policies/broken.toml:1: "), "{complaints:?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .args(["run", "-c", "nowhere.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = "nowhere.toml:0: cannot be read (No such file or directory (os error 2)), accepted: a readable TOML file\n";
    assert_eq!(text, expected);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let sandbox = Sandbox::new();
    let config = sandbox
        .config
        .swap("threads = 1", "threads = 0")
        .swap("roots.pem", "missing.pem")
        .swap("total_timeout = \"1s\"", "total_timeout = \"soon\"");
    let policy = POLICY.swap("\"read\"", "\"write\"");
    std::fs::write(sandbox.directory.path().join("policies/demo.toml"), policy).unwrap();
    let (code, complaints) = sandbox.complaints(&config);
    assert_eq!(code, Some(64));
    let keys: Vec<&str> = complaints.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    let expected = [
        "server.threads:",
        "listeners[0].trust_anchors:",
        "upstreams[0].total_timeout:",
        "routes[0].consent_use:",
    ];
    assert_eq!(keys, expected, "{complaints:#?}");
}

#[test]
fn what_nothing_configured_can_satisfy_is_told() {
    let sandbox = Sandbox::new();
    let without_consent = &sandbox.config[..sandbox.config.find("[consent]").unwrap()];
    let (code, complaints) = sandbox.complaints(without_consent);
    assert_eq!(code, Some(64));
    let expected = "policies/demo.toml:10 routes[0].path: needs a consent registry, accepted: registry in [consent]";
    assert_eq!(complaints, [expected]);
    let public =
        sandbox.config.swap("trust_anchors = \"roots.pem\"\n", "").swap("\"required\"", "\"none\"");
    let (code, complaints) = sandbox.complaints(&public);
    assert_eq!(code, Some(64));
    let expected = "policies/demo.toml:10 routes[0].path: needs client certificates, accepted: a listener with client_auth = \"required\"";
    assert_eq!(complaints, [expected]);
}

#[test]
fn a_token_does_not_tell_whose_another_consent_is() {
    let sandbox = Sandbox::new();
    let by_token =
        sandbox.config.swap("registry = \"http://127.0.0.1:0\"\n", "source = \"token\"\n").swap(
            "[[token.issuers]]",
            "consent = { permissions = \"/permissions\", status = \"implied\" }\n[[token.issuers]]",
        );
    let (code, complaints) = sandbox.complaints(&by_token);
    assert_eq!((code, complaints.len()), (Some(0), 0), "{complaints:?}");
    for (good, bad) in [
        ("consent_use = \"read\"", "consent_use = \"read\"\nconsent = \"enrollment\""),
        ("path = \"/things\"\n", "path = \"/own/{thingId}\"\nconsent_parameter = \"thingId\"\n"),
    ] {
        let policy = POLICY.replacen(good, bad, 1);
        std::fs::write(sandbox.directory.path().join("policies/demo.toml"), &policy).unwrap();
        let (code, complaints) = sandbox.complaints(&by_token);
        assert_eq!(code, Some(64));
        let expected = "path: needs a consent registry, accepted: registry in [consent]";
        assert!(complaints[0].ends_with(expected), "{complaints:?}");
    }
}

#[test]
fn an_expired_server_certificate_is_a_warning() {
    let sandbox = Sandbox::new();
    let output = sandbox.check(&sandbox.config.swap("\"server.pem\"", "\"expired.pem\""));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    for line in text.lines() {
        assert!(line.contains(".certificate: warning: the certificate expired on "), "{line}");
        assert!(line.ends_with(": clients will refuse it"), "{line}");
    }
}

#[test]
fn limits_below_the_legal_floor_are_a_warning() {
    let sandbox = Sandbox::new();
    let limits = "\n[limits]\nglobal = { requests = 100, per = \"1s\" }\n";
    let config = format!("{}{limits}", sandbox.config);
    let output = sandbox.check(&config);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stderr).unwrap();
    let line = line_at(&config, "global =");
    let expected = format!(
        "config.toml:{line} limits.global: warning: is below the legal floor of 300 requests per 1 s\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn serving_old_answers_in_an_outage_is_a_warning() {
    let sandbox = Sandbox::new();
    let key = "keep = \"5m\"\nstale_for = { high = \"refuse\", medium = \"10m\" }";
    let config = sandbox.config.swap("keep = \"5m\"", key);
    let (code, complaints) = sandbox.complaints(&config);
    let line = line_at(&config, "stale_for");
    let expected = format!(
        "config.toml:{line} consent.stale_for.medium: warning: a consent that is revoked elsewhere \
         during an outage stays in force so long"
    );
    assert_eq!((code, complaints), (Some(0), vec![expected]));
}

#[test]
fn believing_everybody_is_a_warning() {
    let sandbox = Sandbox::new();
    for everybody in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"] {
        let key =
            format!("client_auth = \"none\"\nproxy_protocol = {{ from = [\"{everybody}\"] }}");
        let config = sandbox.config.swap("client_auth = \"none\"", &key);
        let (code, complaints) = sandbox.complaints(&config);
        let line = line_at(&config, "proxy_protocol");
        let expected = format!(
            "config.toml:{line} listeners[1].proxy_protocol.from: warning: takes everybody's word: \
             whoever reaches the listener chooses its address"
        );
        assert_eq!((code, complaints), (Some(0), vec![expected]), "{everybody}");
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_of_start_up() {
    let sandbox = Sandbox::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = sandbox.config.replacen(
        "address = \"127.0.0.1:0\"",
        &format!("address = \"{address}\""),
        1,
    );
    std::fs::write(sandbox.directory.path().join("config.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(sandbox.directory.path())
        .args(["run", "-c", "config.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("admin: cannot listen on {address}")), "{text}");
}

#[test]
fn the_command_explains_itself() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_portaria")).args(arguments).output().unwrap()
    };
    let version = run(&["version"]);
    assert_eq!(version.status.code(), Some(0));
    let said = String::from_utf8(version.stdout).unwrap();
    assert!(said.starts_with(&format!("portaria {} (", env!("CARGO_PKG_VERSION"))), "{said}");
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["run", "check", "version", "Examples", "Exit codes: 0 ok, 64 bad configuration"] {
        assert!(text.contains(word), "{word}");
    }
    assert_eq!(run(&["fly"]).status.code(), Some(1));
}
