//! The commands for whoever writes policies and prepares anchors: specifications, tests of policies, what would become of a
//! request. They read YAML and zip, and testing makes certificates and signs tokens, so that a gateway at the edge is
//! built without them (`--no-default-features`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use portaria::authoring;
use portaria::config::Mistake;
use portaria::inspect::{InspectError, import};
use portaria::review::command::{self as review, CommandAnswer, ReviewCommand, TestArguments};
use portaria::review::explain::{
    self as offline, ExplainArguments, NotExplained, OfflineExplanation,
};
use portaria::review::schema::SchemaOf;

use super::{BAD_CONFIGURATION, answer, complain, fail, give_up, say};

#[derive(Subcommand)]
pub(super) enum ToolsCommand {
    /// Run policy tests: cases of a request and what is expected of it. Exits with 1 if any fails.
    Test(TestArguments),
    /// Print the JSON Schema of config.toml or of policy files, for editors.
    Schema {
        /// Of what.
        of: SchemaOf,
    },
    /// Write policies from specifications, and read, compare and test them.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// Which request.
#[derive(Args)]
pub(super) struct Explain {
    /// The interaction id of the request (x-fapi-interaction-id of its answer).
    #[arg(long, value_name = "ID", conflicts_with_all = ["method", "path"])]
    id: Option<String>,
    /// The request.
    #[command(flatten)]
    question: ExplainArguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Write a policy for each API and major version, and tell what changes in those that are there.
    #[command(subcommand)]
    Import(ImportCommand),
    #[command(flatten)]
    Review(ReviewCommand),
}

#[derive(Subcommand)]
pub(super) enum ImportCommand {
    /// From OpenAPI 3.0. What a specification does not tell is listed, and its route left out (exit code 1); one with a
    /// mistake is left out as a whole, and the others are imported (exit code 64).
    #[command(
        after_help = "Examples:\n  portaria policy import openapi specs/ --registry apis_fases.json -o policies/\n  portaria policy import openapi specs/ --registry apis_fases.json -o policies/ --check"
    )]
    Openapi {
        /// Specifications, or directories with .yaml files.
        #[arg(required = true, value_name = "FILE|DIR")]
        sources: Vec<PathBuf>,
        /// The registry of API versions: what is not in force by it is left out.
        #[arg(long, value_name = "FILE")]
        registry: Option<PathBuf>,
        /// Decisions of your own where specifications are silent or unclear (permissions, classes, what you do
        /// not offer); they count before the shipped ones.
        #[arg(long, value_name = "FILE")]
        permissions: Option<PathBuf>,
        /// The upstream of every route [default: the one that it has; \"legacy\" for a new one]
        #[arg(long, value_name = "NAME")]
        upstream: Option<String>,
        /// The directory of the policies, which is made if it is not there.
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// Write nothing; exit with 1 if something would change.
        #[arg(long)]
        check: bool,
    },
}

/// Sort certificates into roots and intermediates, and write the roots that are trust anchors.
#[derive(Args)]
pub(super) struct TrustImport {
    /// PEM or DER files, directories, or a zip archive as ITI publishes it.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The generations of ICP-Brasil that are kept.
    #[arg(long, default_values_t = ["v5".to_owned(), "v10".to_owned()], value_name = "vN")]
    generation: Vec<String>,
    /// A list of SHA-512 digests, `digest  name` a line, that every source must be on.
    #[arg(long, value_name = "FILE")]
    sha512: Option<PathBuf>,
    /// Where the anchors go; the intermediates go beside it.
    #[arg(short, long, default_value = "trust-anchors.pem", value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(command: ToolsCommand, config: &Path) -> ExitCode {
    match command {
        ToolsCommand::Test(arguments) => review_says(review::test(&arguments, config)),
        ToolsCommand::Schema { of } => review_says(Ok(review::schema(of))),
        ToolsCommand::Policy(PolicyCommand::Import(command)) => import_policies(command),
        ToolsCommand::Policy(PolicyCommand::Review(command)) => {
            review_says(review::policy(&command, config))
        }
    }
}

pub(super) fn explain(arguments: &Explain, config: &Path) -> ExitCode {
    match &arguments.id {
        Some(id) => super::explain(config, id, arguments.json),
        None => foretell(config, &arguments.question, arguments.json),
    }
}

pub(super) fn import_anchors(arguments: TrustImport) -> ExitCode {
    let TrustImport { sources, generation, sha512, output } = arguments;
    let imported = import::run(&import::AnchorImport { sources, generation, sha512, output });
    imported.map_or_else(|error| give_up(&error), |table| say(table.trim_end()))
}

fn review_says(said: Result<CommandAnswer, Vec<Mistake>>) -> ExitCode {
    match said {
        Ok(CommandAnswer::Said(text, is_yes)) => answer(&text, is_yes),
        Ok(CommandAnswer::No(reason)) => fail(&reason),
        Err(mistakes) => {
            complain(&mistakes);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn foretell(config: &Path, question: &ExplainArguments, json: bool) -> ExitCode {
    if !question.is_asked() {
        let accepted = "accepted: --id, or --method and --path";
        return give_up(&InspectError::Argument(format!("nothing is asked, {accepted}")));
    }
    match offline::explain(question, config) {
        Ok(OfflineExplanation { record, is_allowed, warnings }) => {
            complain(&warnings);
            answer(&if json { record.to_json() } else { record.to_string() }, is_allowed)
        }
        Err(NotExplained::Question(error)) => give_up(&error),
        Err(NotExplained::Configuration(mistakes)) => {
            complain(&mistakes);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}

fn import_policies(command: ImportCommand) -> ExitCode {
    let ImportCommand::Openapi { sources, registry, permissions, upstream, output, check } =
        command;
    let decisions = permissions;
    let asked = authoring::SpecificationImport {
        sources,
        registry,
        decisions,
        upstream,
        output,
        is_check: check,
    };
    match authoring::run(&asked) {
        Ok(imported) => {
            complain(&imported.notes);
            let said = say(imported.report.trim_end());
            // With `--check` changes are what was asked about, as in formatters.
            let is_open = imported.is_incomplete || (check && imported.has_changes);
            match (imported.has_mistakes, is_open) {
                (true, _) => ExitCode::from(BAD_CONFIGURATION),
                (false, true) => ExitCode::FAILURE,
                (false, false) => said,
            }
        }
        Err(mistakes) => {
            complain(&mistakes);
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
