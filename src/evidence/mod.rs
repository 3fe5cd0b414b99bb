//! The signed evidence of a migration and its offline verification.

pub mod bundle;
mod derive;
pub mod envelope;
pub mod key;
pub mod merkle;
pub mod verify;
