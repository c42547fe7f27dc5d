//! Names the commit that is built, as git tells it or as the environment says. Without either it is unknown,
//! which is no reason not to build.

use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";
const VARIABLES: [&str; 2] = ["PORTARIA_COMMIT", "PORTARIA_COMMIT_DATE"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let told =
        [git(&["rev-parse", "--short=12", "HEAD"]), git(&["show", "-s", "--format=%cs", "HEAD"])];
    for (variable, told) in VARIABLES.into_iter().zip(told) {
        println!("cargo:rerun-if-env-changed={variable}");
        let given = std::env::var(variable).ok().filter(|given| !given.is_empty());
        println!(
            "cargo:rustc-env={variable}={}",
            given.or(told).unwrap_or_else(|| UNKNOWN.to_owned())
        );
    }
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists());
        if let Some(path) = path {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

/// What git says, if this is the root of its work tree: a copy inside another project has no commit of its own.
fn git(arguments: &[&str]) -> Option<String> {
    let root = ask(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    let is_root = Path::new(&root).canonicalize().ok()? == Path::new(&here).canonicalize().ok()?;
    if is_root { ask(arguments) } else { None }
}

fn ask(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty() && !text.contains('\n')).then(|| text.to_owned())
}
