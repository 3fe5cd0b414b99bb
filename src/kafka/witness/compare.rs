//! Samples both clusters at the same places and judges them together with the digests.

use super::{Sample, SampleRequest, Watermarks, Witness};
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::validation::report::CheckResult;
use crate::validation::spot_check::{self, DigestFacts, PartitionSamples};
use std::collections::BTreeMap;
use std::ops::Range;

/// Runs the check: `per_partition` records of each partition are read from both clusters by librdkafka and compared, beside
/// what the two readings' digests say.
///
/// It has a result also where a cluster cannot be read: what could not be compared is said in it.
pub async fn spot_check(source: &Witness, target: &Witness, partitions: &[DigestFacts], per_partition: usize) -> CheckResult {
    let samples = match sampled(source, target, partitions, per_partition).await {
        Ok(samples) => samples,
        Err(error) => partitions.iter().map(|p| unread(&p.partition, error.seen().to_owned())).collect(),
    };
    spot_check::check(partitions, &samples)
}

async fn sampled(source: &Witness, target: &Witness, partitions: &[DigestFacts], per_partition: usize) -> Result<Vec<PartitionSamples>> {
    let names: Vec<TopicPartition> = partitions.iter().map(|p| p.partition.clone()).collect();
    let (source_logs, target_logs) = on_both(source, target, [names.clone(), names.clone()], Witness::watermarks).await?;
    let mut samples = BTreeMap::new();
    let (mut of_source, mut of_target) = (Vec::new(), Vec::new());
    for p in partitions {
        match wanted(p, &source_logs, &target_logs) {
            Ok(offsets) => {
                let request = SampleRequest { partition: p.partition.clone(), offsets, map: None, records: per_partition };
                of_source.push(SampleRequest { map: p.map.clone(), ..request.clone() });
                of_target.push(request);
            }
            Err(why) => {
                samples.insert(p.partition.clone(), unread(&p.partition, why));
            }
        }
    }
    let (from_source, from_target) = on_both(source, target, [of_source, of_target], Witness::sample).await?;
    // Retention goes on meanwhile: what one log has lost by now is not compared, however the other reads.
    let (source_logs, target_logs) = on_both(source, target, [names.clone(), names], Witness::watermarks).await?;
    let mut from_target: BTreeMap<TopicPartition, Sample> = from_target.into_iter().map(|s| (s.partition.clone(), s)).collect();
    let facts: BTreeMap<&TopicPartition, &DigestFacts> = partitions.iter().map(|p| (&p.partition, p)).collect();
    for mut source in from_source {
        let partition = source.partition.clone();
        let (Some(target), Some(p)) = (from_target.remove(&partition), facts.get(&partition)) else { continue };
        source.records.iter_mut().for_each(|record| record.offset = p.target_offset(record.offset));
        let starts = [p.target_offset(log_start(&source_logs, &partition)), log_start(&target_logs, &partition)];
        samples.insert(partition, pair(source, target, starts));
    }
    for p in partitions {
        let Some(sample) = samples.get_mut(&p.partition) else { continue };
        sample.compacts = p.compacts;
        let nothing_read = sample.unread.is_none() && sample.expired == 0 && sample.source.is_empty() && sample.target.is_empty();
        let from = p.target_offset(log_start(&source_logs, &p.partition)).max(log_start(&target_logs, &p.partition));
        // One log has lost every record that was copied, so that none was asked for; that is to be said too.
        if nothing_read && p.records > 0 && from > p.source_log_start {
            sample.expired = (per_partition as u64).min(p.records);
        }
    }
    Ok(samples.into_values().collect())
}

fn pair(source: Sample, target: Sample, starts: [i64; 2]) -> PartitionSamples {
    let unread = match (source.unread, target.unread) {
        (Some(why), _) => Some(format!("source: {why}")),
        (None, Some(why)) => Some(format!("target: {why}")),
        (None, None) => None,
    };
    let from = starts[0].max(starts[1]);
    let (mut source_records, mut target_records) = (source.records, target.records);
    let before = source_records.len().max(target_records.len());
    source_records.retain(|record| record.offset >= from);
    target_records.retain(|record| record.offset >= from);
    let lost = before - source_records.len().max(target_records.len());
    PartitionSamples {
        partition: source.partition,
        source: source_records,
        target: target_records,
        expired: source.expired.max(target.expired) + lost as u64,
        unread,
        compacts: false,
    }
}

fn log_start(logs: &Watermarks, partition: &TopicPartition) -> i64 {
    logs.get(partition).and_then(|log| log.as_ref().ok()).map_or(0, |log| log.start)
}

/// The offsets that both logs hold and the copy covers.
fn wanted(p: &DigestFacts, source: &Watermarks, target: &Watermarks) -> std::result::Result<Range<i64>, String> {
    let mut start = p.source_log_start;
    for (side, logs) in [("source", source), ("target", target)] {
        match logs.get(&p.partition) {
            Some(Ok(log)) if side == "source" => start = start.max(p.target_offset(log.start)),
            Some(Ok(log)) => start = start.max(log.start),
            Some(Err(why)) => return Err(format!("{side}: {why}")),
            None => return Err(format!("{side}: the partition is not told of")),
        }
    }
    Ok(start..p.end_offset.max(start))
}

fn unread(partition: &TopicPartition, why: String) -> PartitionSamples {
    PartitionSamples { partition: partition.clone(), source: Vec::new(), target: Vec::new(), expired: 0, unread: Some(why), compacts: false }
}

/// Asks each witness its questions, at the same time, each on a thread that may block.
async fn on_both<Q, T>(source: &Witness, target: &Witness, questions: [Vec<Q>; 2], ask: fn(&Witness, &[Q]) -> Result<T>) -> Result<(T, T)>
where
    Q: Send + 'static,
    T: Send + 'static,
{
    let [of_source, of_target] = questions;
    let [source, target] = [(source, of_source), (target, of_target)].map(|(witness, questions)| {
        let witness = witness.clone();
        tokio::task::spawn_blocking(move || ask(&witness, &questions))
    });
    let (source, target) = tokio::join!(source, target);
    let ended = |_| Error::new(Code::Bug, "a witness's thread has ended without an answer");
    Ok((source.map_err(ended)??, target.map_err(ended)??))
}
