//! Whether the target has room for what is copied to it.

use super::content;
use super::report::{bytes, count, names};
use super::Context;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::limits::{self, FREE_ROOM_PERCENT_MAX};
use crate::domain::plan::TopicPlan;
use std::collections::BTreeSet;

pub(super) fn findings(context: &Context, topics: &[TopicPlan]) -> Vec<Finding> {
    let (records, controls) = (content::replicated_bytes(topics), content::control_bytes(topics));
    let offsets = topics.iter().map(|t| t.partitions.iter().map(|p| p.prefix_fillers).sum::<i64>().saturating_mul(i64::from(t.replication_factor)));
    let fillers = (offsets.fold(0, i64::saturating_add) / 1000).saturating_mul(limits::PREFIX_FILLER_MILLIBYTES);
    let mut seen = format!("{} with all replicas", bytes(records));
    if controls > 0 {
        seen.push_str(&format!(", {} of control records at offsets without a record", bytes(controls)));
    }
    if fillers > 0 {
        seen.push_str(&format!(", and for a while at most {} of prefix fillers", bytes(fillers)));
    }
    let tiered: Vec<&str> = topics.iter().filter(|t| context.input.source.topic(&t.name).is_some_and(content::is_tiered)).map(|t| t.name.as_str()).collect();
    if !tiered.is_empty() {
        seen.push_str(&format!(", without the remote part of {} with tiered storage: {}", count(tiered.len(), "topic"), names(&tiered)));
    }
    let needed = content::needed_bytes(topics);
    let practice = context.input.target_health.as_ref().map(|h| &h.practice);
    let Some(practice) = practice.filter(|practice| !practice.free_bytes.is_empty()) else {
        return vec![Finding::new(FindingCode::DiskRoom, "", format!("{seen}; the target's brokers do not tell how much room they have"))];
    };
    let free = practice.free_bytes.values().copied().fold(0, i64::saturating_add);
    seen.push_str(&format!("; the target's volumes have {} free", bytes(free)));
    // Whose room is not known may have what the others lack.
    let brokers = context.input.target.iter().flat_map(|t| t.brokers.iter().map(|b| b.id));
    let silent: BTreeSet<i32> = brokers.chain(practice.absent.iter().copied()).filter(|id| !practice.free_bytes.contains_key(id)).collect();
    if !silent.is_empty() {
        let silent: Vec<String> = silent.iter().map(i32::to_string).collect();
        seen.push_str(&format!(", which is not told by brokers {}", names(&silent)));
        let told = Finding::new(FindingCode::DiskRoom, "", seen);
        let severity = if needed > free { Severity::Warning } else { told.severity };
        return vec![Finding { severity, ..told }];
    }
    let mut found = vec![Finding::new(FindingCode::DiskRoom, "", seen.clone())];
    let short = Finding::new(FindingCode::DiskShort, "target", seen);
    if needed > free {
        found.push(short);
    } else if needed > free / 100 * FREE_ROOM_PERCENT_MAX || needed.saturating_add(fillers) > free {
        // Fillers are deleted as the copy goes, so that they are never all there at once.
        found.push(Finding { severity: Severity::Warning, ..short });
    }
    found
}
