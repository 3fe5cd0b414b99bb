//! Proves that producers stand still: log ends, open transactions, and who still writes.

use crate::domain::partition::TopicPartition;
use crate::domain::transaction::OpenTransaction;
use crate::driver::context::Context;
use crate::driver::copying::planned_partitions;
use crate::driver::limits::{FREEZE_LOOK_INTERVAL, PARTITIONS_NAMED_MAX};
use crate::driver::open_transactions;
use crate::error::{Code, Error, Result};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::producers::ActiveProducer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The producers that each partition's leader remembers; empty where the brokers cannot say.
pub type Producers = BTreeMap<TopicPartition, Vec<ActiveProducer>>;

pub struct Proof {
    /// Where each partition ends.
    pub ends: BTreeMap<TopicPartition, i64>,
    /// How long nothing moved.
    pub settle_ms: u64,
    pub producers_seen: usize,
}

/// Who has written lately, as far as the source can tell.
pub async fn producers(context: &Context) -> Producers {
    let Ok(migration) = context.migration() else { return Producers::new() };
    context.clusters.source.producers(&planned_partitions(&migration.plan)).await.ok().flatten().unwrap_or_default()
}

/// Waits until every log end has stood still for the settle window, with no transaction open.
///
/// **Errors**: KF-FREEZE-NOT-PROVEN at the deadline, naming partitions that still move and the producers that write to them.
pub async fn prove(context: &Context, before: &Producers, deadline: Instant) -> Result<Proof> {
    let names = planned_partitions(&context.migration()?.plan);
    let window = Duration::from_millis(context.config.cutover.freeze_settle_window_ms);
    let (mut ends, mut still_since) = (BTreeMap::new(), Instant::now());
    let (mut moving, mut open): (Vec<TopicPartition>, Vec<TopicPartition>);
    // A little is kept back for finding out who writes.
    let give_up = deadline - deadline.saturating_duration_since(Instant::now()) / 5;
    loop {
        context.interrupt.check()?;
        let source = &context.clusters.source;
        let looked_at = Instant::now();
        let (log_ends, high_watermarks, last_stable) = futures::try_join!(
            source.offsets(&names, OffsetAt::LogEnd),
            source.offsets(&names, OffsetAt::HighWatermark),
            source.offsets(&names, OffsetAt::LastStable),
        )?;
        moving = names.iter().filter(|p| ends.get(*p) != log_ends.get(*p) || log_ends.get(*p) != high_watermarks.get(*p)).cloned().collect();
        open = names.iter().filter(|p| last_stable.get(*p) < high_watermarks.get(*p)).cloned().collect();
        if !moving.is_empty() || !open.is_empty() {
            still_since = looked_at;
        }
        ends = log_ends;
        let settled = looked_at.duration_since(still_since);
        if settled >= window && moving.is_empty() && open.is_empty() {
            let after = producers(context).await;
            return Ok(Proof { ends, settle_ms: settled.as_millis() as u64, producers_seen: after.values().map(Vec::len).sum() });
        }
        if Instant::now() >= give_up {
            break;
        }
        tokio::time::sleep(FREEZE_LOOK_INTERVAL).await;
    }
    let after = producers(context).await;
    let transactions = open_transactions::look(&context.clusters.source, &open).await.unwrap_or_default();
    Err(Error::new(Code::FreezeNotProven, describe(&moving, &open, &transactions, before, &after)))
}

fn describe(moving: &[TopicPartition], open: &[TopicPartition], transactions: &[OpenTransaction], before: &Producers, after: &Producers) -> String {
    let list = |partitions: &[TopicPartition]| {
        partitions.iter().take(PARTITIONS_NAMED_MAX).map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    if !moving.is_empty() {
        parts.push(format!("{} partitions are still written to: {}", moving.len(), list(moving)));
        let writers: Vec<String> = moving.iter().flat_map(|p| writers(p, before, after)).take(PARTITIONS_NAMED_MAX).collect();
        parts.push(match writers.is_empty() {
            true => "their producers have no producer id and cannot be named".to_owned(),
            false => format!("by {}", writers.join(", ")),
        });
    }
    if !open.is_empty() {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        parts.push(format!("a transaction is open on {}", list(open)));
        parts.extend(transactions.iter().take(PARTITIONS_NAMED_MAX).map(|t| t.describe(now_ms)));
    }
    if parts.is_empty() {
        parts.push("the log ends did not stand still long enough before the deadline".to_owned());
    }
    parts.join("; ")
}

/// Producers of a partition whose sequence went on between the two looks.
fn writers(partition: &TopicPartition, before: &Producers, after: &Producers) -> Vec<String> {
    let earlier = |id: i64| before.get(partition).into_iter().flatten().find(|p| p.producer_id == id).map(|p| p.last_sequence);
    after
        .get(partition)
        .into_iter()
        .flatten()
        .filter(|p| earlier(p.producer_id) != Some(p.last_sequence))
        .map(|p| format!("producer id {} (epoch {}) on {partition}", p.producer_id, p.producer_epoch))
        .collect()
}
