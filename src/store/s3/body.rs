//! Hands a body's parts to the HTTP client as they lie, without joining them.

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Parts shorter than this are gathered: a frame costs more than copying so few bytes.
const GATHER_BELOW_BYTES: usize = 2 << 10;
/// Gathered parts fill a frame of at most this size.
const GATHERED_MAX_BYTES: usize = 64 << 10;

struct Parts {
    parts: Arc<[Bytes]>,
    next: usize,
    remaining_bytes: u64,
}

impl Parts {
    fn next_frame(&mut self) -> Option<Bytes> {
        let first = self.parts.get(self.next)?.clone();
        self.next += 1;
        let small = |next: usize| self.parts.get(next).filter(|p| p.len() < GATHER_BELOW_BYTES);
        let frame = if first.len() >= GATHER_BELOW_BYTES || small(self.next).is_none() {
            first
        } else {
            let mut gathered = BytesMut::with_capacity(GATHERED_MAX_BYTES);
            gathered.extend_from_slice(&first);
            while let Some(part) = small(self.next).filter(|p| gathered.len() + p.len() <= GATHERED_MAX_BYTES) {
                gathered.extend_from_slice(part);
                self.next += 1;
            }
            gathered.freeze()
        };
        self.remaining_bytes -= frame.len() as u64;
        Some(frame)
    }
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_frame().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining_bytes)
    }
}

/// A stream over the parts that knows its length and can be sent again.
pub(super) fn stream(parts: &[Bytes]) -> ByteStream {
    if let [] | [_] = parts {
        return ByteStream::from(parts.first().cloned().unwrap_or_default());
    }
    let parts: Arc<[Bytes]> = parts.into();
    let len_bytes = parts.iter().map(|p| p.len() as u64).sum();
    let open = move || SdkBody::from_body_1_x(Parts { parts: parts.clone(), next: 0, remaining_bytes: len_bytes });
    ByteStream::new(SdkBody::retryable(open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_parts_pass_uncopied_and_small_ones_are_gathered() {
        let large = Bytes::from(vec![7u8; 100 << 10]);
        let mut parts = vec![Bytes::from_static(b"head"), large.clone()];
        parts.extend((0..100).map(|i| Bytes::from(vec![i as u8; 1000])));
        parts.push(large.clone());
        let whole = parts.concat();
        let mut body = Parts { parts: parts.into(), next: 0, remaining_bytes: whole.len() as u64 };
        let mut frames = Vec::new();
        while let Some(frame) = body.next_frame() {
            assert_eq!(HttpBody::size_hint(&body).exact(), Some(whole.len() as u64 - (frames.iter().map(Bytes::len).sum::<usize>() + frame.len()) as u64));
            frames.push(frame);
        }
        assert_eq!(frames.concat(), whole);
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), [4, 100 << 10, 65_000, 35_000, 100 << 10]);
        assert!(frames[1].as_ptr() == large.as_ptr() && frames[4].as_ptr() == large.as_ptr());
    }
}
