//! The commands for those who write policies.

mod show;
mod schema;
mod difference;
mod word;
mod replay;
mod trial;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the command in a directory.
fn portaria(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portaria"))
        .current_dir(directory)
        .env_remove("PORTARIA_CONFIG")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a command printed, if it ended with this code.
#[track_caller]
fn said(directory: &Path, arguments: &[&str], code: i32) -> String {
    let output = portaria(directory, arguments);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}
