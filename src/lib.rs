//! portaria
pub mod moment;
pub mod interaction;
pub mod request;
pub mod identity;
