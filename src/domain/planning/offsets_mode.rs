//! Whether a topic's records keep their offsets, and why.

use super::markers;
use super::report::{duration, grouped};
use crate::config::model::{OffsetsConfig, OffsetsMode};
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::limits;
use crate::domain::plan::{OffsetMode, PartitionPlan, TopicPlan};

/// Turns a plan for identical offsets into one for mapped ones where that was asked for, or where identity is too dear and was not asked for.
pub(super) fn choose(config: &OffsetsConfig, plan: &mut TopicPlan, write_txn_markers: Option<bool>) {
    let (mode, pattern) = config.of(&plan.name);
    let asked = match pattern {
        Some(pattern) => format!("asked for by the pattern `{pattern}`"),
        None => "asked for by `offsets: mapped`".to_owned(),
    };
    let reason = match mode {
        OffsetsMode::Identical => return,
        OffsetsMode::Mapped => asked,
        OffsetsMode::Auto => {
            let dear = [too_long_a_prefix(plan), markers::too_dear(plan, write_txn_markers)];
            let dear: Vec<String> = dear.into_iter().flatten().collect();
            if dear.is_empty() {
                return;
            }
            format!("identical offsets are too dear: {}", dear.join("; "))
        }
    };
    plan.mode = OffsetMode::Mapped;
    plan.mode_reason = reason;
    for partition in &mut plan.partitions {
        // Nothing is written but records. What else there is makes runs of the map.
        partition.runs_estimated = partition.markers_estimated.saturating_add(partition.runs_estimated);
        (partition.prefix_fillers, partition.markers_estimated, partition.holes_estimated) = (0, 0, 0);
    }
    (plan.markers_estimated, plan.holes_estimated) = (0, 0);
    plan.runs_estimated = plan.partitions.iter().map(|p| p.runs_estimated).fold(0, i64::saturating_add);
}

/// Why the offsets below a topic's log starts are too many to be filled; None where they are not.
pub(super) fn too_long_a_prefix(plan: &TopicPlan) -> Option<String> {
    let dear = |p: &&PartitionPlan| p.prefix_fillers > limits::PREFIX_FILLERS_MAX;
    let named: Vec<String> = plan
        .partitions
        .iter()
        .filter(dear)
        .map(|p| format!("partition {} begins at offset {} (about {} of fillers)", p.partition, p.log_start, duration(p.prefix_fillers.unsigned_abs() / limits::PREFIX_FILLERS_PER_SECOND)))
        .collect();
    (!named.is_empty()).then(|| format!("{}; the limit is {}", super::report::names(&named), limits::PREFIX_FILLERS_MAX))
}

/// What follows from mapped topics for those who read them.
pub(super) fn findings(config: &OffsetsConfig, topics: &[TopicPlan]) -> Vec<Finding> {
    let mut found = Vec::new();
    for plan in topics.iter().filter(|plan| plan.mode == OffsetMode::Mapped) {
        let code = match config.of(&plan.name).0 {
            OffsetsMode::Auto => FindingCode::MappedForCost,
            OffsetsMode::Mapped | OffsetsMode::Identical => FindingCode::Mapped,
        };
        found.push(Finding::new(code, &plan.name, plan.mode_reason.clone()));
    }
    let runs = topics.iter().filter(|plan| plan.mode == OffsetMode::Mapped).map(|plan| plan.runs_estimated).fold(0, i64::saturating_add);
    if runs > limits::MAP_RUNS_MAX {
        let seen = format!("about {} runs of records, each between two offsets that are not copied; the limit is {}", grouped(runs), grouped(limits::MAP_RUNS_MAX));
        found.push(Finding::new(FindingCode::MapTooLarge, "", seen));
    }
    found
}
