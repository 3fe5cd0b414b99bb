//! Record batches of format v2, passed through without decoding their records.
//!
//! **Source:** Kafka documentation, "Message Format"; `org.apache.kafka.common.record.DefaultRecordBatch`.

use super::digest::Digest;
use super::record::{self, Codec};
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

/// Bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before `batchLength` starts to count.
const LENGTH_BASE: usize = 12;

const AT_LEADER_EPOCH: usize = 12;
const AT_MAGIC: usize = 16;
const AT_CRC: usize = 17;
const AT_ATTRIBUTES: usize = 21;
const AT_LAST_OFFSET_DELTA: usize = 23;
const AT_BASE_TIMESTAMP: usize = 27;
const AT_MAX_TIMESTAMP: usize = 35;
const AT_PRODUCER_ID: usize = 43;
const AT_RECORD_COUNT: usize = 57;

const CODEC_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// Why a run of bytes is no batch that can be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// A message set of format v0 or v1, or of one that is not known yet.
    Magic { base_offset: i64, magic: i8 },
    Crc { base_offset: i64 },
    /// Lengths or counts that contradict each other.
    Malformed { base_offset: i64, what: &'static str },
}

/// The producer id, epoch and first sequence under which a batch is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

/// One record batch: its bytes as they lie in the log, and the header's fields that matter.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    pub base_offset: i64,
    pub leader_epoch: i32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub record_count: i32,
    /// Whether the batch's transaction was aborted, which the log says elsewhere: `read_committed` consumers never see it.
    pub aborted: bool,
}

fn i16_at(b: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([b[at], b[at + 1]])
}

fn i32_at(b: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn i64_at(b: &[u8], at: usize) -> i64 {
    (i64::from(i32_at(b, at)) << 32) | i64::from(i32_at(b, at + 4) as u32)
}

/// Splits the records of a fetch into whole batches, checksums verified; a partial batch at the end is left out, as
/// a broker may cut the last one (KIP-74).
pub fn split(mut records: Bytes) -> Result<Vec<Batch>, BatchError> {
    let mut batches = Vec::new();
    while records.len() > AT_MAGIC {
        let base_offset = i64_at(&records, 0);
        let magic = records[AT_MAGIC] as i8;
        if magic != 2 {
            return Err(BatchError::Magic { base_offset, magic });
        }
        let length = i32_at(&records, 8);
        if length < (HEADER_BYTES - LENGTH_BASE) as i32 {
            return Err(BatchError::Malformed { base_offset, what: "batch length" });
        }
        let size = LENGTH_BASE + length as usize;
        if records.len() < size {
            break;
        }
        batches.push(Batch::parse(records.split_to(size))?);
    }
    Ok(batches)
}

/// Marks the batches whose transactions were aborted; `aborted` holds producer id and first offset of each such transaction that
/// reaches into the run of batches, as a `read_committed` fetch returns them.
///
/// **Source:** `org.apache.kafka.clients.consumer.internals.CompletedFetch.nextFetchedRecord`.
pub fn mark_aborted(batches: &mut [Batch], mut aborted: Vec<(i64, i64)>) {
    aborted.sort_by_key(|(_, first_offset)| std::cmp::Reverse(*first_offset));
    let mut open = std::collections::BTreeSet::new();
    for batch in batches {
        while let Some((producer_id, _)) = aborted.pop_if(|(_, first_offset)| *first_offset < batch.next_offset()) {
            open.insert(producer_id);
        }
        if batch.is_control() {
            if !batch.is_commit_marker() {
                open.remove(&batch.producer_id);
            }
        } else {
            batch.aborted = batch.is_transactional() && open.contains(&batch.producer_id);
        }
    }
}

impl Batch {
    /// Reads the header of one whole batch and verifies its CRC-32C.
    fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let base_offset = i64_at(&bytes, 0);
        if crc32c::crc32c(&bytes[AT_ATTRIBUTES..]) != i32_at(&bytes, AT_CRC) as u32 {
            return Err(BatchError::Crc { base_offset });
        }
        let batch = Self {
            base_offset,
            leader_epoch: i32_at(&bytes, AT_LEADER_EPOCH),
            attributes: i16_at(&bytes, AT_ATTRIBUTES),
            last_offset_delta: i32_at(&bytes, AT_LAST_OFFSET_DELTA),
            base_timestamp: i64_at(&bytes, AT_BASE_TIMESTAMP),
            max_timestamp: i64_at(&bytes, AT_MAX_TIMESTAMP),
            producer_id: i64_at(&bytes, AT_PRODUCER_ID),
            record_count: i32_at(&bytes, AT_RECORD_COUNT),
            aborted: false,
            bytes,
        };
        if batch.last_offset_delta < 0 || batch.record_count < 0 {
            return Err(BatchError::Malformed { base_offset, what: "record count or last offset delta" });
        }
        Ok(batch)
    }

    /// The batch as it lies in the log.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records as they are stored, compressed or not.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }

    /// The offset after the batch's last one.
    pub fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// The broker's time that stands for each record's own (`message.timestamp.type=LogAppendTime`); None where they keep theirs, and for a
    /// control batch, which has the bit on such a topic too.
    ///
    /// **Source:** `DefaultRecordBatch`: the batch's max timestamp, whatever the records' deltas say.
    pub fn append_time(&self) -> Option<i64> {
        (self.attributes & LOG_APPEND_TIME != 0 && !self.is_control()).then_some(self.max_timestamp)
    }

    /// The time of the batch's first record: its append time, or the base timestamp where records keep their own and compaction has put nothing in its place.
    pub fn first_timestamp(&self) -> i64 {
        let own = if self.has_delete_horizon() { self.max_timestamp } else { self.base_timestamp };
        self.append_time().unwrap_or(own)
    }

    /// Whether compaction has put a delete horizon in place of the base timestamp (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    /// The batch with what it has as its base timestamp taken for a delete horizon.
    pub fn with_delete_horizon(self) -> Self {
        let mut bytes = self.bytes.to_vec();
        bytes[AT_ATTRIBUTES + 1] |= DELETE_HORIZON as u8;
        let crc = crc32c::crc32c(&bytes[AT_ATTRIBUTES..]).to_be_bytes();
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc);
        Self { bytes: bytes.into(), attributes: self.attributes | DELETE_HORIZON, ..self }
    }

    /// Whether offsets of the batch's range carry no record.
    pub fn has_holes(&self) -> bool {
        self.record_count != self.last_offset_delta + 1
    }

    /// The attributes but the transactional bit, which our own append decides.
    pub fn content_attributes(&self) -> i16 {
        self.attributes & !TRANSACTIONAL
    }

    pub fn codec(&self) -> Option<Codec> {
        Codec::from_attributes(self.attributes & CODEC_MASK)
    }

    /// Shows each record with the time that consumers see.
    ///
    /// **Errors:** a payload that cannot be decoded, or that holds another number of records than the header says.
    pub fn each_record(&self, mut show: impl FnMut(record::Record<'_>)) -> Result<(), record::RecordError> {
        let codec = self.codec().ok_or(record::RecordError::UnknownCodec)?;
        let records = record::decompress(codec, &self.payload())?;
        let mut shown = 0;
        for item in record::walk(&records, self.base_offset, self.base_timestamp) {
            let mut record = item?;
            record.timestamp = self.append_time().unwrap_or(record.timestamp);
            show(record);
            shown += 1;
        }
        if shown != self.record_count { Err(record::RecordError::Malformed) } else { Ok(()) }
    }

    /// Of a control batch: whether it is a commit marker (as opposed to an abort marker, or to something else).
    ///
    /// **Source:** `org.apache.kafka.common.record.ControlRecordType`: the key is version and type, 0 abort, 1 commit.
    pub fn is_commit_marker(&self) -> bool {
        record::decompress(self.codec().unwrap_or(Codec::None), &self.payload())
            .ok()
            .and_then(|records| {
                let first = record::walk(&records, self.base_offset, self.base_timestamp).next()?.ok()?;
                Some(first.key? == [0, 0, 0, 1])
            })
            .unwrap_or(false)
    }

    /// Digests the batch without decoding it: base offset, last offset delta, attributes without the transactional bit,
    /// both timestamps, count and payload bytes.
    pub fn leaf(&self) -> Digest {
        if self.is_control() {
            return control_leaf(self.base_offset);
        }
        let mut hash = Sha256::new();
        hash.update(b"kferry.leaf.batch.v1\0");
        hash.update(self.base_offset.to_be_bytes());
        hash.update(self.last_offset_delta.to_be_bytes());
        hash.update(self.content_attributes().to_be_bytes());
        hash.update(self.base_timestamp.to_be_bytes());
        hash.update(self.max_timestamp.to_be_bytes());
        hash.update(self.record_count.to_be_bytes());
        hash.update(&self.bytes[HEADER_BYTES..]);
        Digest::from_bytes(hash.finalize().into())
    }

    /// The header for appending the same records under another producer, base offset 0 as a broker asks for, and the
    /// CRC that belongs to it. The payload follows it unchanged. Only aborted data is transactional there: what was committed needs
    /// no transaction to be seen by everybody.
    pub fn header_for(&self, stamp: ProducerStamp) -> Bytes {
        let mut header = BytesMut::with_capacity(HEADER_BYTES);
        header.put_i64(0);
        header.extend_from_slice(&self.bytes[8..LENGTH_BASE]);
        header.put_i32(-1);
        header.put_i8(2);
        header.put_u32(0);
        header.put_i16(self.content_attributes() | if self.aborted { TRANSACTIONAL } else { 0 });
        header.extend_from_slice(&self.bytes[AT_LAST_OFFSET_DELTA..AT_PRODUCER_ID]);
        header.put_i64(stamp.producer_id);
        header.put_i16(stamp.producer_epoch);
        header.put_i32(stamp.base_sequence);
        header.extend_from_slice(&self.bytes[AT_RECORD_COUNT..HEADER_BYTES]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[AT_ATTRIBUTES..]), &self.bytes[HEADER_BYTES..]);
        header[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        header.freeze()
    }

    /// The batch without what no leaf digests: producer, leader epoch, transaction.
    pub fn bare(&self) -> Bytes {
        let plain = Self { aborted: false, ..self.clone() };
        let mut bytes = BytesMut::from(&plain.header_for(ProducerStamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 })[..]);
        bytes[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes.extend_from_slice(&self.bytes[HEADER_BYTES..]);
        bytes.freeze()
    }

    /// The batch, which is committed, at another offset: plain, with the same records.
    pub fn moved_to(&self, base_offset: i64) -> Self {
        let moved = Self { base_offset, ..self.clone() };
        Self { bytes: moved.bare(), attributes: self.content_attributes(), leader_epoch: -1, producer_id: -1, aborted: false, ..moved }
    }

    /// The same batch with its bytes held elsewhere.
    pub fn with_bytes(self, hold: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { bytes: hold(self.bytes), ..self }
    }

    /// Builds a batch from encoded records.
    pub fn encode(spec: &BatchSpec, payload: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + payload.len());
        bytes.put_i64(spec.base_offset);
        bytes.put_i32((HEADER_BYTES - LENGTH_BASE + payload.len()) as i32);
        bytes.put_i32(spec.leader_epoch);
        bytes.put_i8(2);
        bytes.put_u32(0);
        bytes.put_i16(spec.codec as i16);
        bytes.put_i32(spec.record_count - 1);
        bytes.put_i64(spec.base_timestamp);
        bytes.put_i64(spec.max_timestamp);
        bytes.put_i64(-1);
        bytes.put_i16(-1);
        bytes.put_i32(-1);
        bytes.put_i32(spec.record_count);
        bytes.extend_from_slice(payload);
        let crc = crc32c::crc32c(&bytes[AT_ATTRIBUTES..]);
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
        Self {
            bytes: bytes.freeze(),
            base_offset: spec.base_offset,
            leader_epoch: spec.leader_epoch,
            attributes: spec.codec as i16,
            last_offset_delta: spec.record_count - 1,
            base_timestamp: spec.base_timestamp,
            max_timestamp: spec.max_timestamp,
            producer_id: -1,
            record_count: spec.record_count,
            aborted: false,
        }
    }
}

#[cfg(test)]
impl Batch {
    /// The batch as a LogAppendTime topic keeps it: the records' own times are there still, and do not count.
    pub fn stamped(&self, append_time: i64) -> Batch {
        let mut bytes = self.bytes.to_vec();
        bytes[AT_ATTRIBUTES + 1] |= LOG_APPEND_TIME as u8;
        bytes[AT_MAX_TIMESTAMP..AT_PRODUCER_ID].copy_from_slice(&append_time.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[AT_ATTRIBUTES..]).to_be_bytes();
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc);
        split(bytes.into()).unwrap().remove(0)
    }

    /// The batch with its range as wide as that, records or not.
    pub fn covering(&self, offsets: i32) -> Batch {
        let mut bytes = self.bytes.to_vec();
        bytes[AT_LAST_OFFSET_DELTA..AT_BASE_TIMESTAMP].copy_from_slice(&(offsets - 1).to_be_bytes());
        let crc = crc32c::crc32c(&bytes[AT_ATTRIBUTES..]).to_be_bytes();
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc);
        split(bytes.into()).unwrap().remove(0)
    }

    /// The batch as part of a producer's transaction, or as the control batch that ends it.
    pub fn transactional(&self, producer_id: i64, control: bool) -> Batch {
        let mut bytes = self.bytes.to_vec();
        bytes[AT_ATTRIBUTES + 1] |= (TRANSACTIONAL | if control { CONTROL } else { 0 }) as u8;
        bytes[AT_PRODUCER_ID..AT_PRODUCER_ID + 8].copy_from_slice(&producer_id.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[AT_ATTRIBUTES..]).to_be_bytes();
        bytes[AT_CRC..AT_ATTRIBUTES].copy_from_slice(&crc);
        split(bytes.into()).unwrap().remove(0)
    }

    /// The control batch that commits or aborts a producer's transaction.
    pub fn marker(base_offset: i64, producer_id: i64, commit: bool) -> Batch {
        let mut plain = Vec::new();
        record::encode(&mut plain, 0, 0, Some(&[0, 0, 0, u8::from(commit)]), Some(&[0; 6]), &[]);
        let spec = BatchSpec { base_offset, leader_epoch: 1, codec: Codec::None, base_timestamp: 0, max_timestamp: 0, record_count: 1 };
        Batch::encode(&spec, &plain).transactional(producer_id, true)
    }
}

/// What [`Batch::encode`] needs beside the records.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpec {
    pub base_offset: i64,
    pub leader_epoch: i32,
    pub codec: Codec,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub record_count: i32,
}

/// Digests a control record by its place alone: the marker's clock and coordinator epoch are the target's own, and an
/// empty transaction's type shows to nobody.
pub fn control_leaf(offset: i64) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"kferry.leaf.control.v1\0");
    hash.update(offset.to_be_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The same digest as [`records_leaf_from`], of records that are in canonical form already.
pub fn canonical_leaf<'a>(base_offset: i64, next_offset: i64, records: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"kferry.leaf.records.v1\0");
    hash.update(base_offset.to_be_bytes());
    hash.update(next_offset.to_be_bytes());
    records.for_each(|record| hash.update(record));
    Digest::from_bytes(hash.finalize().into())
}

/// Digests the records of one or several adjoining batches in canonical form, so that it does not matter how they were
/// cut into batches or compressed.
///
/// **Errors:** a payload that cannot be decoded.
pub fn records_leaf(batches: &[Batch]) -> Result<Digest, record::RecordError> {
    records_leaf_from(batches, i64::MIN)
}

/// The same of the records from an offset on.
///
/// **Errors:** a payload that cannot be decoded.
pub fn records_leaf_from(batches: &[Batch], from: i64) -> Result<Digest, record::RecordError> {
    let mut hash = Sha256::new();
    hash.update(b"kferry.leaf.records.v1\0");
    if let (Some(first), Some(last)) = (batches.first(), batches.last()) {
        hash.update(first.base_offset.max(from).to_be_bytes());
        hash.update(last.next_offset().to_be_bytes());
    }
    for batch in batches {
        batch.each_record(|record| {
            if record.offset >= from {
                record.canonical(|bytes| hash.update(bytes));
            }
        })?;
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(base_offset: i64, values: &[&[u8]], codec: Codec) -> Batch {
        let mut plain = Vec::new();
        for (i, value) in values.iter().enumerate() {
            record::encode(&mut plain, i as i64, i as i32, Some(b"k"), Some(value), &[]);
        }
        let payload = record::compress(codec, &plain).unwrap();
        let count = values.len() as i32;
        let spec = BatchSpec { base_offset, leader_epoch: 3, codec, base_timestamp: 1000, max_timestamp: 1000 + i64::from(count) - 1, record_count: count };
        Batch::encode(&spec, &payload)
    }

    #[test]
    fn what_was_aborted_is_known_by_producer_and_place() {
        let data = |base_offset, producer_id| sample(base_offset, &[b"x", b"y"], Codec::None).transactional(producer_id, false);
        let mut log = vec![
            data(10, 7),
            sample(12, &[b"plain", b"plain"], Codec::None),
            data(14, 8),
            data(16, 7),
            Batch::marker(18, 7, false),
            // The same producer's next transaction is committed, and a third one aborted again.
            data(19, 7),
            Batch::marker(21, 8, true),
            Batch::marker(22, 7, true),
            data(23, 7),
            Batch::marker(25, 7, false),
        ];
        let mut tail = log[3..].to_vec();
        mark_aborted(&mut log, vec![(7, 23), (7, 10)]);
        let aborted = |log: &[Batch]| log.iter().filter(|b| b.aborted).map(|b| b.base_offset).collect::<Vec<_>>();
        assert_eq!(aborted(&log), [10, 16, 23]);
        // A fetch from the middle of a transaction is told where that began.
        mark_aborted(&mut tail, vec![(7, 10)]);
        assert_eq!(aborted(&tail), [16]);
        mark_aborted(&mut tail, vec![]);
        assert!(aborted(&tail).is_empty());
    }

    #[test]
    fn only_what_was_aborted_is_sent_as_transactional() {
        let stamp = ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: 0 };
        let sent = |batch: &Batch| split([&batch.header_for(stamp)[..], &batch.payload()[..]].concat().into()).unwrap().remove(0);
        let mut batch = sample(0, &[b"x"], Codec::Lz4).transactional(7, false);
        assert!(!sent(&batch).is_transactional());
        batch.aborted = true;
        assert!(sent(&batch).is_transactional());
        assert_eq!(sent(&batch).leaf(), batch.leaf());
    }

    #[test]
    fn a_partial_batch_at_the_end_is_left_out() {
        let (a, b) = (sample(5, &[b"x", b"y"], Codec::None), sample(7, &[b"z"], Codec::None));
        let mut joined = a.bytes().to_vec();
        joined.extend_from_slice(&b.bytes()[..b.bytes().len() - 1]);
        let batches = split(joined.into()).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].base_offset, batches[0].next_offset()), (5, 7));
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut bytes = sample(0, &[b"value"], Codec::None).bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(split(bytes.into()).unwrap_err(), BatchError::Crc { base_offset: 0 });
    }

    #[test]
    fn the_rewritten_header_is_a_valid_batch_with_the_same_leaf() {
        let batch = sample(42, &[b"x", b"y", b"z"], Codec::Lz4);
        let mut sent = batch.header_for(ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence: 17 }).to_vec();
        sent.extend_from_slice(&batch.payload());
        sent[..8].copy_from_slice(&42i64.to_be_bytes());
        let read = &split(sent.into()).unwrap()[0];
        assert_eq!(read.producer_id, 9);
        assert_eq!(read.leaf(), batch.leaf());
    }

    #[test]
    fn the_records_leaf_does_not_depend_on_cut_or_codec() {
        let whole = sample(10, &[b"a", b"b", b"c"], Codec::Zstd);
        let other = sample(10, &[b"a", b"b", b"c"], Codec::Snappy);
        assert_eq!(records_leaf(&[whole.clone()]).unwrap(), records_leaf(&[other]).unwrap());
        let changed = sample(10, &[b"a", b"b", b"d"], Codec::Zstd);
        assert_ne!(records_leaf(&[whole]).unwrap(), records_leaf(&[changed]).unwrap());
    }
}
