//! Compares what was fetched from the source with what was read again from the target, batch by batch.

use super::leaf_row::LeafRow;
use super::partition_copy::Stop;
use super::pieces::{Piece, pieces};
use crate::domain::batch::{Batch, canonical_leaf, control_leaf, records_leaf, records_leaf_from};
use crate::domain::digest::Digest;
use crate::domain::record::RecordError;
use crate::domain::segment::{Leaf, LeafKind};
use crate::error::Code;
use crate::evidence::merkle::Frontier;
use crate::machine::fact::CopyCounts;
use std::collections::{BTreeMap, VecDeque};

/// What the target has to return next.
pub(super) enum Expected {
    /// One append of this take, and whether its records are of aborted transactions.
    Leaf { leaf: Leaf, aborted: bool, source: SourceCounts },
    /// A source batch whose append an earlier take has made; how it was merged then is seen on the target.
    CaughtUp(Batch, Share),
    /// Offsets that have no record on the source, and got control records in this take.
    Hole { next_offset: i64 },
    /// Offsets that have no record on the source, where an earlier take may still have seen some.
    CaughtUpHole { next_offset: i64 },
    /// Offsets without records below the source's log start.
    Gap { next_offset: i64 },
}

/// What of a source batch one part of it counts for: the batch counts once, with its first part.
#[derive(Clone, Copy)]
pub(super) enum Share {
    Whole,
    First { bytes: u64, holes: bool, append_time: bool },
    Rest,
}

impl Share {
    pub fn first_of(batch: &Batch) -> Self {
        Share::First { bytes: batch.bytes().len() as u64, holes: batch.has_holes(), append_time: batch.append_time().is_some() }
    }

    /// The share of the next part; one that lies below the log's start is never compared, and counts for nothing.
    pub fn taken_by(&mut self, part: &Batch, log_start: i64) -> Self {
        if part.next_offset() <= log_start { Share::Rest } else { std::mem::replace(self, Share::Rest) }
    }
}

/// What of the source one append holds.
pub(super) struct SourceCounts {
    records: u64,
    bytes: u64,
    batches: u64,
    append_time_batches: u64,
    aborted_records: u64,
    split_batches: u64,
    oversized_batches: u64,
}

impl SourceCounts {
    pub fn of(batches: &[Batch], records: u64) -> Self {
        Self::of_parts(batches.iter().map(|batch| (batch, Share::Whole)), records)
    }

    /// What parts of batches hold, as a rule whole ones.
    pub fn of_parts<'a>(parts: impl Iterator<Item = (&'a Batch, Share)>, records: u64) -> Self {
        let mut counts = Self { records, bytes: 0, batches: 0, append_time_batches: 0, aborted_records: 0, split_batches: 0, oversized_batches: 0 };
        for (batch, share) in parts {
            let first = match share {
                Share::Whole => Share::first_of(batch),
                Share::First { .. } | Share::Rest => share,
            };
            if let Share::First { bytes, holes, append_time } = first {
                counts.bytes += bytes;
                counts.batches += 1;
                counts.append_time_batches += u64::from(append_time);
                let in_parts = !matches!(share, Share::Whole);
                counts.split_batches += u64::from(in_parts && holes);
                counts.oversized_batches += u64::from(in_parts && !holes);
            }
            if batch.aborted {
                counts.aborted_records = records;
            }
        }
        counts
    }

    /// Counts them as one batch of the target that was found equal.
    fn add_to(&self, counts: &mut CopyCounts, is_control: bool) {
        counts.records += self.records;
        counts.bytes += self.bytes;
        counts.source_batches += self.batches;
        counts.target_batches += 1;
        counts.append_time_batches += self.append_time_batches;
        counts.aborted_records += self.aborted_records;
        counts.split_batches += self.split_batches;
        counts.oversized_batches += self.oversized_batches;
        counts.merged_batches += if self.batches > 1 { self.batches } else { 0 };
        counts.control_records += u64::from(is_control);
    }
}

impl Expected {
    fn next_offset(&self) -> i64 {
        match self {
            Expected::Leaf { leaf, .. } => leaf.next_offset,
            Expected::CaughtUp(batch, _) => batch.next_offset(),
            Expected::Gap { next_offset } | Expected::Hole { next_offset } | Expected::CaughtUpHole { next_offset } => *next_offset,
        }
    }
}

pub(super) struct Proof {
    pub source_tree: Frontier,
    pub target_tree: Frontier,
    /// The trees' leaves that are not in the store yet.
    pub leaves: LeafRow,
    /// Everything below was compared, or lies below the log start.
    pub verified_offset: i64,
    /// Records below it were on the source only as the front of a batch that retention had cut.
    log_start: i64,
    expected: VecDeque<Expected>,
}

impl Proof {
    pub fn new(verified_offset: i64, log_start: i64, source_tree: Frontier, target_tree: Frontier) -> Self {
        let leaves = LeafRow::behind(source_tree.len());
        Self { source_tree, target_tree, leaves, verified_offset, log_start, expected: VecDeque::new() }
    }

    pub fn expect(&mut self, expected: Expected, counts: &mut CopyCounts) {
        self.expected.push_back(expected);
        self.settle_gaps(counts);
    }

    pub fn pending(&self) -> usize {
        self.expected.len()
    }

    fn settle_gaps(&mut self, counts: &mut CopyCounts) {
        while let Some(Expected::Gap { next_offset }) = self.expected.front() {
            let next_offset = *next_offset;
            self.expected.pop_front();
            self.pass_over(next_offset, counts);
        }
    }

    /// Nothing can be compared up to there: it expired. Counted as it is passed, so that no checkpoint counts it twice.
    fn pass_over(&mut self, next_offset: i64, counts: &mut CopyCounts) {
        counts.expired_offsets += (next_offset - self.verified_offset.max(self.log_start)).max(0) as u64;
        self.verified_offset = self.verified_offset.max(next_offset);
    }

    /// What expired on both sides before it could be compared is no difference.
    pub fn let_go(&mut self, log_start: i64, counts: &mut CopyCounts) {
        while let Some(next_offset) = self.expected.front().map(Expected::next_offset).filter(|next_offset| *next_offset <= log_start) {
            self.expected.pop_front();
            self.pass_over(next_offset, counts);
        }
    }

    /// Where compaction is at work, a difference from what an earlier take has appended need not be damage: it may have read another replica of the
    /// source, which was cleaned further than this one. Either way the partition is to be filled again.
    fn apart(&self, stop: Stop, counts: &CopyCounts) -> Stop {
        let compacted = counts.hole_offsets > 0 || self.expected.iter().any(|e| matches!(e, Expected::Hole { .. } | Expected::CaughtUpHole { .. }));
        match compacted && stop.code == Code::DigestMismatch {
            true => Stop { code: Code::CopyQuarantined, seen: format!("{}; replicas of the source may be compacted differently", stop.seen) },
            false => stop,
        }
    }

    fn advance(&mut self, source: Leaf, target: Digest) {
        self.source_tree.push(*source.digest.bytes());
        self.target_tree.push(*target.bytes());
        self.verified_offset = source.next_offset;
        self.leaves.push(source);
    }

    /// Takes batches as the target returned them, in order.
    ///
    /// Stops quietly where the source's side is not known yet; the rest is read once more then.
    /// **Errors:** the first difference.
    pub fn compare(&mut self, returned: &[Batch], counts: &mut CopyCounts) -> Result<(), Stop> {
        for batch in returned {
            // A batch whose middle expired takes several rounds.
            while batch.next_offset() > self.verified_offset {
                self.settle_gaps(counts);
                self.let_go(batch.base_offset, counts);
                let goes_on = match self.expected.front() {
                    None | Some(Expected::Gap { .. }) => false,
                    Some(Expected::Leaf { .. }) => self.compare_leaf(batch, counts)?,
                    Some(Expected::Hole { .. }) => self.compare_hole(batch, counts)?,
                    Some(Expected::CaughtUp(..) | Expected::CaughtUpHole { .. }) => self.compare_caught_up(batch, counts).map_err(|stop| self.apart(stop, counts))?,
                };
                if !goes_on {
                    return Ok(());
                }
                self.settle_gaps(counts);
            }
        }
        Ok(())
    }

    fn compare_leaf(&mut self, batch: &Batch, counts: &mut CopyCounts) -> Result<bool, Stop> {
        let Some(Expected::Leaf { leaf, aborted, source }) = self.expected.pop_front() else { return Ok(false) };
        check_view(batch, leaf.kind == LeafKind::Control, aborted)?;
        if (batch.base_offset, batch.next_offset()) != (leaf.base_offset, leaf.next_offset) {
            return Err(mismatch(batch, format!("one append of {}..{} was made", leaf.base_offset, leaf.next_offset)));
        }
        let seen = match leaf.kind {
            LeafKind::Batch | LeafKind::Control => batch.leaf(),
            LeafKind::Records => records_leaf(std::slice::from_ref(batch)).map_err(|e| mismatch(batch, format!("its records cannot be read: {e:?}")))?,
        };
        if seen != leaf.digest {
            return Err(mismatch(batch, "its digest differs".to_owned()));
        }
        source.add_to(counts, leaf.kind == LeafKind::Control);
        self.advance(leaf, seen);
        Ok(true)
    }

    /// A hole of the source is taken by control records, one by one.
    fn compare_hole(&mut self, batch: &Batch, counts: &mut CopyCounts) -> Result<bool, Stop> {
        if !batch.is_control() {
            return Err(mismatch(batch, "the source has no records there".to_owned()));
        }
        check_view(batch, true, false)?;
        self.pass_hole(batch, counts);
        Ok(true)
    }

    fn pass_hole(&mut self, batch: &Batch, counts: &mut CopyCounts) {
        // Its first offsets may have expired.
        self.pass_over(batch.base_offset, counts);
        counts.hole_offsets += 1;
        let (base_offset, next_offset) = (batch.base_offset, batch.next_offset());
        self.advance(Leaf { base_offset, next_offset, kind: LeafKind::Control, digest: control_leaf(base_offset) }, batch.leaf());
        self.drop_passed();
    }

    /// What an earlier take has appended, where the source has holes now. It may have had records there then: what compaction has removed since is no
    /// difference, and is counted; whatever the source still has must be there and equal.
    fn compare_around_holes(&mut self, batch: &Batch, source: &[Batch], shares: &[Share], end: i64, counts: &mut CopyCounts) -> Result<bool, Stop> {
        if end < batch.next_offset() {
            let passed = self.expected.iter().take_while(|e| e.next_offset() <= end && !matches!(e, Expected::Gap { .. })).count();
            // The source has let go of the rest, so of what lies before it too, and the target will.
            if let Some(Expected::Gap { next_offset }) = self.expected.get(passed) {
                let next_offset = *next_offset;
                self.expected.drain(..=passed);
                self.pass_over(next_offset, counts);
                return Ok(true);
            }
            // More of the source has to be fetched first, unless what follows is known and does not fit.
            return match self.expected.len() > passed {
                true => Err(mismatch(batch, format!("the source's batches end at {end}"))),
                false => Ok(false),
            };
        }
        if batch.is_control() {
            check_view(batch, true, false)?;
            self.pass_hole(batch, counts);
            return Ok(true);
        }
        self.pass_over(batch.base_offset, counts);
        let from = batch.base_offset.max(self.verified_offset);
        let unreadable = |e| mismatch(batch, format!("records cannot be read: {e:?}"));
        let mut of_target = canonical(std::slice::from_ref(batch), from).map_err(unreadable)?;
        let of_source = canonical(source, from).map_err(unreadable)?;
        let before = of_target.len();
        of_target.retain(|offset, _| of_source.contains_key(offset));
        let drifted = (before - of_target.len()) as u64;
        if let Some(offset) = of_source.keys().find(|offset| !of_target.contains_key(offset)) {
            return Err(mismatch(batch, format!("the source's record at {offset} is missing")));
        }
        // Of what the target alone has, the digests say nothing: it was not compared.
        let leaf = |records: &BTreeMap<i64, Vec<u8>>| canonical_leaf(from, batch.next_offset(), records.values().map(Vec::as_slice));
        let (expected, seen) = (leaf(&of_source), leaf(&of_target));
        if expected != seen {
            return Err(mismatch(batch, "its records differ".to_owned()));
        }
        counts.drifted_records += drifted;
        let records = (batch.next_offset() - from.max(self.log_start)).max(0) as u64;
        SourceCounts::of_parts(source.iter().zip(shares.iter().copied()), records).add_to(counts, false);
        self.advance(Leaf { base_offset: from, next_offset: batch.next_offset(), kind: LeafKind::Records, digest: expected }, seen);
        self.drop_passed();
        Ok(true)
    }

    /// Lets go of what lies behind; a hole may reach further than what was compared.
    fn drop_passed(&mut self) {
        while self.expected.front().is_some_and(|expected| expected.next_offset() <= self.verified_offset) {
            self.expected.pop_front();
        }
    }

    /// An earlier take may have appended a batch of the source in several parts, by another limit than today's: it is cut where the target's batch ends.
    fn cut_at(&mut self, offset: i64) -> Result<(), RecordError> {
        let within = |e: &Expected| matches!(e, Expected::CaughtUp(one, _) if one.base_offset < offset && offset < one.next_offset() && !one.is_control());
        let Some(place) = self.expected.iter().take_while(|e| !matches!(e, Expected::Leaf { .. })).position(within) else { return Ok(()) };
        let Some(Expected::CaughtUp(one, share)) = self.expected.remove(place) else { return Ok(()) };
        let mut share = if matches!(share, Share::Whole) { Share::first_of(&one) } else { share };
        for (number, piece) in pieces(&one, usize::MAX, Some(offset))?.into_iter().enumerate() {
            self.expected.insert(place + number, match piece {
                Piece::Data(data) => {
                    let share = share.taken_by(&data, self.log_start);
                    Expected::CaughtUp(data, share)
                }
                Piece::Hole { next_offset } => Expected::CaughtUpHole { next_offset },
            });
        }
        Ok(())
    }

    fn compare_caught_up(&mut self, batch: &Batch, counts: &mut CopyCounts) -> Result<bool, Stop> {
        for offset in [batch.base_offset, batch.next_offset()] {
            self.cut_at(offset).map_err(|e| mismatch(batch, format!("the source's batch there cannot be taken apart: {e:?}")))?;
        }
        self.drop_passed();
        let (mut source, mut shares, mut end, mut holes) = (Vec::new(), Vec::new(), None, false);
        for expected in &self.expected {
            if end.is_some_and(|end| end >= batch.next_offset()) {
                break;
            }
            match expected {
                Expected::CaughtUp(candidate, share) if candidate.base_offset < batch.next_offset() => {
                    source.push(candidate.clone());
                    shares.push(*share);
                }
                Expected::CaughtUpHole { .. } => holes = true,
                _ => break,
            }
            end = Some(expected.next_offset());
        }
        let Some(end) = end else { return Ok(false) };
        for one in &source {
            check_view(batch, one.is_control(), one.aborted)?;
        }
        if holes {
            return self.compare_around_holes(batch, &source, &shares, end, counts);
        }
        if end < batch.next_offset() {
            // The source has let go of the middle of merged batches, so of what lies before it too, and the target will.
            if let Some(Expected::Gap { next_offset }) = self.expected.get(source.len()) {
                let next_offset = *next_offset;
                self.expected.drain(..=source.len());
                self.pass_over(next_offset, counts);
                return Ok(true);
            }
            // More of the source has to be fetched first, unless what follows is known and does not fit.
            if self.expected.len() > source.len() {
                return Err(mismatch(batch, format!("the source's batches end at {end}")));
            }
            return Ok(false);
        }
        // Where batches were merged and the source has let go of the first of them since, what is left is compared.
        let from = source[0].base_offset;
        let is_cut = batch.base_offset < from && from <= self.verified_offset;
        if end != batch.next_offset() || (from != batch.base_offset && !is_cut) {
            return Err(mismatch(batch, format!("the source's batches cover {from}..{end}")));
        }
        let as_is = if batch.is_control() { LeafKind::Control } else { LeafKind::Batch };
        let (kind, expected, seen) = match &source[..] {
            [one] if one.leaf() == batch.leaf() => (as_is, one.leaf(), batch.leaf()),
            [one] if one.is_control() || batch.is_control() => (as_is, one.leaf(), batch.leaf()),
            several => {
                let read = |batches: &[Batch]| records_leaf_from(batches, from).map_err(|e| mismatch(batch, format!("records cannot be read: {e:?}")));
                (LeafKind::Records, read(several)?, read(std::slice::from_ref(batch))?)
            }
        };
        if expected != seen {
            return Err(mismatch(batch, "its digest differs".to_owned()));
        }
        let records_from = batch.base_offset.max(self.log_start).max(self.verified_offset);
        let records = if batch.is_control() { 0 } else { (batch.next_offset() - records_from).max(0) as u64 };
        SourceCounts::of_parts(source.iter().zip(shares), records).add_to(counts, batch.is_control());
        self.expected.drain(..source.len());
        self.advance(Leaf { base_offset: from, next_offset: batch.next_offset(), kind, digest: expected }, seen);
        Ok(true)
    }
}

/// The records from an offset on in canonical form, by offset.
fn canonical(batches: &[Batch], from: i64) -> Result<BTreeMap<i64, Vec<u8>>, RecordError> {
    let mut records = BTreeMap::new();
    for batch in batches {
        batch.each_record(|record| {
            if record.offset >= from {
                let mut bytes = Vec::new();
                record.canonical(|part| bytes.extend_from_slice(part));
                records.insert(record.offset, bytes);
            }
        })?;
    }
    Ok(records)
}

/// Whether consumers of either isolation level will see of the target's batch what they see on the source.
///
/// Every control record that we write is an abort marker. So it is enough that just what was aborted is transactional: nothing of that is ever committed.
fn check_view(batch: &Batch, control: bool, aborted: bool) -> Result<(), Stop> {
    match (batch.is_control(), control) {
        (true, false) => {
            let seen = format!("the target has a control record at {}, where the source has data: a transaction of ours was aborted before its place, or another replica of the source has a record there", batch.base_offset);
            Err(Stop { code: Code::CopyQuarantined, seen })
        }
        (false, true) => Err(mismatch(batch, "the source has a control record there".to_owned())),
        (true, true) if batch.is_commit_marker() => Err(mismatch(batch, "no transaction on the target is ours to be committed".to_owned())),
        (false, false) if batch.is_transactional() != aborted => {
            Err(mismatch(batch, format!("it is {}part of an aborted transaction on the source", if aborted { "" } else { "not " })))
        }
        (true, true) | (false, false) => Ok(()),
    }
}

fn mismatch(batch: &Batch, what: String) -> Stop {
    Stop { code: Code::DigestMismatch, seen: format!("the target returned a batch of {}..{}, but {what}", batch.base_offset, batch.next_offset()) }
}
