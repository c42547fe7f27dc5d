//! The table that the tour prints.

use std::io::Write;

use crate::identity::PathReason;
use crate::lab::Result;
use crate::lab::client::Response;

/// What an answer is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The backend's answer, with this status.
    Answer(u16),
    /// The backend's answer to a second attempt.
    Retried(u16),
    /// A refusal with this status and code, of which the backend sees nothing.
    Refusal(u16, &'static str),
    /// A refusal with this status and code, after the backend was asked.
    Fault(u16, &'static str),
    /// No answer: the handshake or the answer is broken off.
    Nothing,
    /// No handshake, for a reason that the gateway counts.
    Reason(PathReason),
    /// No handshake, and the client is told why.
    Alert(&'static str),
}

impl Expected {
    fn to_text(self) -> String {
        match self {
            Self::Answer(status) | Self::Retried(status) => status.to_string(),
            Self::Refusal(status, code) | Self::Fault(status, code) => format!("{status} {code}"),
            Self::Nothing => "no answer".to_owned(),
            Self::Reason(reason) => format!("no handshake: {reason}"),
            Self::Alert(alert) => format!("alert: {alert}"),
        }
    }

    fn allows(self, reached: u64) -> bool {
        match self {
            Self::Answer(_) => reached == 1,
            Self::Retried(_) => reached == 2,
            Self::Refusal(..) => reached == 0,
            Self::Fault(..) => reached >= 1,
            Self::Nothing => true,
            Self::Reason(_) | Self::Alert(_) => reached == 0,
        }
    }
}

#[derive(Default)]
pub(super) struct TourTable {
    rows: Vec<TourRow>,
}

struct TourRow {
    what: String,
    expected: String,
    actual: String,
    passed: bool,
}

impl TourTable {
    /// Adds a row.
    pub(super) fn note(
        &mut self,
        what: &str,
        expected: &Expected,
        answer: Option<&Response>,
        reached: u64,
    ) {
        let actual = answer.map_or_else(|| "no answer".to_owned(), describe);
        self.note_text(what, expected, actual, reached);
    }

    /// The same for what is no answer.
    pub(super) fn note_text(
        &mut self,
        what: &str,
        expected: &Expected,
        actual: String,
        reached: u64,
    ) {
        let text = expected.to_text();
        let passed = actual == text && expected.allows(reached);
        let actual = match (actual == text, passed) {
            (true, false) => format!("{actual}, {reached} reached the backend"),
            _ => actual,
        };
        self.rows.push(TourRow { what: what.to_owned(), expected: text, actual, passed });
    }

    /// Prints the rows and their sum; returns whether all passed.
    pub(super) fn print(&self, output: &mut impl Write) -> Result<bool> {
        writeln!(output, "{:>3}  {:<62} {:<36} actual", "", "request", "expected")?;
        for (number, row) in self.rows.iter().enumerate() {
            let mark = if row.passed { "ok  " } else { "FAIL" };
            let (what, expected, actual) = (&row.what, &row.expected, &row.actual);
            writeln!(output, "{:>3}  {what:<62} {expected:<36} {actual:<36} {mark}", number + 1)?;
        }
        let failed = self.rows.iter().filter(|row| !row.passed).count();
        writeln!(output, "\n{} passed, {failed} failed", self.rows.len() - failed)?;
        Ok(failed == 0)
    }
}

/// Status, and the code of a refusal of the gateway's.
fn describe(answer: &Response) -> String {
    let status = answer.status.as_u16();
    match answer.json().pointer("/errors/0/code").and_then(serde_json::Value::as_str) {
        Some(code) => format!("{status} {code}"),
        None => status.to_string(),
    }
}
