//! portaria
pub mod moment;
pub mod interaction;
pub mod request;
pub mod identity;
pub mod remote;
pub mod scope;
pub mod token;
pub mod consent;
pub mod route;
pub mod limits;
pub mod refusal;
pub mod admission;
pub mod headers;
