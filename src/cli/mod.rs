//! One file per command: its arguments, whose doc comment is its help, and `run`.

pub mod keygen;
pub mod license;
mod out;
pub mod verify;
