//! The commands: from arguments to a text and an exit code.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::cases;
use super::difference;
use super::replay::{Replay, ReplayError, Replayer, Sets};
use super::schema::{self, SchemaOf};
use super::show::{self, Filter, NotShown};
use super::trial::{self, SetUpError};
use crate::config::document::{Mistakes, Place};
use crate::config::offline::{self, Policies};
use crate::config::{self, Judging, Mistake};

/// What `portaria policy` says of policies.
#[derive(Debug, Subcommand)]
pub enum ReviewCommand {
    /// Say what a request to a path is asked for: METHOD and a path, or a template.
    Show {
        /// GET, POST, PUT, PATCH or DELETE.
        method: String,
        /// A path such as /open-insurance/consents/v3/consents/urn:x:1, or its template.
        path: String,
        /// Which policies.
        #[command(flatten)]
        source: PolicySource,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the routes, or those with a scope, a permission or of an API.
    List {
        /// The scope that the token must carry.
        #[arg(long, value_name = "SCOPE")]
        scope: Option<String>,
        /// The permission that the consent must contain.
        #[arg(long, value_name = "PERMISSION")]
        permission: Option<String>,
        /// The API, such as customers.
        #[arg(long, value_name = "API")]
        api: Option<String>,
        /// Which policies.
        #[command(flatten)]
        source: PolicySource,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare two sets of policies: what is said differently, and which requests become allowed or
    /// refused. Exits with 1 if anything differs.
    Diff {
        /// A policy file or a directory of them.
        #[arg(value_name = "BEFORE")]
        before: PathBuf,
        /// The same.
        #[arg(value_name = "AFTER")]
        after: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say which decisions of an access log would be others under other policies. Exits with 1 if any would.
    Replay {
        /// The access log: JSON lines, or - for standard input.
        #[arg(value_name = "ACCESS_LOG")]
        log: PathBuf,
        /// The policies that would decide: a file or a directory.
        #[arg(long, value_name = "PATH")]
        policies: PathBuf,
        /// The policies that decided [default: policies.directory of the configuration]
        #[arg(long, value_name = "PATH")]
        before: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the cases that every route should have, for `portaria test`: what is allowed, and single
    /// faults of it.
    Cases {
        /// Which policies.
        #[command(flatten)]
        source: PolicySource,
        /// The directory that they go to.
        #[arg(short, long, value_name = "DIRECTORY")]
        output: PathBuf,
    },
}

/// `portaria test`.
#[derive(Args, Debug)]
pub struct TestArguments {
    /// Files of cases, or directories of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Which policies.
    #[command(flatten)]
    source: PolicySource,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which policies are meant.
#[derive(Args, Debug)]
pub struct PolicySource {
    /// A policy file or a directory of them [default: policies.directory of the configuration]
    #[arg(long, value_name = "PATH")]
    policies: Option<PathBuf>,
}

impl PolicySource {
    fn path(&self, config: &Path) -> Result<PathBuf, Vec<Mistake>> {
        self.policies.clone().map_or_else(|| config::policies_directory(config), Ok)
    }

    /// The limits, the profile and the rules of the configuration; if there is none, the defaults.
    fn judging(&self, config: &Path) -> Result<Judging, Vec<Mistake>> {
        // Without --policies they are the configuration's: then that it is missing is told.
        match config.exists() || self.policies.is_none() {
            true => Judging::of(config),
            false => Ok(Judging::defaults()),
        }
    }

    fn read(&self, config: &Path) -> Result<Policies, Vec<Mistake>> {
        offline::read(&self.path(config)?)
    }
}

/// What a command has to say.
#[derive(Debug)]
pub enum CommandAnswer {
    /// The answer, and whether it is a yes: exit code 0 or 1.
    Said(String, bool),
    /// There is none: exit code 1.
    No(String),
}

impl From<NotShown> for CommandAnswer {
    fn from(reason: NotShown) -> Self {
        Self::No(reason.to_string())
    }
}

/// Runs a command. Mistakes of policies and of the configuration are exit code 64.
pub fn policy(command: &ReviewCommand, config: &Path) -> Result<CommandAnswer, Vec<Mistake>> {
    match command {
        ReviewCommand::Show { method, path, source, json } => {
            let found = show::find(&source.read(config)?, method, path);
            Ok(found.map_or_else(CommandAnswer::from, |statement| {
                let text = if *json { to_json(&statement) } else { show::describe(&statement) };
                CommandAnswer::Said(text, true)
            }))
        }
        ReviewCommand::List { scope, permission, api, source, json } => {
            let (scope, permission, api) = (scope.clone(), permission.clone(), api.clone());
            let found = show::list(&source.read(config)?, &Filter { scope, permission, api });
            Ok(found.map_or_else(CommandAnswer::from, |listing| {
                let text = match json {
                    true => to_json(&listing.statements()),
                    false => listing.to_string(),
                };
                CommandAnswer::Said(text, true)
            }))
        }
        ReviewCommand::Diff { before, after, json } => diff(before, after, *json, config),
        ReviewCommand::Replay { log, policies, before, json } => {
            let source = PolicySource { policies: before.clone() };
            let sets = both(source.read(config), offline::read(policies));
            let ((before, after), settings) = both(sets, judging_or_defaults(config))?;
            let mut replayer = Replayer::new(Sets { before: &before, after: &after }, settings);
            let replay = match replay(log, &mut replayer)? {
                Ok(replay) => replay,
                Err(error) => return Ok(CommandAnswer::No(error.to_string())),
            };
            let text = if *json { to_json(&replay.to_json()) } else { replay.to_string() };
            Ok(CommandAnswer::Said(text, replay.is_unchanged()))
        }
        ReviewCommand::Cases { source, output } => {
            let (policies, settings) = both(source.read(config), source.judging(config))?;
            let files = cases::of(&policies, &settings.consent_rules);
            cases::write(&files, output)?;
            let cases: usize = files.iter().map(|file| file.cases).sum();
            Ok(CommandAnswer::Said(format!("{cases} cases in {} files", files.len()), true))
        }
    }
}

fn replay(
    log: &Path,
    replayer: &mut Replayer<'_>,
) -> Result<Result<Replay, SetUpError>, Vec<Mistake>> {
    let replayed = match log.as_os_str() == "-" {
        true => replayer.replay(std::io::stdin().lock()),
        false => std::fs::File::open(log)
            .map_err(ReplayError::Log)
            .and_then(|file| replayer.replay(BufReader::new(file))),
    };
    match replayed {
        Ok(replay) => Ok(Ok(replay)),
        // Exit code 1, and not 64: what was asked is right, and cannot be answered here.
        Err(ReplayError::SetUp(error)) => Ok(Err(error)),
        Err(ReplayError::Log(error)) => {
            let mistakes = Mistakes::default();
            let text = format!("cannot be read ({error}), accepted: an access log, JSON lines");
            Place::of_file(&log.display().to_string(), &mistakes).reject(text);
            Err(mistakes.take())
        }
    }
}

/// The limits, bounds and rules of the configuration; if there is none, the defaults.
fn judging_or_defaults(config: &Path) -> Result<Judging, Vec<Mistake>> {
    if config.exists() { Judging::of(config) } else { Ok(Judging::defaults()) }
}

fn diff(
    before: &Path,
    after: &Path,
    json: bool,
    config: &Path,
) -> Result<CommandAnswer, Vec<Mistake>> {
    let settings = judging_or_defaults(config);
    let sets = both(offline::read(before), offline::read(after));
    let ((before, after), settings) = both(sets, settings)?;
    let difference = match difference::compare(&before, &after, settings) {
        Ok(difference) => difference,
        Err(error) => return Ok(CommandAnswer::No(error.to_string())),
    };
    let text = if json { to_json(&difference) } else { difference.to_string() };
    Ok(CommandAnswer::Said(text, difference.is_empty()))
}

/// Both, or the mistakes of both.
fn both<A, B>(
    one: Result<A, Vec<Mistake>>,
    other: Result<B, Vec<Mistake>>,
) -> Result<(A, B), Vec<Mistake>> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mut mistakes), Err(more)) => {
            mistakes.extend(more);
            Err(mistakes)
        }
        (Err(mistakes), Ok(_)) | (Ok(_), Err(mistakes)) => Err(mistakes),
    }
}

/// Runs policy tests, with the limits and the profile of the configuration; if there is none, with the
/// defaults.
pub fn test(arguments: &TestArguments, config: &Path) -> Result<CommandAnswer, Vec<Mistake>> {
    let settings = arguments.source.judging(config)?;
    let cases = trial::read(&arguments.files, &settings);
    let (policies, cases) = both(arguments.source.read(config), cases)?;
    let report = match trial::run(cases, policies, settings) {
        Ok(report) => report,
        Err(error) => return Ok(CommandAnswer::No(error.to_string())),
    };
    let text = if arguments.json { to_json(&report) } else { report.to_string() };
    Ok(CommandAnswer::Said(text, report.is_passed()))
}

/// Prints a JSON Schema.
pub fn schema(of: SchemaOf) -> CommandAnswer {
    CommandAnswer::Said(to_json(&schema::schema(of)), true)
}

fn to_json(answer: &impl serde::Serialize) -> String {
    // Fails only for maps whose keys are no texts, and no answer has one.
    serde_json::to_string_pretty(answer).unwrap_or_default()
}
