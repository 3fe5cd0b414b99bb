//! An idempotent producer's sequence numbers: they count data records and wrap to 0.

/// The sequence of the next `count` records; `next` moves behind them.
///
/// **Source:** `DefaultRecordBatch.incrementSequence`.
pub(super) fn allot(next: &mut i32, count: i32) -> i32 {
    let sequence = *next;
    *next = match sequence.checked_add(count) {
        Some(next) => next,
        None => count - (i32::MAX - sequence) - 1,
    };
    sequence
}

#[cfg(test)]
mod tests {
    #[test]
    fn behind_the_largest_comes_zero() {
        let mut next = i32::MAX - 2;
        assert_eq!(super::allot(&mut next, 2), i32::MAX - 2);
        assert_eq!(super::allot(&mut next, 3), i32::MAX);
        assert_eq!(next, 2, "the largest, 0 and 1 are taken");
    }
}
