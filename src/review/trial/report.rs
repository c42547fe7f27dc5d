//! What a test run found.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::case::TrialCase;
use super::gateway::JudgedCase;
use crate::admission::Comparison;

/// What a test run found.
#[derive(Debug, Serialize)]
pub struct TestReport {
    /// Files of cases.
    files: usize,
    /// Cases.
    cases: usize,
    /// Routes that the policies have.
    routes: usize,
    /// Routes that some case met, by their place among them.
    #[serde(skip)]
    met: BTreeSet<usize>,
    /// Those that some case met.
    routes_met: usize,
    /// The cases that did not become what they expected.
    failures: Vec<FailedCase>,
    milliseconds: u128,
}

/// A case that did not become what it expected.
#[derive(Debug, Serialize)]
pub struct FailedCase {
    /// Where the case stands.
    pub file: String,
    /// Where the case stands.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Its request.
    pub request: String,
    /// What it expected.
    pub expected: String,
    /// What became of it.
    pub got: String,
    /// Why, in the words of the log.
    pub reason: Option<String>,
    /// What was compared.
    pub compared: Option<Comparison>,
}

impl TestReport {
    pub(super) fn new(files: usize, routes: usize) -> Self {
        let (met, failures) = (BTreeSet::new(), Vec::new());
        Self { files, cases: 0, routes, met, routes_met: 0, failures, milliseconds: 0 }
    }

    pub(super) fn note(&mut self, case: &TrialCase, judged: JudgedCase) {
        self.cases += 1;
        self.met.extend(judged.route.map(|route| route.index));
        self.routes_met = self.met.len();
        if judged.verdict != case.expected {
            self.failures.push(FailedCase {
                file: case.place.file().to_owned(),
                line: case.place.line(),
                name: case.name.clone(),
                request: format!("{} {}", case.method, case.path),
                expected: case.expected.to_string(),
                got: judged.verdict.to_string(),
                reason: judged.reason,
                compared: judged.compared,
            });
        }
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.milliseconds = time.as_millis();
    }

    /// Whether every case became what it expected.
    pub fn is_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Those that did not.
    pub fn failures(&self) -> &[FailedCase] {
        &self.failures
    }

    /// How many cases there were.
    pub fn cases(&self) -> usize {
        self.cases
    }
}

impl fmt::Display for FailedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FAILED {}:{} {}: {}", self.file, self.line, self.request, self.name)?;
        writeln!(f, "  expected  {}", self.expected)?;
        writeln!(f, "  got       {}", self.got)?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  because   {reason}")?;
        }
        if let Some(Comparison { what, wanted, found }) = &self.compared {
            writeln!(f, "  {what}: wanted {wanted}, found {found}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        let (failed, s) = (self.failures.len(), if self.files == 1 { "" } else { "s" });
        writeln!(
            f,
            "{} cases in {} file{s}: {} passed, {failed} failed ({} ms); routes met: {} of {}",
            self.cases,
            self.files,
            self.cases - failed,
            self.milliseconds,
            self.routes_met,
            self.routes
        )
    }
}
