//! The five checks of a finished copy.

pub mod counts_and_offsets;
pub mod group_reconciliation;
pub mod report;
pub mod topic_parity;
