//! The signed evidence of a migration and its offline verification.

pub mod merkle;
