//! The structure of the source: one ladder of imports, functions that fit a screen, one place that knows
//! status codes, pingora only where it belongs, one TLS stack.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module imports only what stands before it. Children may use what their parent may use.
const LADDER: [&str; 43] = [
    "packs",
    "moment",
    "printed",
    "pseudonym",
    "digest",
    "strict",
    "address",
    "interaction",
    "http1",
    "request",
    "identity",
    "ask",
    "scope",
    "terms",
    "token",
    "consent",
    "version",
    "parameters",
    "route",
    "limits",
    "refusal",
    "admission",
    "scratch",
    "last_good",
    "idempotency",
    "headers",
    "links",
    "alarm",
    "upstream",
    "measure",
    "course",
    "report",
    "admin",
    "listener",
    "services",
    "config",
    "assembly",
    "inspect",
    "authoring",
    "review",
    "server",
    "lab",
    "main",
];

const WITH_PINGORA: [&str; 4] = ["admin", "listener", "server", "main"];

const LONGEST_FUNCTION: usize = 50;
const LONGEST_FILE: usize = 400;

struct Source {
    module: String,
    path: PathBuf,
    /// Without unit tests and comments.
    code: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    files.into_iter().map(|path| read(&root, path)).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(root: &Path, path: PathBuf) -> Source {
    let text = std::fs::read_to_string(&path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned);
    let relative = path.strip_prefix(root).unwrap().with_extension("");
    // The crate of the decision is a part of the ladder, in the middle of whose directory it stands.
    let relative = relative.strip_prefix("decision").unwrap_or(&relative);
    let module = relative.iter().next().unwrap().to_str().unwrap().to_owned();
    Source { module, code: code.collect(), path }
}

fn place(module: &str) -> usize {
    LADDER
        .iter()
        .position(|known| *known == module)
        .unwrap_or_else(|| panic!("{module} has no place"))
}

#[test]
fn modules_import_only_what_stands_before_them() {
    for source in sources().iter().filter(|source| source.module != "lib") {
        for line in &source.code {
            for import in line.split("crate::").skip(1) {
                let in_name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_';
                let imported: String = import.chars().take_while(in_name).collect();
                let names: Vec<String> = match import.strip_prefix('{') {
                    Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
                    None => vec![imported],
                };
                for name in names {
                    let name =
                        name.split("::").next().unwrap().trim_end_matches(['}', ';']).to_owned();
                    let fits = place(&name) <= place(&source.module);
                    assert!(fits, "{}: {line}", source.path.display());
                }
            }
        }
    }
}

/// The trial makes certificates and tokens: nothing that serves may know it.
#[test]
fn only_the_command_knows_the_tools_of_authors() {
    for source in sources() {
        let knows = source.code.iter().any(|line| line.contains("review::"));
        let may = ["review", "main"].contains(&source.module.as_str());
        assert!(!knows || may, "{}", source.path.display());
    }
}

#[test]
fn the_lists_of_modules_stand_in_the_order_of_the_ladder() {
    let libs = sources().into_iter().filter(|source| source.module == "lib");
    let modules: Vec<String> = libs
        .flat_map(|lib| lib.code)
        .filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned()))
        .collect();
    assert_eq!(modules, LADDER[..LADDER.len() - 1]);
}

#[test]
fn pingora_stands_only_where_connections_are() {
    for source in sources() {
        let uses = source.code.iter().any(|line| line.contains("pingora::"));
        assert!(
            !uses || WITH_PINGORA.contains(&source.module.as_str()),
            "{}",
            source.path.display()
        );
    }
}

#[test]
fn only_refusal_decides_on_status_codes() {
    let stages = &LADDER[..place("refusal")];
    for source in sources() {
        // What a backend answered is read there, and decided elsewhere.
        if !stages.contains(&source.module.as_str()) || source.module == "http1" {
            continue;
        }
        for line in &source.code {
            // What a remote service answered is a fact; what the caller is answered is a decision.
            let decides = line.contains("StatusCode::")
                && !line.contains("StatusCode::OK")
                && !line.contains("StatusCode::NOT_FOUND");
            assert!(!decides, "{}: {line}", source.path.display());
        }
    }
}

/// Whatever else knows a code asks the table for it; but the lab, which says for itself what it expects.
#[test]
fn a_refusal_code_stands_in_the_table_and_nowhere_else() {
    use portaria::refusal::codes::ALL;
    for source in sources() {
        if source.path.ends_with("refusal/codes.rs") || source.module == "lab" {
            continue;
        }
        let text = source.code.join("\n");
        // A member of the answers of authorization servers (RFC 6749), too.
        for row in ALL.iter().filter(|row| row.code != "token_type") {
            let code = format!("\"{}\"", row.code);
            assert!(!text.contains(&code), "{}: {code}", source.path.display());
        }
    }
}

/// A row that no refusal has would promise what never comes; that every refusal has one, the compiler sees to.
#[test]
fn every_row_of_the_table_is_that_of_a_refusal() {
    use portaria::refusal::codes::ALL;
    let rows = sources().into_iter().find(|source| source.path.ends_with("refusal/rows.rs"));
    let named: BTreeSet<String> = rows
        .unwrap()
        .code
        .iter()
        .filter_map(|line| line.split_once("=> ")?.1.strip_suffix(','))
        .filter(|row| row.contains("::"))
        .map(str::to_owned)
        .collect();
    assert_eq!(named.len(), ALL.len(), "{named:?}");
}

/// Who refuses is a module: one stage, one word.
#[test]
fn the_stage_of_a_refusal_is_a_module() {
    // What is nobody's fault but the process's own is no stage's.
    let of_the_process = |stage: &str| stage == "gateway";
    for row in portaria::refusal::codes::ALL {
        let stage = row.stage.as_str();
        assert!(LADDER.contains(&stage) || of_the_process(stage), "{row:?}");
    }
}

/// What a field says is asked where its words are: the form of a request in `request::form`.
#[test]
fn admission_reads_no_field() {
    for source in sources().iter().filter(|source| source.module == "admission") {
        for line in &source.code {
            let reads = ["HeaderMap", "header::"].iter().any(|word| line.contains(word));
            assert!(!reads, "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn no_stage_imports_the_configuration_or_reads_a_clock() {
    let stages = &LADDER[place("moment") + 1..=place("headers")];
    for source in sources() {
        if !stages.contains(&source.module.as_str()) {
            continue;
        }
        for line in &source.code {
            for clock in ["Moment::now", "Instant::now", "SystemTime::now", "crate::config"] {
                assert!(!line.contains(clock), "{}: {line}", source.path.display());
            }
        }
    }
}

/// Content can be guessed from a name only where it stands for one thing.
#[test]
fn a_type_name_stands_for_one_thing() {
    let mut seen: std::collections::HashMap<String, PathBuf> = std::collections::HashMap::new();
    for source in sources() {
        for line in &source.code {
            let line = line.trim_start();
            let line = line.strip_prefix("pub").map_or(line, |rest| {
                rest.strip_prefix('(')
                    .and_then(|rest| rest.split_once(')'))
                    .map_or(rest, |(_, rest)| rest)
            });
            let declared = ["struct ", "enum ", "trait "]
                .into_iter()
                .find_map(|word| line.trim_start().strip_prefix(word));
            let Some(declared) = declared else { continue };
            let name: String = declared.chars().take_while(char::is_ascii_alphanumeric).collect();
            if let Some(other) = seen.insert(name.clone(), source.path.clone()) {
                panic!("{name}: {} and {}", other.display(), source.path.display());
            }
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
}

/// A second ecosystem must not be a search: what is a fact of one stands in its pack.
#[test]
fn facts_of_an_ecosystem_stand_in_its_pack() {
    let facts = ["\"OPIBR-\"", "\"OFBBR-\"", "\"ICP-Brasil\"", "offset!(-3)", "LIFE_PENSION_CLAIM"];
    for source in
        sources().iter().filter(|source| !["packs", "lab"].contains(&source.module.as_str()))
    {
        for line in &source.code {
            assert!(
                !facts.iter().any(|fact| line.contains(fact)),
                "{}: {line}",
                source.path.display()
            );
        }
    }
}

/// Who answers is somebody else's choice: a client of the network in service, what was given where nobody is asked.
#[test]
fn a_stage_asks_other_services_through_a_seam() {
    let may = ["services", "assembly", "inspect", "server", "main", "lab"];
    for source in sources().iter().filter(|source| !may.contains(&source.module.as_str())) {
        for line in &source.code {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.any(|word| word == "Remote"), "{}: {line}", source.path.display());
        }
    }
}

/// The crate of the decision knows no network, no file and no thread: who asks, reads and waits is given. Its manifest
/// names no client and no store; what the standard library and the runtime have is looked for here.
#[test]
fn the_decision_touches_nothing() {
    let stages = &LADDER[..=place("admission")];
    let touches = [
        "std::fs",
        "std::net::Tcp",
        "std::process",
        "std::thread",
        "tokio::fs",
        "tokio::net",
        "tokio::spawn",
        "spawn_blocking",
    ];
    for source in sources().iter().filter(|source| stages.contains(&source.module.as_str())) {
        let is_of_the_crate = source.path.components().any(|part| part.as_os_str() == "decision");
        assert!(is_of_the_crate, "{}", source.path.display());
        for line in source.code.iter().filter(|line| !line.contains("thread_local")) {
            let touched = touches.iter().find(|touch| line.contains(*touch));
            assert!(touched.is_none(), "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn reading_files_makes_nothing_that_serves_asks_or_counts() {
    let makers = [
        "crate::report",
        "crate::course",
        "crate::measure",
        "Remote::new",
        "Breakers::new",
        ".acceptor()",
        "to_socket_addrs",
        "KeySource",
        "Tokens",
        "Consents",
        "Idempotency::",
        "StandIn",
    ];
    for source in sources().iter().filter(|source| source.module == "config") {
        for line in &source.code {
            let made = makers.iter().find(|maker| line.contains(*maker));
            assert!(made.is_none(), "{}: {line}", source.path.display());
        }
    }
}

#[test]
fn functions_fit_a_screen_and_files_have_one_responsibility() {
    for source in sources() {
        let code = source.code.iter().filter(|line| !line.trim().is_empty()).count();
        assert!(code <= LONGEST_FILE, "{}: {code} lines", source.path.display());
        for (name, lines) in functions(&source.code) {
            assert!(
                lines <= LONGEST_FUNCTION,
                "{}: {name} has {lines} lines",
                source.path.display()
            );
        }
    }
}

/// Name and length of each function: from its `fn` to the closing brace of the same indentation.
fn functions(code: &[String]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in code.iter().enumerate() {
        let indentation = line.len() - line.trim_start().len();
        let Some((before, after)) = line.split_once("fn ") else {
            continue;
        };
        let is_definition = before.trim().split(' ').all(|word| {
            matches!(word, "" | "pub" | "const" | "async" | "pub(crate)" | "pub(super)")
        });
        if !is_definition {
            continue;
        }
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let closing = format!("{}}}", " ".repeat(indentation));
        let end = code[start..].iter().position(|line| *line == closing).unwrap_or(0);
        found.push((name, end + 1));
    }
    found
}

#[test]
fn there_is_one_tls_stack() {
    let lock =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for banned in ["openssl", "openssl-sys", "native-tls", "boring", "boring-sys", "s2n-tls"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"\n")), "{banned}");
    }
}

#[test]
fn no_drawer_is_called_utils() {
    for source in sources() {
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        let drawers = ["utils", "util", "common", "helpers", "helper", "misc", "manager"];
        assert!(!drawers.contains(&name), "{}", source.path.display());
    }
}
