//! Records inside a batch, decoded only where they must be: merging, and digests in canonical form.
//!
//! **Source:** Kafka documentation, "Record"; `org.apache.kafka.common.record.DefaultRecord`.

use bytes::Bytes;
use std::io::{Read, Write};

/// A batch's compression; the discriminants are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub fn from_attributes(bits: i16) -> Option<Self> {
        match bits {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    Malformed,
    UnknownCodec,
    Compression,
}

/// xerial's framing of snappy, which Java clients write. Source: `org.xerial.snappy.SnappyOutputStream`.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// Undoes a batch's compression.
pub fn decompress(codec: Codec, payload: &Bytes) -> Result<Bytes, RecordError> {
    let mut plain = Vec::new();
    match codec {
        Codec::None => return Ok(payload.clone()),
        Codec::Gzip => {
            flate2::read::MultiGzDecoder::new(&payload[..]).read_to_end(&mut plain).map_err(|_| RecordError::Compression)?;
        }
        Codec::Snappy if payload.starts_with(XERIAL_MAGIC) => {
            let mut rest = payload.get(XERIAL_HEADER_BYTES..).ok_or(RecordError::Compression)?;
            while !rest.is_empty() {
                let (length, tail) = rest.split_first_chunk::<4>().ok_or(RecordError::Compression)?;
                let chunk = tail.get(..u32::from_be_bytes(*length) as usize).ok_or(RecordError::Compression)?;
                plain.extend(snap::raw::Decoder::new().decompress_vec(chunk).map_err(|_| RecordError::Compression)?);
                rest = &tail[chunk.len()..];
            }
        }
        Codec::Snappy => {
            plain = snap::raw::Decoder::new().decompress_vec(payload).map_err(|_| RecordError::Compression)?;
        }
        Codec::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(&payload[..]).read_to_end(&mut plain).map_err(|_| RecordError::Compression)?;
        }
        Codec::Zstd => {
            zstd::stream::read::Decoder::new(&payload[..])
                .and_then(|mut decoder| decoder.read_to_end(&mut plain))
                .map_err(|_| RecordError::Compression)?;
        }
    }
    Ok(plain.into())
}

/// Compresses encoded records as a Java client would.
pub fn compress(codec: Codec, plain: &[u8]) -> Result<Vec<u8>, RecordError> {
    match codec {
        Codec::None => Ok(plain.to_vec()),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).and_then(|()| encoder.finish()).map_err(|_| RecordError::Compression)
        }
        Codec::Snappy => {
            let block = snap::raw::Encoder::new().compress_vec(plain).map_err(|_| RecordError::Compression)?;
            let mut framed = Vec::with_capacity(XERIAL_HEADER_BYTES + 4 + block.len());
            framed.extend_from_slice(XERIAL_MAGIC);
            framed.extend_from_slice(&1u32.to_be_bytes());
            framed.extend_from_slice(&1u32.to_be_bytes());
            framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
            framed.extend_from_slice(&block);
            Ok(framed)
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).map_err(|_| RecordError::Compression)?;
            encoder.finish().map_err(|_| RecordError::Compression)
        }
        Codec::Zstd => zstd::bulk::compress(plain, 3).map_err(|_| RecordError::Compression),
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// The headers as encoded, their count first.
    raw_headers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Feeds the record's canonical form: offset, timestamp, key, value and headers, each with its length, -1 for null.
    pub fn canonical(&self, mut feed: impl FnMut(&[u8])) {
        feed(&self.offset.to_be_bytes());
        feed(&self.timestamp.to_be_bytes());
        for part in [self.key, self.value] {
            feed(&part.map_or(-1, |bytes| bytes.len() as i64).to_be_bytes());
            feed(part.unwrap_or_default());
        }
        feed(&(self.raw_headers.len() as i64).to_be_bytes());
        feed(self.raw_headers);
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<i64, RecordError> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = *bytes.get(*at).ok_or(RecordError::Malformed)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(((value >> 1) as i64) ^ -((value & 1) as i64));
        }
        shift += 7;
        if shift > 63 {
            return Err(RecordError::Malformed);
        }
    }
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Walks the records of one batch, decompressed.
pub fn walk(records: &[u8], base_offset: i64, base_timestamp: i64) -> impl Iterator<Item = Result<Record<'_>, RecordError>> {
    walk_bodies(records, base_offset, base_timestamp).map(|item| item.map(|(record, _)| record))
}

/// The same, each with the place of its key, value and headers in `records`, as [`encode_body`] takes them.
pub fn walk_bodies(
    records: &[u8],
    base_offset: i64,
    base_timestamp: i64,
) -> impl Iterator<Item = Result<(Record<'_>, (usize, usize)), RecordError>> {
    let mut at = 0;
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || at == records.len() {
            return None;
        }
        let item = next_record(records, &mut at, base_offset, base_timestamp);
        failed = item.is_err();
        Some(item)
    })
}

fn next_record<'a>(
    records: &'a [u8],
    at: &mut usize,
    base_offset: i64,
    base_timestamp: i64,
) -> Result<(Record<'a>, (usize, usize)), RecordError> {
    let length = usize::try_from(varint(records, at)?).map_err(|_| RecordError::Malformed)?;
    let end = at.checked_add(length).filter(|end| *end <= records.len()).ok_or(RecordError::Malformed)?;
    *at += 1; // attributes, unused
    let timestamp = base_timestamp + varint(records, at)?;
    let offset = base_offset + varint(records, at)?;
    let body_start = *at;
    let bytes = |at: &mut usize| -> Result<Option<&'a [u8]>, RecordError> {
        let Ok(length) = usize::try_from(varint(records, at)?) else { return Ok(None) };
        let part = at.checked_add(length).and_then(|stop| records.get(*at..stop)).ok_or(RecordError::Malformed)?;
        *at += length;
        Ok(Some(part))
    };
    let key = bytes(at)?;
    let value = bytes(at)?;
    let raw_headers = records.get(*at..end).ok_or(RecordError::Malformed)?;
    *at = end;
    Ok((Record { offset, timestamp, key, value, raw_headers }, (body_start, end)))
}

/// Appends one record in a batch's encoding.
pub fn encode(out: &mut Vec<u8>, timestamp_delta: i64, offset_delta: i32, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) {
    let mut body = Vec::new();
    for part in [key, value] {
        put_varint(&mut body, part.map_or(-1, |bytes| bytes.len() as i64));
        body.extend_from_slice(part.unwrap_or_default());
    }
    put_varint(&mut body, headers.len() as i64);
    for (name, value) in headers {
        put_varint(&mut body, name.len() as i64);
        body.extend_from_slice(name.as_bytes());
        put_varint(&mut body, value.map_or(-1, |bytes| bytes.len() as i64));
        body.extend_from_slice(value.unwrap_or_default());
    }
    encode_body(out, timestamp_delta, offset_delta, &body);
}

/// Appends one record whose key, value and headers are encoded already.
pub fn encode_body(out: &mut Vec<u8>, timestamp_delta: i64, offset_delta: i32, body: &[u8]) {
    let mut head = Vec::with_capacity(16);
    head.push(0);
    put_varint(&mut head, timestamp_delta);
    put_varint(&mut head, i64::from(offset_delta));
    put_varint(out, (head.len() + body.len()) as i64);
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
}

/// Re-encodes every record of a batch relative to another base (offset, timestamp), appending to `out`. With an append time
/// each record carries that one.
///
/// **Errors:** a record that cannot be decoded.
pub fn rebase(out: &mut Vec<u8>, records: &[u8], from: (i64, i64), append_time: Option<i64>, to: (i64, i64)) -> Result<usize, RecordError> {
    let mut count = 0;
    for item in walk_bodies(records, from.0, from.1) {
        let (record, body) = item?;
        let timestamp = append_time.unwrap_or(record.timestamp);
        encode_body(out, timestamp - to.1, (record.offset - to.0) as i32, &records[body.0..body.1]);
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(value: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            let mut at = 0;
            prop_assert_eq!(varint(&out, &mut at), Ok(value));
            prop_assert_eq!(at, out.len());
        }

        #[test]
        fn every_codec_gives_back_what_it_took(plain in prop::collection::vec(any::<u8>(), 0..5000)) {
            for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                let packed = compress(codec, &plain).unwrap();
                prop_assert_eq!(&decompress(codec, &packed.into()).unwrap()[..], &plain[..]);
            }
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for item in walk(&bytes, 0, 0) { let _ = item; }
            for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
                let _ = decompress(codec, &bytes.clone().into());
            }
        }
    }

    #[test]
    fn rebased_records_keep_everything_but_their_deltas() {
        let mut plain = Vec::new();
        encode(&mut plain, 5, 0, None, Some(b"v"), &[("h", None), ("h", Some(b"x"))]);
        encode(&mut plain, -2, 1, Some(b""), None, &[]);
        let mut moved = Vec::new();
        assert_eq!(rebase(&mut moved, &plain, (100, 1000), None, (40, 900)).unwrap(), 2);
        let before: Vec<_> = walk(&plain, 100, 1000).map(Result::unwrap).collect();
        let after: Vec<_> = walk(&moved, 40, 900).map(Result::unwrap).collect();
        assert_eq!(before, after);
        assert_eq!(after[0].timestamp, 1005);
        assert_eq!((after[1].key, after[1].value), (Some(&b""[..]), None));
        let mut stamped = Vec::new();
        rebase(&mut stamped, &plain, (100, 1000), Some(7_000), (100, 7_000)).unwrap();
        assert!(walk(&stamped, 100, 7_000).all(|record| record.unwrap().timestamp == 7_000));
    }
}
