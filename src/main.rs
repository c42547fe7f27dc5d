//! The command: arguments to configuration to server, and the exit codes. What a gateway at the edge does without is in
//! `tools`, and only in a build that has them.

#[cfg(feature = "tools")]
#[path = "main/tools.rs"]
mod tools;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use portaria::assembly::{self, Loaded};
use portaria::config::Mistake;
use portaria::identity::Preset;
use portaria::inspect::{InspectError, cert, explain_online, jwks, jws, reading, show};
use portaria::printed;
use portaria::report::{Metrics, build};
use portaria::server::{self, Start, Upgraded};
use portaria::token::Algorithm;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BAD_CONFIGURATION: u8 = 64;
const LONGEST_INPUT: u64 = 1024 * 1024;

/// API gateway for Open Insurance Brasil.
#[derive(Parser)]
#[command(
    version = build::TEXT,
    after_help = "Examples:\n  portaria check -c config.toml    say what is wrong with a configuration\n  portaria run -c config.toml      serve\n  portaria trust show -c config.toml    what client certificates must lead to\n  portaria jwks status -c config.toml   which keys the authorization servers have\n\nExit codes: 0 ok, 64 bad configuration, 1 anything else."
)]
struct Arguments {
    /// The configuration file [default: $PORTARIA_CONFIG, ./config.toml, /etc/portaria/config.toml]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve. SIGHUP reloads, SIGTERM drains and exits, SIGINT stops, SIGQUIT hands the sockets over.
    Run {
        /// Take over the listening sockets of a process that was sent SIGQUIT.
        #[arg(long)]
        upgrade: bool,
    },
    /// Put a new process in the place of the one that serves, and wait until it serves. No connection is
    /// refused; if anything goes wrong the old one goes on serving (exit code 1).
    Upgrade,
    /// Load the configuration and the policies, say what is wrong, serve nothing.
    Check,
    /// Say why a running gateway refused a request (--id), or what would become of one that the arguments
    /// describe, without asking anybody. Exits with 0 if it would reach the backend, 1 if not.
    #[cfg(feature = "tools")]
    #[command(
        after_help = "Examples:\n  portaria explain --id d78fc4e5-37ca-4da3-adf2-9b082bf92280\n  portaria explain --cert chain.pem --token - --consent consent.json --method GET --path /open-insurance/resources/v3/resources"
    )]
    Explain(tools::Explain),
    /// Say why a running gateway refused a request.
    #[cfg(not(feature = "tools"))]
    Explain {
        /// The interaction id of the request (x-fapi-interaction-id of its answer).
        #[arg(long, value_name = "ID")]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    #[cfg(feature = "tools")]
    #[command(flatten)]
    Tools(tools::ToolsCommand),
    /// Look at certificates the way the gateway does.
    #[command(subcommand)]
    Cert(CertCommand),
    /// Prepare and show what client certificates must lead to.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Look at the keys of authorization servers.
    #[command(subcommand)]
    Jwks(JwksCommand),
    /// Look at signed tokens the way the gateway does.
    #[command(subcommand)]
    Jws(JwsCommand),
    /// Print the version.
    Version,
}

#[derive(Subcommand)]
enum JwksCommand {
    /// Read the key set of each issuer of the configuration once, and print what is usable of it and what is
    /// kept for the next start; exits with 1 if one cannot be read or has no usable key.
    Status,
}

#[derive(Subcommand)]
enum JwsCommand {
    /// Judge form, header and signature of a token, and nothing that it says: prints `valid` and exits with 0,
    /// or `invalid: reason` and exits with 1.
    Verify {
        /// A JSON Web Key, or a set of them.
        #[arg(long, value_name = "FILE")]
        jwk: PathBuf,
        /// The only algorithm that is accepted: PS256, PS384, PS512 or ES256.
        #[arg(long, value_name = "ALG", value_parser = algorithm)]
        alg: Algorithm,
        /// The token; - reads it from standard input, where nobody else on the machine sees it.
        #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
        token: String,
    },
}

#[derive(Subcommand)]
enum TrustCommand {
    #[cfg(feature = "tools")]
    Import(tools::TrustImport),
    /// Print the anchors and revocation lists of each listener of the configuration.
    Show,
}

#[derive(Subcommand)]
enum CertCommand {
    /// Print what the gateway reads from a certificate, and which rules of a profile it meets.
    Show {
        /// A certificate in PEM or DER; of several the first.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// opin-production, opin-sandbox, ofb-production or ofb-sandbox.
        #[arg(long, default_value = "opin-production", value_name = "NAME", value_parser = preset)]
        profile: Preset,
        /// Compare the subject with a distinguished name (RFC 4514); exits with 1 if it does not match.
        #[arg(long, value_name = "DN")]
        subject_dn: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge a chain through the code of the handshake: prints `valid` and exits with 0, or
    /// `invalid: reason` and exits with 1.
    Verify {
        /// The end entity, then the intermediates that its holder sends (PEM).
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// The trust anchors (PEM).
        #[arg(long, value_name = "FILE")]
        anchors: PathBuf,
        /// More intermediates, as if the holder had sent them (PEM).
        #[arg(long, value_name = "FILE")]
        intermediates: Option<PathBuf>,
        /// Revocation lists (PEM or DER); with any, revocation is judged.
        #[arg(long, value_name = "FILE")]
        crl: Vec<PathBuf>,
        /// The time to judge at [default: now].
        #[arg(long, value_name = "RFC3339")]
        at: Option<String>,
        /// What the end entity is to be used for.
        #[arg(long, value_enum, default_value_t = cert::CertificateUse::Client)]
        purpose: cert::CertificateUse,
        /// What is asked of a client beside RFC 5280: opin-production, opin-sandbox, ofb-production,
        /// ofb-sandbox or none.
        #[arg(long, default_value = "opin-production", value_name = "NAME")]
        profile: cert::ProfileChoice,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Whoever closed the output still has the exit code.
            let _ = error.print();
            return not_asked(&error);
        }
    };
    // Before any command: the certificates and tokens that they look at are verified by it, too.
    server::install_cryptography();
    let path = arguments.config.unwrap_or_else(default_path);
    match arguments.command {
        Command::Version => say(&format!("portaria {}", build::TEXT)),
        Command::Check => check(&path),
        Command::Run { upgrade } => run(path, upgrade),
        Command::Upgrade => upgrade(&path),
        #[cfg(feature = "tools")]
        Command::Explain(arguments) => tools::explain(&arguments, &path),
        #[cfg(not(feature = "tools"))]
        Command::Explain { id, json } => explain(&path, &id, json),
        #[cfg(feature = "tools")]
        Command::Tools(command) => tools::run(command, &path),
        Command::Cert(command) => look_at(command),
        #[cfg(feature = "tools")]
        Command::Trust(TrustCommand::Import(arguments)) => tools::import_anchors(arguments),
        Command::Trust(TrustCommand::Show) => show_trust(&path),
        Command::Jwks(JwksCommand::Status) => key_sets(&path),
        Command::Jws(JwsCommand::Verify { jwk, alg, token }) => verify(jwk, alg, token),
    }
}

/// What is no command. Where 1 is a verdict, it is 64.
fn not_asked(error: &clap::Error) -> ExitCode {
    // Looked for by hand: what is no command has not been parsed.
    let has_verdicts = std::env::args_os().any(|argument| argument == "explain");
    match error.use_stderr() {
        false => ExitCode::SUCCESS,
        true if has_verdicts => ExitCode::from(BAD_CONFIGURATION),
        true => ExitCode::FAILURE,
    }
}

fn key_sets(config: &Path) -> ExitCode {
    match jwks::status(config) {
        Ok(status) => answer(&status.text, status.is_good),
        Err(mistakes) => {
            complain(&mistakes);
            give_up(&InspectError::Configuration)
        }
    }
}

fn verify(jwk: PathBuf, algorithm: Algorithm, mut token: String) -> ExitCode {
    if token == "-" {
        token.clear();
        // Bounded: no token is as long, and a device that never ends may be what is given.
        if std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut token).is_err() {
            return ExitCode::FAILURE;
        }
        // A shell ends what it pipes with a line.
        token.truncate(token.trim_end().len());
    }
    match jws::verify(&jws::SignatureQuestion { jwk, algorithm, token }) {
        Ok(verdict) => answer(&verdict.to_string(), verdict.is_valid()),
        Err(error) => give_up(&error),
    }
}

/// Says something, which is good or not.
fn answer(text: &str, is_good: bool) -> ExitCode {
    let said = say(text.trim_end());
    if is_good { said } else { ExitCode::FAILURE }
}

fn look_at(command: CertCommand) -> ExitCode {
    let looked = match command {
        CertCommand::Show { file, profile, subject_dn, json } => {
            let question = reading::CertificateQuestion { file, profile, subject_dn };
            reading::run(&question).map(|reading| {
                (if json { reading.to_json() } else { reading.to_string() }, reading.is_match())
            })
        }
        CertCommand::Verify { chain, anchors, intermediates, crl, at, purpose, profile, json } => {
            let question =
                cert::ChainQuestion { chain, anchors, intermediates, crl, at, purpose, profile };
            cert::verify(&question).map(|verdict| {
                if let Some(note) = verdict.note() {
                    // Beside the verdict, which scripts read from standard output.
                    let _ = writeln!(std::io::stderr(), "{note}");
                }
                (if json { verdict.to_json() } else { verdict.to_string() }, verdict.is_valid())
            })
        }
    };
    match looked {
        Ok((text, is_yes)) => answer(&text, is_yes),
        Err(error) => give_up(&error),
    }
}

fn explain(config: &Path, id: &str, json: bool) -> ExitCode {
    match explain_online::ask(config, id) {
        Ok(records) if json => say(&records.to_json()),
        Ok(records) => say(records.to_string().trim_end()),
        Err(error @ InspectError::NoDecision) => fail(&error.to_string()),
        Err(error) => give_up(&error),
    }
}

fn preset(name: &str) -> Result<Preset, String> {
    let accepted = || format!("accepted: {}", Preset::ALL.map(Preset::name).join(", "));
    Preset::parse(name).ok_or_else(accepted)
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let accepted = || format!("accepted: {}", Algorithm::ALL.map(Algorithm::name).join(", "));
    Algorithm::parse(name).ok_or_else(accepted)
}

fn show_trust(config: &Path) -> ExitCode {
    match show::run(config) {
        Ok(table) => say(table.trim_end()),
        Err(mistakes) => {
            complain(&mistakes);
            give_up(&InspectError::Configuration)
        }
    }
}

fn give_up(error: &InspectError) -> ExitCode {
    // Its exit code is left: where there are verdicts, 1 is one of them.
    let _ = fail(&error.to_string());
    ExitCode::from(BAD_CONFIGURATION)
}

fn default_path() -> PathBuf {
    if let Some(path) = std::env::var_os("PORTARIA_CONFIG") {
        return path.into();
    }
    let here = Path::new("config.toml");
    if here.exists() { here.into() } else { "/etc/portaria/config.toml".into() }
}

/// A configuration that can serve, and the metrics that it was loaded with.
fn load(path: &Path) -> Result<(Loaded, Arc<Metrics>), ExitCode> {
    // Fails only if two metrics have one name, which tests would see.
    let metrics = Metrics::new().map_err(|_| ExitCode::FAILURE)?;
    match assembly::load(path, &metrics, None) {
        Ok(loaded) => Ok((loaded, Arc::new(metrics))),
        Err(mistakes) => {
            complain(&mistakes);
            Err(ExitCode::from(BAD_CONFIGURATION))
        }
    }
}

fn check(path: &Path) -> ExitCode {
    let Loaded { configuration, warnings } = match load(path) {
        Ok((loaded, _)) => loaded,
        Err(code) => return code,
    };
    complain(&warnings);
    let routes = configuration.serving.admission.routes.all().len();
    let listeners = configuration.listeners.len();
    say(&format!("{}: ok, {listeners} listeners, {routes} routes", path.display()))
}

fn run(path: PathBuf, upgrade: bool) -> ExitCode {
    let (Loaded { configuration, warnings }, metrics) = match load(&path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // Behind the configuration, which has the level; its mistakes are told as text, to who started it.
    let (log, _flush) = match server::begin_log(configuration.log.level) {
        Ok(log) => log,
        Err(error) => return fail(&format!("cannot start the thread of the log ({error})")),
    };
    server::log_mistakes(&warnings);
    match server::run(Start { path, upgrade, log, metrics, configuration }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn upgrade(path: &Path) -> ExitCode {
    // The new process would say in the log what is wrong with it.
    let place = match load(path) {
        Ok((loaded, _)) => loaded.configuration.server.upgrade,
        Err(code) => return code,
    };
    match server::upgrade(&place, path) {
        Ok(Upgraded { before, now }) => {
            say(&format!("process {now} serves, process {before} finishes what it has begun"))
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(text: &str) -> ExitCode {
    // There is nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "{}", printed::all(text));
    ExitCode::FAILURE
}

fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", printed::all(text)) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads a pipe that closed has not got the answer.
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(mistakes: &[Mistake]) {
    let mut stderr = std::io::stderr();
    for mistake in mistakes {
        let _ = writeln!(stderr, "{}", printed::line(&mistake.to_string()));
    }
}
