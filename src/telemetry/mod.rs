//! What a running command tells its operator: logs and progress, both on standard error; results go to standard output.

mod human;
#[cfg(any(feature = "kafka", test))]
mod line;
mod log;
mod rate;
mod terminal;

#[cfg(feature = "kafka")]
pub mod progress;
#[cfg(feature = "kafka")]
pub mod steps;

pub use human::{bytes, count, duration};
pub use log::init;
pub use rate::{Observation, RateWindow, Snapshot};
