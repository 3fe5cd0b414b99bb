//! The five checks of a finished copy.

pub mod counts_and_offsets;
pub mod group_reconciliation;
pub mod key_drift;
pub mod report;
pub mod sentinel_presence;
pub mod spot_check;
pub mod topic_parity;
