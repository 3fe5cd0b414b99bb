//! The configuration: what a user writes, with defaults and limits.

pub mod model;
