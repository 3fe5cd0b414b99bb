//! Merges runs of tiny batches into one, records, offsets and timestamps unchanged.

use super::limits::{MERGED_BATCH_BYTES, TINY_BATCH_BYTES};
use crate::domain::batch::{Batch, BatchSpec, HEADER_BYTES};
use crate::domain::record::{self, RecordError};

/// One append on the target: a source batch as it is, or several that become one.
pub enum Group {
    One(Batch),
    Many(Vec<Batch>),
}

fn tiny(batch: &Batch) -> bool {
    batch.bytes().len() < TINY_BATCH_BYTES && !batch.is_control() && !batch.has_delete_horizon()
}

/// Cuts a run of adjoining batches into groups. A group's stored size stays below `batch_bytes_max`, the topic's limit.
pub fn group(batches: Vec<Batch>, batch_bytes_max: usize) -> Vec<Group> {
    let limit = MERGED_BATCH_BYTES.min(batch_bytes_max / 2);
    let mut groups = Vec::with_capacity(batches.len());
    let mut run: Vec<Batch> = Vec::new();
    let mut run_bytes = 0;
    let flush = |run: &mut Vec<Batch>, groups: &mut Vec<Group>| match run.len() {
        0 => {}
        1 => groups.extend(run.drain(..).map(Group::One)),
        _ => groups.push(Group::Many(std::mem::take(run))),
    };
    for batch in batches {
        let joins = tiny(&batch)
            && run.last().is_none_or(|last| last.attributes == batch.attributes && last.next_offset() == batch.base_offset)
            && run_bytes + batch.bytes().len() <= limit;
        if !joins {
            flush(&mut run, &mut groups);
            run_bytes = 0;
        }
        if tiny(&batch) {
            run_bytes += batch.bytes().len();
            run.push(batch);
        } else {
            groups.push(Group::One(batch));
        }
    }
    flush(&mut run, &mut groups);
    groups
}

/// Makes one batch of several adjoining ones of the same attributes.
///
/// **Errors:** records that cannot be decoded; the caller then sends the batches one by one.
pub fn merge(batches: &[Batch]) -> Result<Batch, RecordError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Err(RecordError::Malformed) };
    let codec = first.codec().ok_or(RecordError::UnknownCodec)?;
    let mut plain = Vec::with_capacity(batches.iter().map(|b| b.bytes().len() - HEADER_BYTES + 16).sum());
    let mut max_timestamp = i64::MIN;
    let mut count = 0;
    for batch in batches {
        let records = record::decompress(codec, &batch.payload())?;
        let from = (batch.base_offset, batch.base_timestamp);
        count += record::rebase(&mut plain, &records, from, (first.base_offset, first.base_timestamp))?;
        max_timestamp = max_timestamp.max(batch.max_timestamp);
    }
    if count as i64 != last.next_offset() - first.base_offset {
        return Err(RecordError::Malformed);
    }
    let payload = record::compress(codec, &plain)?;
    let spec = BatchSpec {
        base_offset: first.base_offset,
        leader_epoch: first.leader_epoch,
        codec,
        base_timestamp: first.base_timestamp,
        max_timestamp,
        record_count: count as i32,
    };
    Ok(Batch::encode(&spec, &payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::records_leaf;
    use crate::domain::record::Codec;

    pub fn one_record(offset: i64, timestamp: i64, codec: Codec) -> Batch {
        let mut plain = Vec::new();
        record::encode(&mut plain, 0, 0, None, Some(format!("value {offset}").as_bytes()), &[("h", None)]);
        let spec = BatchSpec { base_offset: offset, leader_epoch: 0, codec, base_timestamp: timestamp, max_timestamp: timestamp, record_count: 1 };
        Batch::encode(&spec, &record::compress(codec, &plain).unwrap())
    }

    #[test]
    fn merged_batches_keep_every_record() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let batches: Vec<_> = (0..500).map(|i| one_record(1_000_000 + i, 5_000 - i * 7, codec)).collect();
            let groups = group(batches.clone(), 1 << 20);
            assert_eq!(groups.len(), 1);
            let Group::Many(run) = &groups[0] else { panic!("expected one merged group") };
            let merged = merge(run).unwrap();
            assert_eq!((merged.base_offset, merged.next_offset(), merged.max_timestamp), (1_000_000, 1_000_500, 5_000));
            assert_eq!(records_leaf(&batches).unwrap(), records_leaf(&[merged]).unwrap());
        }
    }

    #[test]
    fn batches_of_different_codecs_or_with_a_gap_stay_apart() {
        let batches = vec![one_record(0, 0, Codec::None), one_record(1, 0, Codec::Lz4), one_record(2, 0, Codec::Lz4), one_record(4, 0, Codec::Lz4)];
        let sizes: Vec<_> = group(batches, 1 << 20).iter().map(|g| match g { Group::One(_) => 1, Group::Many(m) => m.len() }).collect();
        assert_eq!(sizes, [1, 2, 1]);
    }
}
