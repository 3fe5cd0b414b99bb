//! What looks at a log showed of its offsets, and what that says of the whole log.

use crate::domain::limits::SAMPLE_OFFSETS_MIN;
use std::ops::{AddAssign, Range};

/// What the offsets of a stretch are taken by, where not by records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Control records, which are the markers of transactions.
    pub markers: u64,
    /// Offsets without a record.
    pub holes: u64,
    /// Uninterrupted runs of records that begin behind such an offset.
    pub runs: u64,
}

/// A stretch of offsets that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub range: Range<i64>,
    pub counts: Counts,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.markers = self.markers.saturating_add(other.markers);
        self.holes = self.holes.saturating_add(other.holes);
        self.runs = self.runs.saturating_add(other.runs);
    }
}

impl Counts {
    /// As many of each as belong to `offsets`, where these were counted over `of`, rounded up.
    fn scaled(self, offsets: u64, of: u64) -> Self {
        let scaled = |n: u64| match of {
            0 => 0,
            of => u64::try_from((u128::from(n) * u128::from(offsets)).div_ceil(u128::from(of))).unwrap_or(u64::MAX),
        };
        Self { markers: scaled(self.markers), holes: scaled(self.holes), runs: scaled(self.runs) }
    }
}

impl Sample {
    /// Offsets in the stretch.
    pub fn offsets(&self) -> u64 {
        length(&self.range)
    }

    /// Whether nothing lies in it: such a stretch is known from its ends, however long it is.
    pub fn is_hole(&self) -> bool {
        self.counts.holes > 0 && self.counts.holes == self.offsets()
    }
}

fn length(range: &Range<i64>) -> u64 {
    range.end.saturating_sub(range.start).max(0).unsigned_abs()
}

/// The counts over all samples that hold records, and their offsets. The last record is a marker wherever transactions are used, and says nothing of the
/// log before it.
pub(super) fn pooled<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> (Counts, u64) {
    let mut pooled = (Counts::default(), 0u64);
    for sample in samples.into_iter().filter(|s| !s.is_hole() && s.counts.markers < s.offsets()) {
        pooled.0 += sample.counts;
        pooled.1 = pooled.1.saturating_add(sample.offsets());
    }
    pooled
}

/// What the whole log holds. What was looked at counts as it is; an offset that was not is like those of the nearest sample. `samples` are in the
/// order of their offsets and do not overlap. Without any, `others` speak: counts and the offsets that they are of.
pub(super) fn whole(samples: &[Sample], log: Range<i64>, others: (Counts, u64)) -> Counts {
    let own = pooled(samples);
    let beside = |sample: &Sample, offsets: u64| match sample.is_hole() || sample.offsets() >= SAMPLE_OFFSETS_MIN {
        true => sample.counts.scaled(offsets, sample.offsets()),
        false => own.0.scaled(offsets, own.1),
    };
    if samples.is_empty() {
        return others.0.scaled(length(&log), others.1);
    }
    let mut total = Counts::default();
    let (mut next_offset, mut before) = (log.start, None);
    for sample in samples {
        let unseen = length(&(next_offset..sample.range.start.min(log.end)));
        let nearer_before = before.map_or(0, |_| unseen / 2);
        total += before.map_or(Counts::default(), |before| beside(before, nearer_before));
        total += beside(sample, unseen - nearer_before);
        // A batch may begin before the log's start, and records are added while we look.
        let within = sample.range.start.max(log.start)..sample.range.end.min(log.end);
        total += sample.counts.scaled(length(&within), sample.offsets());
        next_offset = next_offset.max(sample.range.end);
        before = Some(sample);
    }
    total += before.map_or(Counts::default(), |before| beside(before, length(&(next_offset..log.end))));
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(range: Range<i64>, markers: u64, holes: u64, runs: u64) -> Sample {
        Sample { range, counts: Counts { markers, holes, runs } }
    }

    fn of(samples: &[Sample], log: Range<i64>) -> (u64, u64, u64) {
        let counts = whole(samples, log, (Counts::default(), 0));
        (counts.markers, counts.holes, counts.runs)
    }

    #[test]
    fn what_was_seen_counts_as_it_is_and_the_rest_is_like_the_nearest_sample() {
        assert_eq!(of(&[sample(0..100, 3, 40, 7)], 0..100), (3, 40, 7), "all of it was seen");
        assert_eq!(of(&[sample(0..100, 3, 40, 7)], 0..1_000), (30, 400, 70));
        // The cleaned half and the dense half speak for themselves: 450 offsets are nearer to either.
        assert_eq!(of(&[sample(0..100, 0, 80, 10), sample(1_000..1_100, 0, 0, 0)], 0..2_000), (0, 80 + 360, 10 + 45));
        assert_eq!(of(&[sample(500..600, 0, 50, 5)], 0..1_000), (0, 500, 50), "before the first sample, too");
    }

    #[test]
    fn a_hole_that_is_known_from_its_ends_is_not_extrapolated() {
        let billion = 1_000_000_000;
        let hole = sample(0..billion, 0, billion as u64, 1);
        assert_eq!(of(&[hole.clone(), sample(billion..billion + 100, 0, 0, 0)], 0..billion + 100_000), (0, billion as u64, 1));
        assert_eq!(of(&[hole.clone(), sample(billion..billion + 100, 0, 10, 2)], 0..billion + 1_000), (0, billion as u64 + 100, 1 + 20));
        // One whose beginning was not seen may reach half-way to the sample before it.
        assert_eq!(of(&[sample(0..100, 0, 0, 0), sample(500..900, 0, 400, 1), sample(900..1_000, 0, 0, 0)], 0..1_000), (0, 600, 2));
        assert_eq!(pooled(&[hole, sample(0..10, 1, 2, 3)]), (Counts { markers: 1, holes: 2, runs: 3 }, 10));
    }

    #[test]
    fn a_marker_by_itself_says_nothing_of_its_neighbours() {
        assert_eq!(of(&[sample(0..1_000, 10, 0, 0), sample(9_999..10_000, 1, 0, 0)], 0..10_000).0, 10 + 45 + 45 + 1);
        assert_eq!(of(&[sample(9_999..10_000, 1, 0, 0)], 0..10_000).0, 1);
    }

    #[test]
    fn estimates_round_up_and_stay_within_the_log() {
        assert_eq!(of(&[sample(0..20, 1, 0, 0)], 0..30).0, 2);
        assert_eq!(of(&[sample(-10..30, 0, 40, 1)], 0..10), (0, 10, 1));
        assert_eq!(of(&[sample(0..20, 0, 20, 0)], 0..i64::MAX).1, i64::MAX as u64);
        let others = (Counts { markers: 1, holes: 2, runs: 1 }, 10);
        assert_eq!(whole(&[], 5..105, others), Counts { markers: 10, holes: 20, runs: 10 });
        assert_eq!(whole(&[], 5..5, others), Counts::default());
    }
}
