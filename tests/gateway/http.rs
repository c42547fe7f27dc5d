//! The HTTP path by itself: which connection carries what, and for how long; what is cut, and looks it. After each bad
//! case the next requests get their own answers.

mod cut;
mod ending;
mod frames;
mod long;
mod polls;
mod request;
mod reuse;
mod sweep;

use crate::harness::scripted::{Link, Scripted, THINGS};
use crate::harness::*;
