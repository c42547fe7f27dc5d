//! What a revocation list may hold, to the last of its entries; which files of them are taken; whether there are
//! enough for anybody to get through.

use std::sync::Arc;

use portaria::identity::{Leniency, ListFault, ListIssuers, PathReason, Revocation};
use portaria::lab::pki::Identity;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::harness::list::{Parts, changed, der, list_pem};
use crate::harness::*;
use crate::reload::reload;

const HOUR: i64 = 3600;
/// The entry of issue 11: a critical extension that nobody knows.
const UNKNOWN_CRITICAL: &[u8] = b"\x30\x22\x02\x01\x07\x17\x0d250101000000Z\
    \x30\x0e\x30\x0c\x06\x03\x2a\x03\x04\x01\x01\xff\x04\x02\x05\x00";
const REASON: &[u8] = b"\x55\x1d\x15";
const INVALIDITY: &[u8] = b"\x55\x1d\x18";
const CERTIFICATE_ISSUER: &[u8] = b"\x55\x1d\x1d";
const PRIVATE: &[u8] = b"\x2a\x03\x04";
const CRL_NUMBER: &[u8] = b"\x55\x1d\x14";
const DELTA: &[u8] = b"\x55\x1d\x1b";
const DISTRIBUTION_POINT: &[u8] = b"\x55\x1d\x1c";
const AUTHORITY_KEY: &[u8] = b"\x55\x1d\x23";
const UTC: &[u8] = b"\x17\x0d250101000000Z";

fn good() -> String {
    pki().issuing.revocation_list(5, &[&pki().one], -HOUR, HOUR).unwrap()
}

fn extension(name: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { b"\x01\x01\xff" } else { b"" };
    der(0x30, &[&der(0x06, name), critical, &der(0x04, value)].concat())
}

fn entry(serial: &[u8], date: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
    let extensions = match extensions {
        [] => Vec::new(),
        extensions => der(0x30, &extensions.concat()),
    };
    der(0x30, &[&der(0x02, serial), date, &extensions].concat())
}

fn with_entry(entry: Vec<u8>) -> Vec<u8> {
    changed(&pki().issuing, &good(), |parts| parts.entries.push(entry))
}

fn with_extensions(extensions: &[Vec<u8>]) -> Vec<u8> {
    with_entry(entry(&[7], UTC, extensions))
}

fn with(change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    changed(&pki().issuing, &good(), change)
}

fn with_own(extension: Vec<u8>) -> Vec<u8> {
    with(|parts| parts.extensions.push(extension))
}

fn reason(code: u8) -> Vec<u8> {
    extension(REASON, false, &[0x0a, 1, code])
}

fn points(url: &str) -> Vec<u8> {
    der(0xa0, &der(0xa0, &der(0x86, url.as_bytes())))
}

fn scope(fields: &[&[u8]]) -> Vec<u8> {
    with_own(extension(DISTRIBUTION_POINT, true, &der(0x30, &fields.concat())))
}

/// Lists that their issuer signed and nobody may use: what each is, why, and its bytes.
fn bad_entries() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let issuer = der(0x30, &der(0xa4, &der(0x30, &[])));
    let long = vec![extension(PRIVATE, false, &[5, 0]); 17];
    let many: Vec<Vec<u8>> = (0..17).map(|n| extension(&[0x2a, n], false, &[5, 0])).collect();
    vec![
        ("a critical extension", "unsupported", with_entry(UNKNOWN_CRITICAL.to_vec())),
        (
            "one after others",
            "unsupported",
            with_extensions(&[reason(1), extension(PRIVATE, true, &[5, 0])]),
        ),
        (
            "a critical certificateIssuer",
            "unsupported",
            with_extensions(&[extension(CERTIFICATE_ISSUER, true, &issuer)]),
        ),
        (
            "another certificateIssuer",
            "unsupported",
            with_extensions(&[extension(CERTIFICATE_ISSUER, false, &issuer)]),
        ),
        ("removeFromCRL", "unsupported", with_extensions(&[reason(8)])),
        ("reason 7", "unreadable", with_extensions(&[reason(7)])),
        ("reason 11", "unreadable", with_extensions(&[reason(11)])),
        ("no reason", "unreadable", with_extensions(&[extension(REASON, false, &[0x0a, 0])])),
        (
            "a reason that is no enumeration",
            "unreadable",
            with_extensions(&[extension(REASON, false, &[0x02, 1, 1])]),
        ),
        (
            "bytes after a reason",
            "unreadable",
            with_extensions(&[extension(REASON, false, &[0x0a, 1, 1, 0])]),
        ),
        ("a reason twice", "unreadable", with_extensions(&[reason(1), reason(1)])),
        (
            "an unknown extension twice",
            "unreadable",
            with_extensions(&[
                extension(PRIVATE, false, &[5, 0]),
                reason(1),
                extension(PRIVATE, false, &[5, 0]),
            ]),
        ),
        ("the same one seventeen times", "unreadable", with_extensions(&long)),
        ("seventeen extensions", "unreadable", with_extensions(&many)),
        (
            "no date of invalidity",
            "unreadable",
            with_extensions(&[extension(INVALIDITY, false, b"\x18\x0d250101000000Z")]),
        ),
        ("no serial number", "unreadable", with_entry(entry(&[], UTC, &[]))),
        ("no date", "unreadable", with_entry(entry(&[7], &[], &[]))),
        ("no such date", "unreadable", with_entry(entry(&[7], b"\x17\x0d250230000000Z", &[]))),
        ("a zone", "unreadable", with_entry(entry(&[7], b"\x17\x112501010000+0100", &[]))),
        ("no seconds", "unreadable", with_entry(entry(&[7], b"\x17\x0b2501010000Z", &[]))),
        ("fractions", "unreadable", with_entry(entry(&[7], b"\x18\x1120250101000000.5Z", &[]))),
        (
            "bytes after an entry",
            "unreadable",
            with_entry([entry(&[7], UTC, &[]), vec![0]].concat()),
        ),
        (
            "bytes in an entry",
            "unreadable",
            with_entry(der(0x30, &[&der(0x02, &[7]), UTC, &der(0x30, &[]), &[5, 0]].concat())),
        ),
        ("no entry", "unreadable", with_entry(der(0x31, &[&der(0x02, &[7]), UTC].concat()))),
        ("a long length", "unreadable", with_entry([&[0x30, 0x81, 18, 2, 1, 7][..], UTC].concat())),
    ]
}

fn bad_lists() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let number = |critical| extension(CRL_NUMBER, critical, &[2, 1, 9]);
    let url = "http://point.example/a.crl";
    let (end_entities, authorities): (&[u8], &[u8]) = (&[0x81, 1, 0xff], &[0x82, 1, 0xff]);
    vec![
        ("a critical extension", "unsupported", with_own(extension(PRIVATE, true, &[5, 0]))),
        (
            "an unknown extension twice",
            "unreadable",
            with(|parts| parts.extensions.extend(vec![extension(PRIVATE, false, &[5, 0]); 2])),
        ),
        ("two numbers", "unreadable", with_own(number(false))),
        (
            "two authority keys",
            "unreadable",
            with_own(extension(AUTHORITY_KEY, false, &der(0x30, &[]))),
        ),
        ("a critical number", "unreadable", with(|parts| parts.extensions = vec![number(true)])),
        ("no number", "unreadable", with(|parts| parts.extensions.truncate(1))),
        (
            "a negative number",
            "unreadable",
            with(|parts| parts.extensions = vec![extension(CRL_NUMBER, false, &[2, 1, 0x89])]),
        ),
        ("a delta", "unsupported", with_own(extension(DELTA, true, &[2, 1, 1]))),
        ("both kinds", "unsupported", scope(&[&points(url), end_entities, authorities])),
        ("out of order", "unsupported", scope(&[end_entities, &points(url)])),
        ("a kind twice", "unsupported", scope(&[&points(url), end_entities, &[0x81, 1, 0]])),
        ("no point", "unsupported", scope(&[end_entities])),
        ("indirect", "unsupported", scope(&[&points(url), &[0x84, 1, 0xff]])),
        ("of some reasons", "unsupported", scope(&[&points(url), &[0x83, 2, 6, 0x40]])),
        (
            "another algorithm inside",
            "unreadable",
            with(|parts| {
                // sha512WithRSAEncryption for sha256WithRSAEncryption.
                let place = parts.head[1].iter().rposition(|byte| *byte == 0x0b).unwrap();
                parts.head[1][place] = 0x0d;
            }),
        ),
        ("version 1", "unreadable", with(|parts| parts.head[0] = vec![2, 1, 0])),
        ("no nextUpdate", "unreadable", with(|parts| parts.head[4].clear())),
        ("a zone", "unreadable", with(|parts| parts.head[4] = b"\x17\x114901010000+0100".to_vec())),
    ]
}

fn read(list: &[u8]) -> Result<portaria::identity::RevocationList, ListFault> {
    ListIssuers::new(&[pki().root.certificate()], &[pki().issuing.certificate()])
        .unwrap()
        .read(list, "point")
}

#[test]
fn what_forbids_the_use_of_a_list_is_found_wherever_it_stands() {
    for (what, reason, list) in bad_entries().into_iter().chain(bad_lists()) {
        let fault = read(&list).map(|_| ()).unwrap_err();
        assert_eq!(fault.as_str(), reason, "{what}: {fault}");
    }
}

/// Whether an end entity would be refused as revoked under a list.
fn is_revoked(identity: &Identity, list: &[u8]) -> bool {
    use portaria::identity::{PathRules, PathVerifier, TrustAnchors};
    use rustls::pki_types::UnixTime;
    let list = read(list).unwrap_or_else(|fault| panic!("{fault}"));
    let root = read(pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap().as_bytes()).unwrap();
    let revocation =
        Revocation::new(vec![Arc::new(list), Arc::new(root)], Leniency::Refuse, Leniency::Refuse);
    let paths = PathVerifier {
        anchors: TrustAnchors::new(vec![pki().root.certificate()]).unwrap(),
        rules: PathRules::OF_LISTENERS,
        revocation: Some(Arc::new(revocation)),
        algorithms: portaria::listener::tls::provider().signature_verification_algorithms,
    };
    match paths.verify(&identity.chain, UnixTime::now()) {
        Ok(_) => false,
        Err(fault) => {
            assert_eq!(fault.reason, PathReason::Revoked);
            true
        }
    }
}

#[test]
fn what_may_stand_in_an_entry_revokes_and_harms_no_other() {
    let (_, certificate) = X509Certificate::from_der(&pki().two.chain[0]).unwrap();
    let serial = certificate.raw_serial();
    let padded = [&[0, 0], serial].concat();
    let other = extension(PRIVATE, false, &[5, 0]);
    let invalidity = extension(INVALIDITY, true, b"\x18\x0f20250101000000Z");
    let many: Vec<Vec<u8>> = (0..16).map(|n| extension(&[0x2a, n], false, &[5, 0])).collect();
    let generalized: &[u8] = b"\x18\x0f20250101000000Z";
    for (what, entry) in [
        ("nothing", entry(serial, UTC, &[])),
        ("another date", entry(serial, generalized, &[])),
        ("padding", entry(&padded, UTC, &[])),
        ("no extension", der(0x30, &[&der(0x02, serial), UTC, &der(0x30, &[])].concat())),
        ("a reason", entry(serial, UTC, &[reason(6)])),
        ("extensions", entry(serial, UTC, &[reason(0), other, invalidity])),
        ("as many as may be", entry(serial, UTC, &many)),
    ] {
        let list = with(|parts| parts.entries = vec![entry]);
        assert!(is_revoked(&pki().two, &list), "{what}");
        assert!(!is_revoked(&pki().one, &list), "{what}");
    }
}

/// A lab whose lists come from files.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    /// The root revokes nobody, the issuing authority participant one; the list has number 5.
    fn new() -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.write("root.crl", pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap());
        files.write("issuing.crl", good());
        files.write("issuers.pem", pki().issuing.pem());
        files
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, config: &str, more: &str) -> String {
        let anchors = "trust_anchors = \"roots.pem\"\n";
        let lists = format!(
            "{anchors}revocation = {{ lists = [{:?}, {:?}], issuers = {:?}{more} }}\n",
            self.path("root.crl"),
            self.path("issuing.crl"),
            self.path("issuers.pem"),
        );
        config.swap(anchors, &lists)
    }

    async fn lab(&self, more: &str) -> Lab {
        lab_with(|config| self.configure(&config, more)).await
    }
}

/// What `portaria check` says of a lab's configuration: nothing if it is good.
fn check(lab: &Lab) -> Vec<String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(lab.directory.path())
        .args(["check", "-c", "config.toml"])
        .output()
        .unwrap();
    let said: Vec<String> =
        String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect();
    let is_good = output.status.code() == Some(0);
    assert_eq!(is_good, said.iter().all(|line| line.contains("warning:")), "{said:?}");
    if is_good { Vec::new() } else { said }
}

/// The reload is refused and says so, `check` does too, and participant one stays revoked.
async fn assert_not_taken(lab: &Lab, what: &str, is_checked: bool) {
    reload(lab, "the one in force stays").await;
    lab.gateway.expect_log(what).await;
    let reached = lab.recorded().len();
    assert!(!lab.admits(&pki().one).await, "{what}");
    assert_eq!(lab.recorded().len(), reached);
    assert!(lab.admits(&pki().two).await, "{what}");
    let said = check(lab);
    assert_eq!(said.iter().any(|line| line.contains(what)), is_checked, "{what}: {said:#?}");
}

#[tokio::test]
async fn a_list_with_an_entry_that_forbids_its_use_is_not_put_in_force() {
    let files = Files::new();
    let lab = files.lab("").await;
    assert!(!lab.admits(&pki().one).await);
    lab.assert_untouched();
    for (what, list) in [
        ("a critical extension", with_entry(UNKNOWN_CRITICAL.to_vec())),
        ("an extension stands twice", with_extensions(&[reason(1), reason(1)])),
    ] {
        for bytes in [list.clone(), list_pem(&list).into_bytes()] {
            files.write("issuing.crl", bytes);
            assert_not_taken(&lab, what, true).await;
        }
    }
}

/// A list in a file is judged as one that was fetched is; `missing` and `expired` change nothing about it.
#[tokio::test]
async fn no_bad_file_takes_the_place_of_a_good_one() {
    let issuing = &pki().issuing;
    let list = |number, from, until| issuing.revocation_list(number, &[], from, until).unwrap();
    let files = Files::new();
    let in_force = std::fs::read_to_string(files.path("issuing.crl")).unwrap();
    let lab = files.lab(", missing = \"allow\"").await;
    let twin = portaria::lab::pki::CertificationAuthority::root(
        "portaria lab SSL v1",
        portaria::lab::pki::rsa_key().unwrap(),
    )
    .unwrap();
    let clean = list(9, -60, HOUR);
    let stranger = pki().other_root.revocation_list(9, &[], -60, HOUR).unwrap();
    let at = |line: usize, what: &str| format!("issuing.crl:{line} {what}");
    let lines = 1 + clean.matches('\n').count();
    for (text, what, is_checked) in [
        (list(9, HOUR, 2 * HOUR), at(1, "is not usable: a list from the future"), true),
        (list(9, -HOUR / 2, -60), at(1, "is not usable: a list that is past its nextUpdate"), true),
        (
            list(4, -2 * HOUR, HOUR),
            at(1, "is not usable: an older list than the one in force"),
            false,
        ),
        (stranger.clone(), at(1, "is not usable: a list of an issuer that is neither"), true),
        (
            twin.revocation_list(9, &[], -60, HOUR).unwrap(),
            at(1, "is not usable: a signature that does not verify"),
            true,
        ),
        (clean.clone() + &stranger, at(lines, "is not usable: a list of an issuer"), true),
        (String::new(), "issuing.crl has no revocation list".to_owned(), true),
        ("# nothing\n".to_owned(), "issuing.crl has no revocation list".to_owned(), true),
    ] {
        files.write("issuing.crl", text);
        assert_not_taken(&lab, &what, is_checked).await;
    }
    // Of the same second and number: the one that revokes is the later one.
    let emptied = changed(issuing, &in_force, |parts| parts.entries.clear());
    files.write("issuing.crl", list_pem(&emptied));
    assert_not_taken(&lab, "an older list than the one in force", false).await;
    files.write("issuing.crl", clean);
    reload(&lab, "configuration reloaded").await;
    assert!(lab.admits(&pki().one).await);
}

/// What is not recognised revokes nobody: with `missing = "allow"` it would admit.
#[tokio::test]
async fn whatever_in_a_file_is_neither_text_nor_a_block_is_a_mistake_with_its_line() {
    let files = Files::new();
    let lab = files.lab(", missing = \"allow\"").await;
    let good = good();
    let der = {
        use rustls::pki_types::pem::PemObject;
        rustls::pki_types::CertificateRevocationListDer::from_pem_slice(good.as_bytes()).unwrap()
    };
    let of_root = pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap();
    let second = of_root.matches('\n').count() + 1;
    let behind = |text: &[u8]| [of_root.as_bytes(), text].concat();
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(good.bytes().flat_map(|byte| [byte, 0])).collect();
    let indented: String = good.lines().map(|line| format!("  {line}\n")).collect();
    let naked: String = good.lines().filter(|line| !line.starts_with('-')).collect();
    let cut = &good[..good.len() / 2];
    for (bytes, line, what) in [
        (behind(good.swap("X509 CRL", "CRL").as_bytes()), Some(second), "another kind (CRL)"),
        (behind(indented.as_bytes()), Some(second), "looks like the begin or end of a block"),
        (behind(good.to_lowercase().as_bytes()), Some(second), "looks like the begin or end"),
        (behind(good.swap("-----", "----").as_bytes()), Some(second), "looks like the begin"),
        (behind(&der), Some(second), "has bytes that are no text"),
        (behind(naked.as_bytes()), Some(second), "has base64 outside a block"),
        (behind(cut.as_bytes()), Some(second), "begins a block that does not end"),
        (behind(pki().issuing.pem().as_bytes()), Some(second), "another kind (CERTIFICATE)"),
        (behind(("\u{feff}".to_owned() + &good).as_bytes()), Some(second), "byte order mark"),
        (("\u{feff}".to_owned() + &good).into_bytes(), None, "has a byte order mark"),
        (utf16, None, "is UTF-16"),
        ([&der[..], good.as_bytes()].concat(), None, "not a revocation list of RFC 5280"),
    ] {
        files.write("issuing.crl", bytes);
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        reload(&lab, "the one in force stays").await;
        assert_not_taken(&lab, what, true).await;
        let said = check(&lab).join("\n");
        assert!(said.contains(&format!("issuing.crl{line} ")), "{what}: {said}");
    }
    for text in ["Version 2\n# comment\n".to_owned() + &good, good.replace('\n', "\r\n")] {
        files.write("issuing.crl", text);
        reload(&lab, "configuration reloaded").await;
        assert!(!lab.admits(&pki().one).await);
    }
    files.write("issuing.crl", &der);
    reload(&lab, "configuration reloaded").await;
    assert!(!lab.admits(&pki().one).await);
}

/// Whoever is not covered cannot connect: no such table is taken.
#[tokio::test]
async fn a_table_under_which_nobody_of_an_authority_gets_through_is_a_mistake() {
    let files = Files::new();
    let lab = files.lab("").await;
    let of_root = pki().root.revocation_list(1, &[], -HOUR, HOUR).unwrap();
    let only_root = |config: String| {
        let list = format!(", {:?}]", files.path("issuing.crl"));
        config.swap(&list, "]")
    };
    files.write("issuing.crl", &of_root);
    assert_not_taken(&lab, "has no list of", true).await;
    files.write("issuing.crl", good());
    lab.rewrite_config(only_root);
    assert_not_taken(&lab, "has no list of", true).await;
    let said = check(&lab).join("\n");
    assert!(said.contains("CN=portaria lab SSL v1"), "{said}");
    // Of authorities only, for one that issues for clients; of clients only, for one that issues none.
    lab.rewrite_config(|config| config);
    let point = points("http://point.example/a.crl");
    files.write("issuing.crl", scope(&[&point, &[0x82, 1, 0xff]]));
    assert_not_taken(&lab, "has no list of", true).await;
    files.write("issuing.crl", good());
    let of_clients = changed(&pki().root, &of_root, |parts| {
        let value = der(0x30, &[&point, &[0x81, 1, 0xff][..]].concat());
        parts.extensions.push(extension(DISTRIBUTION_POINT, true, &value));
    });
    files.write("root.crl", of_clients);
    assert_not_taken(&lab, "has no list of", true).await;
    files.write("root.crl", of_root);
    // Whoever says so admits them.
    lab.rewrite_config(|config| {
        only_root(config).swap(".pem\" }", ".pem\", missing = \"allow\" }")
    });
    reload(&lab, "configuration reloaded").await;
    assert_eq!(lab.gateway.admin("/readyz").await.0, 200);
    // A second anchor without a list refuses all of its own.
    lab.rewrite_config(|config| config);
    reload(&lab, "configuration reloaded").await;
    let roots = pki().root.pem() + &pki().other_root.pem();
    std::fs::write(lab.directory.path().join("roots.pem"), roots).unwrap();
    assert_not_taken(&lab, "has no list of", true).await;
}

#[test]
fn a_long_list_is_read_whole() {
    let long = pki().issuing.long_revocation_list(200_000, -HOUR, HOUR).unwrap();
    assert_eq!(read(long.as_bytes()).unwrap().entries(), 200_000);
    let last = changed(&pki().issuing, &long, |parts| {
        parts.entries.push(UNKNOWN_CRITICAL.to_vec());
    });
    assert_eq!(read(&last).map(|_| ()).unwrap_err().as_str(), "unsupported");
}
