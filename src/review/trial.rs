//! `portaria test`: cases against policies, through the gateway's own admission.
//!
//! A case says what a request brings and what is expected of it. The request is made in earnest: a
//! certificate is issued and verified as in a handshake, a token is signed and verified, the consent is asked
//! for at a registry, the limits count; then [`crate::admission::Admission::admit`] decides. No stage has
//! a door for tests: docs/decisions/0010 says why.

mod authority;
mod case;
mod certificate;
mod der;
mod gateway;
mod keys;
mod bench;
mod probe;
mod registry;
mod report;
mod token;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::document::{Document, Mistakes, Place};
use crate::config::offline::Policies;
use crate::config::{Judging, Mistake};
pub(super) use bench::{Bench, BenchAnswer, Side};
use case::TrialCase;
pub(super) use gateway::Logged;
pub use gateway::SetUpError;
use gateway::TrialGateway;
pub(super) use probe::{Credential, Probe, only};
pub use report::{FailedCase, TestReport};
pub use verdict::TrialVerdict;

const ACCEPTED: &str = "a file of cases, or a directory of them (*.toml)";

/// Cases that were read.
#[derive(Debug)]
pub struct Cases {
    files: usize,
    cases: Vec<TrialCase>,
}

/// Reads the cases of files and directories; all of them, or what is wrong with any.
pub fn read(paths: &[PathBuf], settings: &Judging) -> Result<Cases, Vec<Mistake>> {
    let mistakes = Mistakes::default();
    let prefix = settings.profile.organisation_prefixes.first().map_or("", String::as_str);
    let (mut files, mut cases) = (0, Vec::new());
    for path in paths {
        for file in list(path, &mistakes) {
            files += 1;
            if let Some(document) = Document::read(&file, &mistakes) {
                cases.extend(case::read(&document, prefix, &mistakes));
            }
        }
    }
    if mistakes.prevent_loading() { Err(mistakes.take()) } else { Ok(Cases { files, cases }) }
}

/// A file, or the `.toml` files of a directory in the order of their names.
fn list(path: &Path, mistakes: &Mistakes) -> Vec<PathBuf> {
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let listed = std::fs::metadata(path).and_then(|metadata| match metadata.is_dir() {
        false => Ok(vec![path.to_owned()]),
        true => std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect(),
    });
    let reject = |text: String| {
        Place::of_file(&path.display().to_string(), mistakes).reject(text);
        Vec::new()
    };
    match listed {
        Err(error) => reject(format!("cannot be read ({error}), accepted: {ACCEPTED}")),
        Ok(mut files) => {
            // A file that was named is meant, whatever it is called.
            files.retain(|file| file == path || is_toml(file));
            files.sort();
            if files.is_empty() {
                return reject(format!("has no cases, accepted: {ACCEPTED}"));
            }
            files
        }
    }
}

/// Judges all cases, one after another.
pub fn run(cases: Cases, policies: Policies, settings: Judging) -> Result<TestReport, SetUpError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(SetUpError::Runtime)?;
    runtime.block_on(async {
        let began = Instant::now();
        let routes = policies.entries.len();
        let mut gateway = TrialGateway::new(policies.routes, settings)?;
        let mut report = TestReport::new(cases.files, routes);
        // Not at once: the registry knows the consents of the one case in hand.
        for case in &cases.cases {
            let judged = gateway.judge(case).await?;
            report.note(case, judged);
        }
        report.took(began.elapsed());
        Ok(report)
    })
}
