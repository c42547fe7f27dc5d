//! The lab's command: see `portaria-lab --help`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portaria::lab::client::Connector;
use portaria::lab::directory::{AUTHORIZATION, LabDirectory};
use portaria::lab::{Result, tour};

/// The ecosystem around portaria on one machine.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  portaria-lab init                     write PKI, keys and config.toml\n  portaria-lab serve                    authorization server, consent registry, backend\n  portaria-lab token --scope consents   a token bound to participant-one\n  portaria-lab revoke participant-three its issuer's next list names it\n  portaria-lab tour                     requests that show every check"
)]
struct LabArguments {
    /// The lab's directory.
    #[arg(long, global = true, default_value = "certs/lab")]
    dir: PathBuf,
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Subcommand)]
enum LabCommand {
    /// Write a PKI shaped like ICP-Brasil, keys, and a configuration for the gateway.
    Init {
        /// The directory of the policies.
        #[arg(long, default_value = "policies")]
        policies: PathBuf,
    },
    /// Run an authorization server, a consent registry and a legacy backend.
    Serve,
    /// Print an access token, bound to a participant's certificate.
    Token {
        /// The participant: its certificate binds the token, its name is the client id.
        #[arg(long, default_value = "participant-one")]
        client: String,
        /// The scopes.
        #[arg(long)]
        scope: String,
        /// A customer's token under this consent, which the customer confirms hereby.
        #[arg(long)]
        consent: Option<String>,
        /// An opaque token instead of a JWT.
        #[arg(long)]
        opaque: bool,
    },
    /// Revoke a certificate: the next list of its issuer names it. The gateway reads it on SIGHUP.
    Revoke {
        /// The participant, such as participant-three.
        name: String,
    },
    /// Make the requests that show every check of a gateway that runs.
    Tour,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    portaria::server::install_cryptography();
    let arguments = LabArguments::parse();
    let place = LabDirectory::new(arguments.dir);
    let done = match arguments.command {
        LabCommand::Init { policies } => place.init(&policies).map(|()| true),
        LabCommand::Serve => run_services(&place).await,
        LabCommand::Token { client, scope, consent, opaque } => {
            print_token(&place, &client, &scope, consent.as_deref(), opaque).await
        }
        LabCommand::Revoke { name } => revoke(&place, &name),
        LabCommand::Tour => tour::run(&place, &mut std::io::stdout()).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Whoever closed standard error does not read it.
            let _ = writeln!(std::io::stderr(), "portaria-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run_services(place: &LabDirectory) -> Result<bool> {
    let _services = place.serve().await?;
    writeln!(std::io::stdout(), "the lab serves; stop it with Ctrl-C")?;
    tokio::signal::ctrl_c().await?;
    Ok(true)
}

fn revoke(place: &LabDirectory, name: &str) -> Result<bool> {
    let list = place.revoke(&place.identity(name)?)?;
    let pid = place.file("portaria.pid");
    let (list, pid) = (list.display(), pid.display());
    writeln!(std::io::stdout(), "{list} names {name}; it counts after: kill -HUP $(cat {pid})")?;
    Ok(true)
}

async fn print_token(
    place: &LabDirectory,
    client: &str,
    scope: &str,
    consent: Option<&str>,
    opaque: bool,
) -> Result<bool> {
    let connector: Connector = place.connector(AUTHORIZATION, Some(client))?;
    let token = tour::token::request(&connector, client, scope, consent, opaque).await?;
    writeln!(std::io::stdout(), "{token}")?;
    Ok(true)
}
