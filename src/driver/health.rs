//! Waiting is the safe default: before every step both clusters have to be in a boring state.

use super::context::Context;
use super::limits::{HEALTH_INTERVAL, HEALTH_TOLD_EVERY, PARTITIONS_NAMED_MAX};
use crate::error::Result;
use crate::kafka::health::Troubled;
use std::collections::BTreeSet;
use std::time::Instant;

/// Waits until neither cluster has offline or under-replicated partitions among the planned topics, nor a reassignment
/// under way; says why it waits.
///
/// `on_target` is false while the topics do not exist there yet.
pub async fn wait_until_healthy(context: &Context, on_target: bool) -> Result<()> {
    let topics: BTreeSet<String> = context.migration()?.plan.topics.iter().map(|t| t.name.clone()).collect();
    let interrupt = context.interrupt.clone();
    let wait = async {
        let mut told = None::<Instant>;
        loop {
            let Some(why) = trouble(context, &topics, on_target).await else { return Ok(()) };
            if told.is_none_or(|at| at.elapsed() >= HEALTH_TOLD_EVERY) {
                eprintln!("waiting: {why}");
                told = Some(Instant::now());
            }
            tokio::time::sleep(HEALTH_INTERVAL).await;
        }
    };
    interrupt.or(wait).await
}

async fn trouble(context: &Context, topics: &BTreeSet<String>, on_target: bool) -> Option<String> {
    let chosen = |name: &str| topics.contains(name);
    let clusters = &context.clusters;
    let source = match clusters.source.refresh().await {
        Ok(metadata) => describe("source", &metadata.troubled(chosen)),
        Err(error) => Some(error.to_string()),
    };
    if source.is_some() {
        return source;
    }
    let target = match clusters.target.refresh().await {
        Ok(metadata) if on_target => describe("target", &metadata.troubled(chosen)),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    if target.is_some() {
        return target;
    }
    for (side, reassigned) in [("source", clusters.source.reassignments().await), ("target", clusters.target.reassignments().await)] {
        let moving = reassigned.ok().flatten().unwrap_or_default();
        if let Some(first) = moving.iter().find(|p| chosen(&p.topic)) {
            return Some(format!("a reassignment of {first} is under way on the {side}"));
        }
    }
    None
}

fn describe(side: &str, troubled: &Troubled) -> Option<String> {
    let (what, partitions) = match (troubled.offline.is_empty(), troubled.under_replicated.is_empty()) {
        (false, _) => ("without a leader", &troubled.offline),
        (true, false) => ("under-replicated", &troubled.under_replicated),
        (true, true) => return None,
    };
    let named: Vec<String> = partitions.iter().take(PARTITIONS_NAMED_MAX).map(ToString::to_string).collect();
    Some(format!("the {side} has {} partitions {what}: {}", partitions.len(), named.join(", ")))
}
