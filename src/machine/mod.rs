//! The eleven states and the facts that they are folded from. Synchronous, no I/O, no clock.

pub mod fact;
#[cfg(test)]
pub(crate) mod sample;
pub mod state;
