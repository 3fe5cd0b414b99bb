//! What the five checks found, as the journal and the bundle hold it.

use crate::domain::limits::DETAILS_MAX;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Passed,
    Warning,
    /// The check compared nothing; it blocks `finalize` as a failure does.
    NotRun,
    Failed,
}

/// One check's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckResult {
    /// `topic_parity`, `counts_and_offsets`, `spot_check_records`, `sentinel_presence`, `consumer_group_reconciliation`.
    pub check: String,
    pub outcome: Outcome,
    /// One sentence that says why, with numbers.
    pub reason: String,
    /// How many things were compared, and how many differed.
    pub compared: u64,
    pub differing: u64,
    /// One line per partition, topic or group that is worth naming; at most a few hundred.
    pub details: Vec<String>,
}

impl CheckResult {
    /// Keeps as many details as a report may hold and counts the rest.
    pub(crate) fn new(check: &str, outcome: Outcome, reason: String, compared: u64, differing: u64, mut details: Vec<String>) -> Self {
        let rest = details.len().saturating_sub(DETAILS_MAX);
        if rest > 0 {
            details.truncate(DETAILS_MAX);
            details.push(format!("{rest} more of the same kinds"));
        }
        Self { check: check.to_owned(), outcome, reason, compared, differing, details }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ValidationReport {
    pub validated_at: String,
    pub outcome: Outcome,
    pub checks: Vec<CheckResult>,
    /// What no check covered, each with its reason.
    pub not_covered: Vec<String>,
}

impl ValidationReport {
    /// The worst outcome of all checks; `NotRun` where there is none.
    pub fn worst(checks: &[CheckResult]) -> Outcome {
        checks.iter().map(|c| c.outcome).max().unwrap_or(Outcome::NotRun)
    }
}
