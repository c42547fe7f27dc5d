//! What was built.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit; `unknown` where there was none to ask for.
pub const COMMIT: &str = env!("PORTARIA_COMMIT");
/// Its date.
pub const COMMIT_DATE: &str = env!("PORTARIA_COMMIT_DATE");
/// All of it.
pub const TEXT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("PORTARIA_COMMIT"),
    ", ",
    env!("PORTARIA_COMMIT_DATE"),
    ")"
);
