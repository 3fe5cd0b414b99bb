//! Whether the target has room for what is copied to it.

use super::content;
use super::report::bytes;
use super::Context;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::limits::{self, FREE_ROOM_PERCENT_MAX};
use crate::domain::plan::TopicPlan;

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
    let needed = content::needed_bytes(topics).saturating_add(fillers);
    let free = context.input.target_health.as_ref().map(|h| &h.practice.free_bytes).filter(|free| !free.is_empty());
    let Some(free) = free.map(|free| free.values().copied().fold(0, i64::saturating_add)) else {
        return vec![Finding::new(FindingCode::DiskRoom, "", format!("{seen}; the target's brokers do not tell how much room they have"))];
    };
    seen.push_str(&format!("; the target's volumes have {} free", bytes(free)));
    let mut found = vec![Finding::new(FindingCode::DiskRoom, "", seen.clone())];
    let short = Finding::new(FindingCode::DiskShort, "target", seen);
    if needed > free {
        found.push(short);
    } else if needed > free / 100 * FREE_ROOM_PERCENT_MAX {
        found.push(Finding { severity: Severity::Warning, ..short });
    }
    found
}
