//! Offsets of the two logs, which meet only in the offset map.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! offset {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

offset!(SourceOffset, "An offset in the source's log.");
offset!(TargetOffset, "An offset in the target's log.");

/// One run of records that keep their distance: `source_base + i` is `target_base + i` for `i` in `0..count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub source_base: SourceOffset,
    pub target_base: TargetOffset,
    pub count: i64,
}

/// Translates one partition's offsets by runs. Identity is one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetMap {
    /// Ascending in both offsets and without overlap.
    runs: Vec<Run>,
}

impl OffsetMap {
    /// The map of a copy that keeps offsets, over the source's `log_start..log_end`.
    pub fn identity(log_start: SourceOffset, log_end: SourceOffset) -> Self {
        Self {
            runs: vec![Run {
                source_base: log_start,
                target_base: TargetOffset(log_start.0),
                count: (log_end.0 - log_start.0).max(0),
            }],
        }
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Translates a committed offset, that is the offset of the next record to read.
    ///
    /// A commit in a hole goes to the next surviving record, one at the end to the end. What lies before the first run
    /// or beyond the last keeps its distance to it, so that `auto.offset.reset` acts on the target as on the source.
    pub fn translate(&self, committed: SourceOffset) -> TargetOffset {
        let Some(first) = self.runs.first() else { return TargetOffset(committed.0) };
        if committed < first.source_base {
            return TargetOffset(first.target_base.0 - (first.source_base.0 - committed.0));
        }
        let index = self.runs.partition_point(|r| r.source_base <= committed) - 1;
        let run = self.runs[index];
        let distance = committed.0 - run.source_base.0;
        match self.runs.get(index + 1) {
            Some(next) if distance >= run.count => next.target_base,
            _ => TargetOffset(run.target_base.0 + distance),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identity_keeps_every_offset_also_outside_the_log() {
        let map = OffsetMap::identity(SourceOffset(100), SourceOffset(200));
        for offset in [0, 99, 100, 150, 200, 250] {
            assert_eq!(map.translate(SourceOffset(offset)), TargetOffset(offset));
        }
    }

    proptest! {
        #[test]
        fn translation_is_monotone(gaps in prop::collection::vec((0i64..50, 1i64..50, 0i64..50), 1..20), a in 0i64..2000, b in 0i64..2000) {
            let (mut source, mut target, mut runs) = (0, 0, Vec::new());
            for (source_gap, count, target_gap) in gaps {
                source += source_gap;
                target += target_gap.min(source_gap);
                runs.push(Run { source_base: SourceOffset(source), target_base: TargetOffset(target), count });
                source += count;
                target += count;
            }
            let map = OffsetMap { runs };
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(map.translate(SourceOffset(low)) <= map.translate(SourceOffset(high)));
        }
    }
}
