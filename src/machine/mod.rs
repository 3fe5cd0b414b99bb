//! The eleven states and the facts that they are folded from. Synchronous, no I/O, no clock.

pub mod fact;
pub mod state;
