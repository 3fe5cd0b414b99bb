//! The one byte budget over all stages of the copy.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that fetched batches hold in memory, from before the fetch until the last stage lets go of them.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Reserves bytes; None where they would exceed the budget.
    pub fn try_reserve(&self, bytes: usize) -> Option<Hold> {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        let hold = Hold { used: self.used.clone(), bytes };
        // One reservation is always let through, so that a budget smaller than a batch does not stop the copy.
        (used == 0 || used + bytes <= self.bytes_max).then_some(hold)
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// A reservation, given back when dropped.
#[derive(Debug)]
pub struct Hold {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Hold {
    /// Takes bytes besides, also beyond the budget: a batch may be larger than what was asked for.
    pub fn beside(&self, bytes: usize) -> Hold {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Hold { used: self.used.clone(), bytes }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Held {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ties bytes to a reservation, which is given back when the last slice of them is dropped.
pub fn held(bytes: Bytes, hold: Hold) -> Bytes {
    Bytes::from_owner(Held { bytes, _hold: hold })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_slice_gives_the_reservation_back() {
        let budget = Budget::new(100);
        let reserved = budget.try_reserve(80).unwrap();
        assert!(budget.try_reserve(30).is_none());
        let slice = held(Bytes::from(vec![0; 60]), reserved.beside(60)).slice(10..20);
        drop(reserved);
        assert!(budget.try_reserve(50).is_none());
        drop(slice);
        assert!(budget.try_reserve(100).is_some());
    }
}
