//! Control records at chosen places: an empty transaction appends one to each of its partitions, which no consumer ever sees.
//!
//! Works on either cluster: at the cutover a sentinel marks the source's end, and on the target a marker takes the offset that
//! a control record has on the source.

use super::cluster::Cluster;
use super::failure::Failure;
use super::limits::{MARKER_POLL_INTERVAL, SENTINEL_TRANSACTION_TIMEOUT};
use super::offsets::OffsetAt;
use super::source::Reader;
use super::transactions::{ProducerIdentity, TransactionalProducer};
use crate::domain::partition::TopicPartition;
use crate::error::Result;
use std::collections::BTreeMap;

/// A partition whose end is not where it was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub partition: TopicPartition,
    /// Where the log end and the high watermark were to be.
    pub expected_end: i64,
    pub log_end: i64,
    pub high_watermark: i64,
}

/// What became of one empty transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Every partition ends with its marker, one past the expected end.
    Placed,
    /// Nothing was written: these partitions did not end where they were expected to.
    NotBegun(Vec<Misplaced>),
    /// The transaction was carried out, and these partitions end beyond their markers: somebody else writes.
    Overrun(Vec<Misplaced>),
}

/// Writes empty transactions under one transactional id.
pub struct EmptyTransaction {
    reader: Reader,
    producer: TransactionalProducer,
}

impl EmptyTransaction {
    /// Takes the transactional id. What a predecessor left open under it is aborted: its markers land where it wanted markers.
    ///
    /// Errors: as for `TransactionalProducer::begin`.
    pub async fn begin(cluster: &Cluster, transactional_id: &str) -> Result<Self> {
        let producer = TransactionalProducer::begin(cluster, transactional_id, SENTINEL_TRANSACTION_TIMEOUT).await?;
        Ok(Self { reader: Reader::new(cluster.clone()), producer })
    }

    /// The producer id and epoch that the control records carry.
    pub fn identity(&self) -> ProducerIdentity {
        self.producer.identity()
    }

    pub fn transactional_id(&self) -> &str {
        self.producer.transactional_id()
    }

    /// Appends one control record to each partition at its present end, which must be the one given, and waits until every
    /// replica in sync has it.
    ///
    /// A control record of a commit or of an abort; to consumers both are nothing. Before the answer nothing may be produced
    /// to these partitions.
    ///
    /// A request whose answer was lost is sent again. Were the broker to carry out the first one only after the transaction has
    /// ended, a second would begin and be aborted in the end: one more control record, at a place that nobody expects. So
    /// whoever goes on afterwards compares every base offset, and the cutover looks at all ends once more.
    ///
    /// Errors: `KF-KAFKA-REFUSED`, or the cluster's unavailability; the markers may then land yet, each once.
    pub async fn write(&self, ends: &BTreeMap<TopicPartition, i64>, commit: bool) -> Result<Written> {
        let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
        let before = look(&self.reader, &partitions).await?;
        let elsewhere = compare(ends, &before, |end, seen| seen != (end, end));
        if !elsewhere.is_empty() {
            return Ok(Written::NotBegun(elsewhere));
        }
        self.producer.add_partitions(&partitions).await?;
        self.producer.end(commit).await?;
        placed(&self.reader, &ends.iter().map(|(partition, end)| (partition.clone(), end + 1)).collect()).await
    }
}

/// Waits until the partitions end where they are to end, for every replica in sync.
///
/// Errors: the cluster's unavailability; the records that are waited for may land yet.
pub(super) async fn placed(reader: &Reader, ends: &BTreeMap<TopicPartition, i64>) -> Result<Written> {
    let started = std::time::Instant::now();
    let mut patience = reader.cluster.patience(format!("see the control records of {} partitions", ends.len()));
    let mut pending: Vec<TopicPartition> = ends.keys().cloned().collect();
    let mut overrun = Vec::new();
    loop {
        let seen = look(reader, &pending).await?;
        overrun.extend(compare(ends, &seen, |end, (log_end, _)| log_end > end));
        let open = compare(ends, &seen, |end, (log_end, high_watermark)| log_end < end || (log_end == end && high_watermark < end));
        if open.is_empty() {
            return Ok(if overrun.is_empty() { Written::Placed } else { Written::Overrun(overrun) });
        }
        pending = open.iter().map(|m| m.partition.clone()).collect();
        // All is well as long as it is quick; after that, look less often and give up in the end.
        if started.elapsed() < MARKER_POLL_INTERVAL * 50 {
            tokio::time::sleep(MARKER_POLL_INTERVAL).await;
            continue;
        }
        let first = &open[0];
        let seen = format!("{} ends at {} instead of {}", first.partition, first.log_end.min(first.high_watermark), first.expected_end);
        patience.wait(Failure::NotYet(seen)).await?;
    }
}

/// Log end and high watermark of each partition.
async fn look(reader: &Reader, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
    let (log_ends, high_watermarks) =
        futures::try_join!(reader.offsets(partitions, OffsetAt::LogEnd), reader.offsets(partitions, OffsetAt::HighWatermark))?;
    Ok(log_ends
        .into_iter()
        .filter_map(|(partition, log_end)| {
            let high_watermark = *high_watermarks.get(&partition)?;
            Some((partition, (log_end, high_watermark)))
        })
        .collect())
}

/// The partitions that were seen and of whose expected end and seen (log end, high watermark) `holds` is true.
fn compare(
    expected: &BTreeMap<TopicPartition, i64>,
    seen: &BTreeMap<TopicPartition, (i64, i64)>,
    holds: impl Fn(i64, (i64, i64)) -> bool,
) -> Vec<Misplaced> {
    let found = seen.iter().filter_map(|(partition, (log_end, high_watermark))| {
        let expected_end = *expected.get(partition)?;
        holds(expected_end, (*log_end, *high_watermark)).then(|| Misplaced {
            partition: partition.clone(),
            expected_end,
            log_end: *log_end,
            high_watermark: *high_watermark,
        })
    });
    found.collect()
}
