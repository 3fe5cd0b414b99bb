//! The eleven states and the facts that they are folded from. Synchronous, no I/O, no clock.

pub mod fact;
pub mod fold;
pub mod footprint;
#[cfg(test)]
pub(crate) mod sample;
pub mod state;
#[cfg(test)]
mod table;
