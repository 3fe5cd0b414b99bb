//! Takes a batch apart that the target does not take as it is: compaction has left offsets without records, and brokers refuse a batch with holes from a
//! producer; or it is larger than what the target accepts.

use crate::domain::batch::{Batch, BatchSpec};
use crate::domain::record::{self, RecordError};
use bytes::Bytes;
use std::ops::Range;

/// A part of a source batch's range of offsets.
pub enum Piece {
    /// Records at adjoining offsets, encoded anew; timestamps, codec, delete horizon and aborted state are the batch's.
    Data(Batch),
    Hole { next_offset: i64 },
}

/// The batch's whole range in order, data and holes in turn. No data is larger than `bytes_max`, unless one record alone is; none reaches over `cut_at`.
///
/// **Errors:** records that cannot be decoded, or that are not in order.
pub fn pieces(batch: &Batch, bytes_max: usize, cut_at: Option<i64>) -> Result<Vec<Piece>, RecordError> {
    let mut pieces = Vec::new();
    let mut next_offset = batch.base_offset;
    // A control batch keeps its place when cleaning has emptied it.
    if batch.record_count > 0 && !batch.is_control() {
        let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
        let plain = record::decompress(codec, &batch.payload())?;
        let mut run = Vec::new();
        for item in record::walk_bodies(&plain, batch.base_offset, batch.base_timestamp) {
            let (record, body) = item?;
            let timestamp = batch.append_time().unwrap_or(record.timestamp);
            if record.offset < next_offset || record.offset >= batch.next_offset() {
                return Err(RecordError::Malformed);
            }
            if record.offset > next_offset || cut_at == Some(record.offset) {
                close(batch, &plain, &std::mem::take(&mut run), bytes_max, &mut pieces)?;
            }
            if record.offset > next_offset {
                pieces.push(Piece::Hole { next_offset: record.offset });
            }
            run.push(Placed { offset: record.offset, timestamp, body: body.0..body.1 });
            next_offset = record.offset + 1;
        }
        close(batch, &plain, &run, bytes_max, &mut pieces)?;
    }
    if next_offset < batch.next_offset() {
        pieces.push(Piece::Hole { next_offset: batch.next_offset() });
    }
    Ok(pieces)
}

/// The records of a range of offsets, which adjoin each other, as a batch of their own.
///
/// **Errors:** records that cannot be decoded, or that are not there.
pub fn part(batch: &Batch, range: Range<i64>) -> Result<Batch, RecordError> {
    let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
    let plain = record::decompress(codec, &batch.payload())?;
    let mut run = Vec::new();
    for item in record::walk_bodies(&plain, batch.base_offset, batch.base_timestamp) {
        let (record, body) = item?;
        if range.contains(&record.offset) {
            run.push(Placed { offset: record.offset, timestamp: batch.append_time().unwrap_or(record.timestamp), body: body.0..body.1 });
        }
    }
    let part = encode(batch, &plain, &run)?;
    if (part.base_offset, part.next_offset()) == (range.start, range.end) { Ok(part) } else { Err(RecordError::Malformed) }
}

/// The offset of the batch's largest record, and the bytes that it takes in a batch of its own; None where there is no record.
///
/// **Errors:** records that cannot be decoded.
pub fn largest_record(batch: &Batch) -> Result<Option<(i64, usize)>, RecordError> {
    let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
    let plain = record::decompress(codec, &batch.payload())?;
    let mut largest: Option<Placed> = None;
    for item in record::walk_bodies(&plain, batch.base_offset, batch.base_timestamp) {
        let (record, body) = item?;
        if largest.as_ref().is_none_or(|most| body.1 - body.0 > most.body.len()) {
            largest = Some(Placed { offset: record.offset, timestamp: record.timestamp, body: body.0..body.1 });
        }
    }
    let Some(largest) = largest else { return Ok(None) };
    let alone = encode(batch, &plain, std::slice::from_ref(&largest))?;
    Ok(Some((largest.offset, alone.bytes().len())))
}

/// A record, and where its key, value and headers lie.
struct Placed {
    offset: i64,
    timestamp: i64,
    body: Range<usize>,
}

/// Encodes records at adjoining offsets as few batches as the limit allows, of about the same size.
fn close(batch: &Batch, plain: &Bytes, run: &[Placed], bytes_max: usize, pieces: &mut Vec<Piece>) -> Result<(), RecordError> {
    if run.is_empty() {
        return Ok(());
    }
    let encoded = encode(batch, plain, run)?;
    let size = encoded.bytes().len();
    if size <= bytes_max || run.len() == 1 {
        pieces.push(Piece::Data(encoded));
        return Ok(());
    }
    // How well each part is compressed shows only when it is: each is cut again where need be.
    let parts = size.div_ceil(bytes_max.max(1)).max(2);
    let total: usize = run.iter().map(|record| record.body.len()).sum();
    let part_bytes = total.div_ceil(parts);
    let mut rest = run;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|record| { bytes += record.body.len(); bytes <= part_bytes }).count();
        // Shorter than the run, so that this comes to an end.
        let (part, behind) = rest.split_at(fitting.clamp(1, rest.len().min(run.len() - 1)));
        close(batch, plain, part, bytes_max, pieces)?;
        rest = behind;
    }
    Ok(())
}

fn encode(batch: &Batch, plain: &Bytes, run: &[Placed]) -> Result<Batch, RecordError> {
    let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
    // A delete horizon stands in the base timestamp's place, and the deltas go by it (KIP-534).
    let base_timestamp = batch.append_time().unwrap_or(batch.base_timestamp);
    let (mut records, mut max_timestamp, mut count) = (Vec::new(), i64::MIN, 0);
    for placed in run {
        record::encode_body(&mut records, placed.timestamp - base_timestamp, count, &plain[placed.body.clone()]);
        max_timestamp = max_timestamp.max(placed.timestamp);
        count += 1;
    }
    let spec = BatchSpec {
        base_offset: run.first().map_or(batch.base_offset, |first| first.offset),
        leader_epoch: batch.leader_epoch,
        codec,
        base_timestamp,
        max_timestamp,
        record_count: count,
    };
    let mut encoded = Batch::encode(&spec, &record::compress(codec, &records)?);
    if batch.has_delete_horizon() {
        encoded = encoded.with_delete_horizon();
    }
    encoded.aborted = batch.aborted;
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::records_leaf;
    use crate::domain::record::Codec;

    fn shown(batch: &Batch) -> Vec<(i64, i64)> {
        let mut from = batch.base_offset;
        let mut shown = Vec::new();
        for piece in pieces(batch, usize::MAX, None).unwrap() {
            let next_offset = match &piece {
                Piece::Data(data) => {
                    assert_eq!((data.base_offset, data.has_holes()), (from, false));
                    shown.push((from, data.next_offset()));
                    data.next_offset()
                }
                Piece::Hole { next_offset } => *next_offset,
            };
            assert!(next_offset > from);
            from = next_offset;
        }
        assert_eq!(from, batch.next_offset(), "the whole range is covered");
        shown
    }

    #[test]
    fn records_stay_and_holes_are_told() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let compacted = |kept: &[i32]| crate::copy::simulation::compacted(100, 10, kept, codec);
            assert_eq!(shown(&compacted(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])), [(100, 110)]);
            assert_eq!(shown(&compacted(&[0, 1, 5, 9])), [(100, 102), (105, 106), (109, 110)]);
            assert_eq!(shown(&compacted(&[3, 4])), [(103, 105)]);
            assert!(shown(&compacted(&[])).is_empty());
            let (whole, part) = (compacted(&[3, 4]), pieces(&compacted(&[3, 4]), usize::MAX, None).unwrap().remove(1));
            let Piece::Data(part) = part else { panic!("data behind the hole") };
            let read = |batch: &Batch| {
                let plain = record::decompress(codec, &batch.payload()).unwrap();
                record::walk(&plain, batch.base_offset, batch.base_timestamp).map(|r| { let r = r.unwrap(); (r.offset, r.timestamp, r.value.map(<[u8]>::to_vec)) }).collect::<Vec<_>>()
            };
            assert_eq!(read(&part), read(&whole));
            assert_eq!(part.max_timestamp, read(&whole).iter().map(|r| r.1).max().unwrap());
        }
    }

    #[test]
    fn horizon_append_time_and_abort_go_along() {
        let batch = crate::copy::simulation::compacted(100, 5, &[0, 4], Codec::Lz4);
        let data = |batch: &Batch| match pieces(batch, usize::MAX, None).unwrap().remove(0) { Piece::Data(data) => data, Piece::Hole { .. } => panic!("data comes first") };
        let mut with = batch.clone().with_delete_horizon();
        with.aborted = true;
        let piece = data(&with);
        assert!(piece.has_delete_horizon() && piece.aborted && piece.base_timestamp == batch.base_timestamp);
        let stamped = data(&batch.stamped(777_000));
        assert_eq!((stamped.append_time(), stamped.max_timestamp), (None, 777_000));
        assert_eq!(shown(&Batch::marker(7, 1, false)), []);
        assert_ne!(records_leaf(&[piece]).unwrap(), records_leaf(&[stamped]).unwrap());
    }

    #[test]
    fn a_batch_that_is_too_large_goes_in_parts_that_fit() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut plain = Vec::new();
            let mut noise = 1u64;
            for delta in 0..200 {
                let value: Vec<u8> = (0..delta * 3 + 1).map(|_| { noise = noise.wrapping_mul(6364136223846793005).wrapping_add(1); (noise >> 56) as u8 }).collect();
                record::encode(&mut plain, i64::from(delta % 7), delta, Some(b"key"), Some(&value), &[("h", None)]);
            }
            let spec = BatchSpec { base_offset: 1_000, leader_epoch: 1, codec, base_timestamp: 5_000, max_timestamp: 5_006, record_count: 200 };
            let mut batch = Batch::encode(&spec, &record::compress(codec, &plain).unwrap());
            batch.aborted = true;
            let cut = |bytes_max, cut_at| {
                let data = pieces(&batch, bytes_max, cut_at).unwrap().into_iter().map(|piece| match piece { Piece::Data(data) => data, Piece::Hole { .. } => panic!("there is no hole") });
                data.collect::<Vec<_>>()
            };
            assert_eq!(cut(usize::MAX, None).len(), 1);
            for bytes_max in [900, 5_000, batch.bytes().len() - 1] {
                let parts = cut(bytes_max, None);
                assert!(parts.len() > 1 && parts.iter().all(|part| part.bytes().len() <= bytes_max && part.aborted), "{codec:?} {bytes_max}");
                assert!(parts.len() <= 3 * batch.bytes().len().div_ceil(bytes_max) + 1, "{codec:?}: {} parts of at most {bytes_max}", parts.len());
                assert!(parts.windows(2).all(|pair| pair[0].next_offset() == pair[1].base_offset));
                assert_eq!(records_leaf(&parts).unwrap(), records_leaf(std::slice::from_ref(&batch)).unwrap(), "{codec:?}");
            }
            let (offset, bytes) = largest_record(&batch).unwrap().unwrap();
            assert!(offset == 1_199 && bytes > 597 && bytes < 800, "{codec:?} {offset} {bytes}");
            // One record is never cut, so it stays too large.
            assert_eq!(cut(1, None).len(), 200);
            let two = cut(usize::MAX, Some(1_077));
            assert_eq!(two.iter().map(Batch::next_offset).collect::<Vec<_>>(), [1_077, 1_200]);
            assert_eq!(cut(usize::MAX, Some(1_000)).len(), 1, "nothing lies before it");
        }
    }
}
