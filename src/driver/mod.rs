//! Runs the machine: performs effects, probes intents, journals facts.

pub mod context;
pub mod copier;
