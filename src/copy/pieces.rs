//! Takes a batch apart where compaction has left offsets without records: brokers refuse a batch with holes from a producer.

use crate::domain::batch::{Batch, BatchSpec};
use crate::domain::record::{self, RecordError};

/// A part of a source batch's range of offsets.
pub enum Piece {
    /// Records at adjoining offsets, encoded anew; timestamps, codec, delete horizon and aborted state are the batch's.
    Data(Batch),
    Hole { next_offset: i64 },
}

/// The batch's whole range in order, data and holes in turn.
///
/// **Errors:** records that cannot be decoded, or that are not in order.
pub fn pieces(batch: &Batch) -> Result<Vec<Piece>, RecordError> {
    let mut pieces = Vec::new();
    let mut next_offset = batch.base_offset;
    // A control batch keeps its place when cleaning has emptied it.
    if batch.record_count > 0 && !batch.is_control() {
        let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
        let plain = record::decompress(codec, &batch.payload())?;
        let mut run: Option<Run> = None;
        for item in record::walk_bodies(&plain, batch.base_offset, batch.base_timestamp) {
            let (record, body) = item?;
            let timestamp = batch.append_time().unwrap_or(record.timestamp);
            if record.offset < next_offset || record.offset >= batch.next_offset() {
                return Err(RecordError::Malformed);
            }
            if record.offset > next_offset {
                pieces.extend(run.take().map(|run| run.close(batch)).transpose()?);
                pieces.push(Piece::Hole { next_offset: record.offset });
            }
            run.get_or_insert_with(|| Run::begin(record.offset, batch)).push(timestamp, &plain[body.0..body.1]);
            next_offset = record.offset + 1;
        }
        pieces.extend(run.map(|run| run.close(batch)).transpose()?);
    }
    if next_offset < batch.next_offset() {
        pieces.push(Piece::Hole { next_offset: batch.next_offset() });
    }
    Ok(pieces)
}

/// The records of a range of offsets, which adjoin each other, as a batch of their own.
///
/// **Errors:** records that cannot be decoded, or that are not there.
pub fn part(batch: &Batch, range: std::ops::Range<i64>) -> Result<Batch, RecordError> {
    let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
    let plain = record::decompress(codec, &batch.payload())?;
    let mut run = Run::begin(range.start, batch);
    for item in record::walk_bodies(&plain, batch.base_offset, batch.base_timestamp) {
        let (record, body) = item?;
        if range.contains(&record.offset) {
            run.push(batch.append_time().unwrap_or(record.timestamp), &plain[body.0..body.1]);
        }
    }
    match run.close(batch)? {
        Piece::Data(part) if part.next_offset() == range.end => Ok(part),
        Piece::Data(_) | Piece::Hole { .. } => Err(RecordError::Malformed),
    }
}

/// Records that grow into a batch.
struct Run {
    base_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    plain: Vec<u8>,
}

impl Run {
    fn begin(base_offset: i64, batch: &Batch) -> Self {
        // A delete horizon stands in the base timestamp's place, and the deltas go by it (KIP-534).
        let base_timestamp = batch.append_time().unwrap_or(batch.base_timestamp);
        Self { base_offset, base_timestamp, max_timestamp: i64::MIN, count: 0, plain: Vec::new() }
    }

    fn push(&mut self, timestamp: i64, body: &[u8]) {
        record::encode_body(&mut self.plain, timestamp - self.base_timestamp, self.count, body);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    fn close(self, batch: &Batch) -> Result<Piece, RecordError> {
        let codec = batch.codec().ok_or(RecordError::UnknownCodec)?;
        let spec = BatchSpec {
            base_offset: self.base_offset,
            leader_epoch: batch.leader_epoch,
            codec,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            record_count: self.count,
        };
        let mut encoded = Batch::encode(&spec, &record::compress(codec, &self.plain)?);
        if batch.has_delete_horizon() {
            encoded = encoded.with_delete_horizon();
        }
        encoded.aborted = batch.aborted;
        Ok(Piece::Data(encoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::batch::records_leaf;
    use crate::domain::record::Codec;

    fn shown(batch: &Batch) -> Vec<(i64, i64)> {
        let mut from = batch.base_offset;
        let mut shown = Vec::new();
        for piece in pieces(batch).unwrap() {
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
            let (whole, part) = (compacted(&[3, 4]), pieces(&compacted(&[3, 4])).unwrap().remove(1));
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
        let data = |batch: &Batch| match pieces(batch).unwrap().remove(0) { Piece::Data(data) => data, Piece::Hole { .. } => panic!("data comes first") };
        let mut with = batch.clone().with_delete_horizon();
        with.aborted = true;
        let piece = data(&with);
        assert!(piece.has_delete_horizon() && piece.aborted && piece.base_timestamp == batch.base_timestamp);
        let stamped = data(&batch.stamped(777_000));
        assert_eq!((stamped.append_time(), stamped.max_timestamp), (None, 777_000));
        assert_eq!(shown(&Batch::marker(7, 1, false)), []);
        assert_ne!(records_leaf(&[piece]).unwrap(), records_leaf(&[stamped]).unwrap());
    }
}
