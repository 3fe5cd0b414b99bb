//! The signed evidence of a migration and its offline verification.

pub mod bundle;
pub mod comparison;
mod derive;
pub mod envelope;
#[cfg(test)]
pub(crate) mod frozen;
pub mod key;
pub mod merkle;
pub mod proof;
pub mod verify;
