//! Runs the machine: performs effects, probes intents, journals facts.

pub mod copier;
