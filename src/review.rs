//! What those who write policies need: questions about them, comparisons, tests.
//!
//! No gateway runs. The policies are read by the gateway's own parser, and what is said of them comes from
//! the objects that the gateway would serve with.

pub mod command;
pub mod columns;
pub mod statement;
pub mod show;
pub mod schema;
pub mod replay;
mod rehearsal;
pub mod trial;
mod deviation;
pub mod rule_difference;
mod when;
mod survey;
mod would;
pub mod difference;
pub mod cases;
pub mod explain;
