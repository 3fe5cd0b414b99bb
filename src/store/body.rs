//! An object's content on its way to a store.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// An object's content: parts that are sent one after another and never joined, with the SHA-256 of the whole.
///
/// Cloning is cheap, so that an attempt can be repeated.
#[derive(Clone)]
pub struct Body {
    parts: Arc<[Bytes]>,
    len_bytes: u64,
    sha256: [u8; 32],
}

impl Body {
    /// Takes the parts with the digest that the caller has computed while filling them.
    ///
    /// A wrong digest is refused by S3 (the content differs from its checksum); a directory does not look.
    pub fn new(parts: Vec<Bytes>, sha256: [u8; 32]) -> Self {
        let parts: Arc<[Bytes]> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        let len_bytes = parts.iter().map(|p| p.len() as u64).sum();
        Self { parts, len_bytes, sha256 }
    }

    /// Takes one small piece and computes its digest, for manifests, plans and the like.
    pub fn hashed(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let sha256 = Sha256::digest(&content).into();
        Self::new(vec![content], sha256)
    }

    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// SHA-256 of the whole content.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The same bytes in pieces of `piece_bytes` (the last one shorter), each a list of slices that share memory with this body.
    pub fn pieces(&self, piece_bytes: u64) -> Vec<Vec<Bytes>> {
        let mut pieces = Vec::new();
        let (mut piece, mut room) = (Vec::new(), piece_bytes);
        for part in self.parts.iter() {
            let mut rest = part.clone();
            while !rest.is_empty() {
                let head = rest.split_to((rest.len() as u64).min(room) as usize);
                room -= head.len() as u64;
                piece.push(head);
                if room == 0 {
                    pieces.push(std::mem::take(&mut piece));
                    room = piece_bytes;
                }
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("parts", &self.parts.len()).field("len_bytes", &self.len_bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_in_order_and_share_its_memory() {
        let whole = Bytes::from((0u8..=250).collect::<Vec<_>>());
        let parts = vec![whole.slice(..7), Bytes::new(), whole.slice(7..100), whole.slice(100..)];
        let body = Body::new(parts, [0; 32]);
        assert_eq!((body.len_bytes(), body.parts().len()), (251, 3));
        for piece_bytes in [1, 10, 50, 251, 1000] {
            let pieces = body.pieces(piece_bytes);
            let joined: Vec<u8> = pieces.iter().flatten().flat_map(|b| b.to_vec()).collect();
            assert_eq!(joined, whole);
            let lens: Vec<u64> = pieces.iter().map(|p| p.iter().map(|b| b.len() as u64).sum()).collect();
            assert!(lens[..lens.len() - 1].iter().all(|&l| l == piece_bytes));
            assert!(pieces.iter().flatten().all(|b| whole.as_ptr_range().contains(&b.as_ptr())));
        }
    }
}
