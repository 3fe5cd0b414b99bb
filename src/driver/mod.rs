//! Runs the machine: performs effects, probes intents, journals facts.

pub mod context;
pub mod copier;
pub mod copying;
pub mod cutover;
pub mod execute;
pub mod health;
pub mod limits;
pub mod topology;
