//! The integration tests: one binary, scenarios on real brokers.

#[path = "../lab/mod.rs"]
mod lab;

mod lab_smoke;
mod survey;
