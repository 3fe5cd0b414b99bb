//! The five checks of a finished copy.

pub mod report;
