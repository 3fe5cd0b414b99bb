//! Frames as they lie on the wire: length, header, body.

use super::connection::CallError;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use std::collections::VecDeque;
use std::io::IoSlice;

/// The client id in every request header; it names kferry in the brokers' request logs and quotas.
const CLIENT_ID: &str = "kferry";

/// Where the correlation id lies in a frame that `begin_frame` began.
const CORRELATION_AT: usize = 8;

/// Starts a frame: room for the length, then the request header with a correlation id of 0.
pub(super) fn begin_frame(api_key: i16, version: i16, body_bytes: usize) -> Result<BytesMut, CallError> {
    let header_version = api(api_key)?.request_header_version(version);
    let mut frame = BytesMut::with_capacity(4 + 10 + CLIENT_ID.len() + 1 + body_bytes);
    frame.put_i32(0);
    frame.put_i16(api_key);
    frame.put_i16(version);
    frame.put_i32(0);
    if header_version >= 1 {
        frame.put_i16(CLIENT_ID.len() as i16);
        frame.put_slice(CLIENT_ID.as_bytes());
    }
    if header_version >= 2 {
        // No tagged fields.
        frame.put_u8(0);
    }
    Ok(frame)
}

/// Fills in the length of a frame of which `frame` is the beginning and `rest_bytes` follow.
pub(super) fn set_length(frame: &mut BytesMut, rest_bytes: usize) -> Result<(), CallError> {
    let length = i32::try_from(frame.len() - 4 + rest_bytes)
        .map_err(|_| CallError::Protocol("the request is larger than a frame can be".into()))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

pub(super) fn set_correlation_id(frame: &mut BytesMut, correlation_id: i32) {
    frame[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&correlation_id.to_be_bytes());
}

/// The version of the header before an answer.
pub(super) fn response_header_version(api_key: i16, version: i16) -> Result<i16, CallError> {
    Ok(api(api_key)?.response_header_version(version))
}

/// Splits an answer into its correlation id and its body, which shares the frame's memory.
pub(super) fn split_response(mut frame: Bytes, header_version: i16) -> Result<Bytes, CallError> {
    ResponseHeader::decode(&mut frame, header_version)
        .map_err(|e| CallError::Protocol(format!("the answer's header cannot be read: {e}").into()))?;
    Ok(frame)
}

fn api(api_key: i16) -> Result<ApiKey, CallError> {
    ApiKey::try_from(api_key).map_err(|()| CallError::Protocol(format!("request {api_key} is not known").into()))
}

/// Parts that are written one after the other without being copied together.
#[derive(Debug, Default)]
pub(super) struct Parts {
    parts: VecDeque<Bytes>,
    remaining: usize,
}

impl Parts {
    pub(super) fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.remaining += part.len();
            self.parts.push_back(part);
        }
    }

    pub(super) fn append(&mut self, mut other: Parts) {
        self.remaining += other.remaining;
        self.parts.append(&mut other.parts);
    }
}

impl Buf for Parts {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "a writer takes no more than there is");
        self.remaining -= count;
        while let Some(front) = self.parts.front_mut() {
            if count < front.len() {
                front.advance(count);
                break;
            }
            count -= front.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_length_header_and_body() {
        // Metadata v12 has request header v2, v4 has v1.
        let mut frame = begin_frame(3, 12, 0).unwrap();
        set_length(&mut frame, 5).unwrap();
        set_correlation_id(&mut frame, 7);
        assert_eq!(&frame[..], b"\0\0\0\x16\0\x03\0\x0c\0\0\0\x07\0\x06kferry\0");
        assert_eq!(begin_frame(3, 4, 0).unwrap().len(), frame.len() - 1);
        assert!(begin_frame(999, 0, 0).is_err());
    }

    #[test]
    fn parts_advance_across_their_borders() {
        let mut parts = Parts::default();
        for part in ["abc", "", "de", "f"] {
            parts.push(Bytes::from_static(part.as_bytes()));
        }
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(parts.chunks_vectored(&mut slices), 3);
        assert_eq!((parts.remaining(), parts.chunk()), (6, &b"abc"[..]));
        parts.advance(4);
        assert_eq!((parts.remaining(), parts.chunk()), (2, &b"e"[..]));
        parts.advance(2);
        assert_eq!((parts.remaining(), parts.chunk()), (0, &b""[..]));
    }
}
