//! Maps a source's log onto a dense one: committed records alone, in order, each at the next offset of the target.
//!
//! The rest of the copy works on what comes out of here as if it were the source. Records that were mapped before keep their places, whatever
//! the source has lost since; new ones go to the target's end.

use super::pieces::{Piece, part, pieces};
use crate::domain::batch::Batch;
use crate::domain::digest::Digest;
use crate::domain::offset::{MapError, Mark, OffsetMap, Run, SourceOffset, TargetOffset};
use crate::domain::record::RecordError;
use std::collections::VecDeque;

/// One partition's map, and how far the source has been read through it.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Also what the journal does not know yet.
    map: OffsetMap,
    /// What to fetch next.
    pub next_source: i64,
    /// The first source offset that was never mapped, and the place of the next record on the target.
    pub frontier: Frontier,
    pub log_start: i64,
    pub last_stable: Option<i64>,
    /// Marks that the journal does not know, oldest first, and how many of them it was handed.
    unjournaled: VecDeque<Mark>,
    handed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frontier {
    pub source: i64,
    pub target: i64,
}

/// Maps one answer's batches, apart from the copy that they belong to; [`Mapping::take`] takes the outcome.
#[derive(Clone, Debug)]
pub struct Projector {
    next_source: i64,
    frontier: Frontier,
    /// The runs from the one on that `next_source` lies in.
    runs: Vec<Run>,
}

/// What became of one answer's batches.
#[derive(Debug)]
pub struct Projected {
    /// At the target's offsets, with their digests.
    pub batches: Vec<(Batch, Digest)>,
    marks: Vec<Mark>,
    next_source: i64,
    frontier: Frontier,
}

impl Mapping {
    /// Goes on with the journaled map, cut off at the target's log end.
    pub fn resume(map: OffsetMap, log_start: i64, target_end: i64) -> Self {
        let source = map.invert(TargetOffset(target_end)).0.max(log_start);
        Self {
            map,
            next_source: source,
            frontier: Frontier { source, target: target_end },
            log_start,
            last_stable: None,
            unjournaled: VecDeque::new(),
            handed: 0,
        }
    }

    /// Offsets that expired on the source between the last one that was mapped and the log start.
    pub fn expired_before(&self) -> u64 {
        let mapped_to = self.map.invert(TargetOffset(self.frontier.target)).0;
        (self.log_start - mapped_to).max(0).unsigned_abs()
    }

    /// Goes back to where the target's record at this offset came from, to read it once more.
    pub fn read_again(&mut self, target: i64) {
        self.next_source = self.source_of(target).max(self.log_start).min(self.frontier.source);
    }

    /// The source's offset up to which everything is on the target when the target's log ends there.
    pub fn source_of(&self, target: i64) -> i64 {
        match target >= self.frontier.target {
            true => self.frontier.source,
            false => self.map.invert(TargetOffset(target)).0,
        }
    }

    /// Where a source's offset lies on the target, at most at its end.
    pub fn target_of(&self, source: i64) -> i64 {
        match source >= self.frontier.source {
            true => self.frontier.target,
            false => self.map.translate(SourceOffset(source)).0.min(self.frontier.target),
        }
    }

    /// The target's end once everything is copied up to the source's; an estimate from above while something is missing.
    pub fn target_end(&self) -> i64 {
        self.frontier.target + (self.last_stable.unwrap_or(0) - self.frontier.source).max(0)
    }

    pub fn projector(&self) -> Projector {
        let from = self.map.runs().partition_point(|run| run.source_base.0 <= self.next_source).saturating_sub(1);
        Projector { next_source: self.next_source, frontier: self.frontier, runs: self.map.runs()[from..].to_vec() }
    }

    /// Takes over what a projector has made.
    ///
    /// **Errors:** marks that do not follow those before them, which would be a bug.
    pub fn take(&mut self, projected: &Projected) -> Result<(), MapError> {
        for mark in &projected.marks {
            self.map.mark(*mark)?;
            self.unjournaled.push_back(*mark);
        }
        self.next_source = projected.next_source;
        self.frontier = projected.frontier;
        Ok(())
    }

    /// There is nothing up to this offset of the source: it expired, or compaction has left nothing.
    pub fn skip_to(&mut self, source: i64) {
        self.next_source = self.next_source.max(source);
        self.frontier.source = self.frontier.source.max(source);
    }

    /// The target's offset up to which the journal knows where records come from.
    pub fn journaled_to(&self) -> i64 {
        self.unjournaled.front().map_or(i64::MAX, |mark| mark.target.0)
    }

    pub fn awaits_journal(&self) -> bool {
        self.handed < self.unjournaled.len()
    }

    /// Hands out the marks that the journal was not handed yet.
    pub fn next_marks(&mut self) -> Vec<Mark> {
        let marks = self.unjournaled.iter().skip(self.handed).copied().collect();
        self.handed = self.unjournaled.len();
        marks
    }

    /// The journal has what it was handed.
    pub fn journaled(&mut self) {
        self.unjournaled.drain(..std::mem::take(&mut self.handed));
    }
}

impl Projector {
    /// Maps whole batches as they were fetched, in order; `keep` accounts for the bytes of what is made anew.
    ///
    /// **Errors:** the batch whose records cannot be read, when they have to be.
    pub fn project(mut self, fetched: &[Batch], keep: impl Fn(Batch) -> Batch) -> Result<Projected, (Batch, RecordError)> {
        let (mut batches, mut marks) = (Vec::with_capacity(fetched.len()), Vec::new());
        let first = self.next_source;
        for batch in fetched.iter().filter(|batch| batch.next_offset() > first) {
            let from = batch.base_offset.max(self.next_source);
            if !batch.is_control() && !batch.aborted {
                for (source, next_source, target) in self.places(batch, from).map_err(|error| (batch.clone(), error))? {
                    if target == self.frontier.target {
                        self.begin_run_if(source, target, &mut marks);
                        self.frontier.target += next_source - source;
                    }
                    let whole = (source, next_source) == (batch.base_offset, batch.next_offset()) && !batch.has_holes();
                    let moved = match whole {
                        true => batch.moved_to(target),
                        false => part(batch, source..next_source).map_err(|error| (batch.clone(), error))?.moved_to(target),
                    };
                    let moved = keep(moved);
                    let digest = moved.leaf();
                    batches.push((moved, digest));
                }
            }
            self.next_source = batch.next_offset();
            self.frontier.source = self.frontier.source.max(self.next_source);
        }
        Ok(Projected { batches, marks, next_source: self.next_source, frontier: self.frontier })
    }

    /// The batch's records from an offset on, as runs that adjoin on both sides: source's offsets and the first one's place on the target.
    fn places(&self, batch: &Batch, from: i64) -> Result<Vec<(i64, i64, i64)>, RecordError> {
        let mut adjoining = Vec::new();
        match batch.has_holes() {
            false => adjoining.push((batch.base_offset, batch.next_offset())),
            true => {
                for piece in pieces(batch, usize::MAX, None)? {
                    if let Piece::Data(data) = piece {
                        adjoining.push((data.base_offset, data.next_offset()));
                    }
                }
            }
        }
        let (mut places, mut frontier) = (Vec::new(), self.frontier.target);
        for (base, end) in adjoining {
            let mut at = base.max(from);
            while at < end {
                if at >= self.frontier.source {
                    places.push((at, end, frontier));
                    frontier += end - at;
                    break;
                }
                // Mapped before.
                let index = self.runs.partition_point(|run| run.source_base.0 <= at);
                let until = self.runs.get(index).map_or(i64::MAX, |next| next.source_base.0).min(self.frontier.source).min(end);
                let Some(run) = index.checked_sub(1).map(|index| self.runs[index]) else {
                    at = until;
                    continue;
                };
                let target = run.target_base.0 + (at - run.source_base.0);
                let room = self.runs.get(index).map_or(self.frontier.target, |next| next.target_base.0) - target;
                // What lay in a hole then and is here now comes from another replica, and has a later record of its key.
                if room > 0 {
                    places.push((at, until.min(at + room), target));
                }
                at = until;
            }
        }
        Ok(places)
    }

    fn begin_run_if(&mut self, source: i64, target: i64, marks: &mut Vec<Mark>) {
        let goes_on = self.runs.last().is_some_and(|run| source - run.source_base.0 == target - run.target_base.0);
        if !goes_on {
            self.runs.push(Run { source_base: SourceOffset(source), target_base: TargetOffset(target), count: 0 });
            marks.push(Mark { source: SourceOffset(source), target: TargetOffset(target) });
        }
    }
}
