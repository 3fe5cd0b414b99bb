//! Merges runs of tiny batches into one, records, offsets and timestamps unchanged; gives records the append time that their
//! batch has, which no producer can hand over in a batch's header.

use super::limits::{MERGED_BATCH_BYTES, TINY_BATCH_BYTES};
use crate::domain::batch::{Batch, BatchSpec, HEADER_BYTES};
use crate::domain::record::{self, RecordError};

/// One append on the target: a source batch as it is, or one or several that are encoded anew as one.
pub enum Group {
    AsIs(Batch),
    Encoded(Vec<Batch>),
}

impl Group {
    fn one(batch: Batch) -> Self {
        if batch.append_time().is_some() { Group::Encoded(vec![batch]) } else { Group::AsIs(batch) }
    }
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
        1 => groups.extend(run.drain(..).map(Group::one)),
        _ => groups.push(Group::Encoded(std::mem::take(run))),
    };
    for batch in batches {
        let joins = tiny(&batch)
            && run.last().is_none_or(|last| last.content_attributes() == batch.content_attributes() && last.aborted == batch.aborted && last.next_offset() == batch.base_offset)
            && run_bytes + batch.bytes().len() <= limit;
        if !joins {
            flush(&mut run, &mut groups);
            run_bytes = 0;
        }
        if tiny(&batch) {
            run_bytes += batch.bytes().len();
            run.push(batch);
        } else {
            groups.push(Group::one(batch));
        }
    }
    flush(&mut run, &mut groups);
    groups
}

/// Makes one batch of one or several adjoining ones of the same attributes, all of aborted transactions or none.
///
/// **Errors:** records that cannot be decoded.
pub fn encode(batches: &[Batch]) -> Result<Batch, RecordError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Err(RecordError::Malformed) };
    let codec = first.codec().ok_or(RecordError::UnknownCodec)?;
    let mut plain = Vec::with_capacity(batches.iter().map(|b| b.bytes().len() - HEADER_BYTES + 16).sum());
    let base_timestamp = first.first_timestamp();
    let mut max_timestamp = i64::MIN;
    let mut count = 0;
    for batch in batches {
        let records = record::decompress(codec, &batch.payload())?;
        let from = (batch.base_offset, batch.base_timestamp);
        count += record::rebase(&mut plain, &records, from, batch.append_time(), (first.base_offset, base_timestamp))?;
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
        base_timestamp,
        max_timestamp,
        record_count: count as i32,
    };
    let mut encoded = Batch::encode(&spec, &payload);
    encoded.aborted = first.aborted;
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::{self, records_leaf};
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
            let Group::Encoded(run) = &groups[0] else { panic!("expected one merged group") };
            let merged = encode(run).unwrap();
            assert_eq!((merged.base_offset, merged.next_offset(), merged.max_timestamp), (1_000_000, 1_000_500, 5_000));
            assert_eq!(records_leaf(&batches).unwrap(), records_leaf(&[merged]).unwrap());
        }
    }

    #[test]
    fn records_get_the_append_time_of_their_batch() {
        for (codec, count) in [(Codec::None, 1), (Codec::Lz4, 3), (Codec::Zstd, 40)] {
            let batches: Vec<_> = (0..count).map(|i| one_record(70 + i, 5_000, codec).stamped(90_000 + i * 10)).collect();
            let groups = group(batches.clone(), 1 << 20);
            let [Group::Encoded(run)] = &groups[..] else { panic!("a batch with an append time is never sent as it is") };
            let encoded = encode(run).unwrap();
            assert_eq!((encoded.append_time(), encoded.codec()), (None, Some(codec)));
            assert_eq!(encoded.max_timestamp, 90_000 + (count - 1) * 10);
            let records = record::decompress(codec, &encoded.payload()).unwrap();
            let times: Vec<i64> = record::walk(&records, encoded.base_offset, encoded.base_timestamp).map(|r| r.unwrap().timestamp).collect();
            assert_eq!(times, (0..count).map(|i| 90_000 + i * 10).collect::<Vec<_>>());
            assert_eq!(records_leaf(&batches).unwrap(), records_leaf(&[encoded]).unwrap());
            let mut marker = batches[0].bytes().to_vec();
            marker[22] |= 1 << 5;
            let crc = crc32c::crc32c(&marker[21..]).to_be_bytes();
            marker[17..21].copy_from_slice(&crc);
            let marker = batch::split(marker.into()).unwrap();
            assert!(matches!(group(marker, 1 << 20)[..], [Group::AsIs(_)]), "a control record is not anybody's data");
            let plain: Vec<_> = (0..count).map(|i| one_record(70 + i, 5_000, codec)).collect();
            assert_ne!(records_leaf(&batches).unwrap(), records_leaf(&plain).unwrap(), "the digest does not see the append time");
        }
    }

    #[test]
    fn batches_of_different_codecs_or_with_a_gap_stay_apart() {
        let batches = vec![one_record(0, 0, Codec::None), one_record(1, 0, Codec::Lz4), one_record(2, 0, Codec::Lz4), one_record(4, 0, Codec::Lz4)];
        let sizes: Vec<_> = group(batches, 1 << 20).iter().map(|g| match g { Group::AsIs(_) => 1, Group::Encoded(m) => m.len() }).collect();
        assert_eq!(sizes, [1, 2, 1]);
    }
}
