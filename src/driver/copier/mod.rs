//! The copier: drives every partition's copy with I/O. Fetch → segment → store → produce → read again.

mod aborting;
mod appending;
pub mod budget;
mod engine;
mod fetching;
pub mod leaves;
pub mod limits;
pub mod probing;
mod proving;
mod storing;

use crate::config::model::SeedConfig;
use crate::copy::{PartitionCopy, Stop};
use crate::domain::leaf_file::LeafFile;
use crate::domain::offset::Mark;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::kafka::markers::Markers;
use crate::kafka::source::Source;
use crate::kafka::target::Target;
use crate::kafka::transactions::TransactionalProducer;
use crate::machine::fact::PartitionCheckpoint;
use crate::store::ObjectStore;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What the copier works with.
pub struct CopierSetup {
    pub source: Source,
    pub target: Target,
    pub store: Arc<dyn ObjectStore>,
    /// The migration's id, under which its segments lie in the store.
    pub migration_id: String,
    pub seed: SeedConfig,
    /// Writes the target's markers; begun before the log ends were looked at, since what a predecessor left open ends then.
    pub markers: Arc<Markers>,
    /// The transactional producers whose transactions earlier runs have left open.
    pub left_open: BTreeMap<TopicPartition, TransactionalProducer>,
    /// How long a transaction may stay open on the target.
    pub transaction_timeout: Duration,
    /// Bytes of one Produce request beyond which nothing is added to it.
    pub request_batches_bytes: usize,
}

/// How far one partition has come, in the source's offsets.
#[derive(Clone, Debug)]
pub struct PartitionProgress {
    pub partition: TopicPartition,
    /// Acknowledged by the target.
    pub next_offset: i64,
    pub verified_offset: i64,
    pub stored_offset: i64,
    pub source_log_start: i64,
    /// The source's last stable offset as last heard; None before the first fetch.
    pub source_end: Option<i64>,
    /// The target's log end, in its own offsets.
    pub target_end: i64,
    /// Where appends wait for the journal alone: how far they go once it has what it is to know.
    pub awaits_journal_to: Option<i64>,
    /// Whether the target's log start is where it should be.
    pub log_start_settled: bool,
    pub stop: Option<Stop>,
}

impl PartitionProgress {
    /// Records between the source's end and what the target has, or would have if the journal were written now; None before the first fetch.
    pub fn lag(&self) -> Option<i64> {
        self.source_end.map(|end| (end - self.next_offset.max(self.awaits_journal_to.unwrap_or(0))).max(0))
    }
}

/// The copier's progress at one moment.
#[derive(Clone, Debug, Default)]
pub struct CopyStatus {
    pub partitions: Vec<PartitionProgress>,
    pub bytes_fetched: u64,
    pub bytes_produced: u64,
    /// Producer ids that partitions go over to as soon as they are journaled (`Copier::journaled`), since the copier began.
    pub renewed: Vec<(TopicPartition, i64)>,
    /// Why one of the clusters has not let us in for so long that nothing will change by itself.
    pub kept_out: Option<Stop>,
    /// Whether the journal is to be told where runs of records begin ([`Copier::marks`]): their partitions wait for that.
    pub marks_due: bool,
    /// Why nothing moves, if so.
    pub waiting_because: Option<String>,
}

impl CopyStatus {
    /// Whether every partition of `ends`, and no other, lies on the target up to its end and was read again up to there.
    pub fn has_copied(&self, ends: &BTreeMap<TopicPartition, i64>) -> bool {
        self.partitions.len() == ends.len()
            && self.partitions.iter().all(|p| ends.get(&p.partition).is_some_and(|end| p.next_offset == *end && p.verified_offset == *end))
    }
}

/// What is durable at one moment, but for the leaves that the store does not have.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    pub partitions: Vec<PartitionCheckpoint>,
    /// The leaves of these partitions' trees that are not in the store; to be kept elsewhere before the trees are journaled.
    pub pending_leaves: Vec<(TopicPartition, LeafFile)>,
}

pub(super) enum Command {
    Tail,
    SeedEnds(BTreeMap<TopicPartition, i64>),
    FetchNoMore,
    Journaled(usize),
    Marks(oneshot::Sender<Vec<(TopicPartition, Vec<Mark>)>>),
    MarksJournaled,
    RaiseLogStarts(BTreeMap<TopicPartition, i64>),
    Checkpoint(oneshot::Sender<Checkpoint>),
    Stop(Duration, oneshot::Sender<Checkpoint>),
}

/// A running copier.
pub struct Copier {
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<CopyStatus>,
}

impl Copier {
    /// Starts copying the partitions, in SEED's way: nothing is produced before the store has it.
    pub fn start(setup: CopierSetup, partitions: Vec<PartitionCopy>) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let (publish, status) = watch::channel(CopyStatus::default());
        tokio::spawn(engine::Engine::new(setup, partitions, publish).run(received));
        Self { commands, status }
    }

    /// Says where SEED ends: behind it a partition's appends go ahead of their segments, as in TAIL.
    pub fn seed_ends(&self, ends: BTreeMap<TopicPartition, i64>) {
        let _ = self.commands.send(Command::SeedEnds(ends));
    }

    /// Lets appends go ahead of their segments from now on.
    pub fn tail(&self) {
        let _ = self.commands.send(Command::Tail);
    }

    /// Fetches nothing from now on: what is written to the source later is not the copy's.
    pub fn fetch_no_more(&self) {
        let _ = self.commands.send(Command::FetchNoMore);
    }

    /// The journal knows the first `count` of [`CopyStatus::renewed`].
    pub fn journaled(&self, count: usize) {
        let _ = self.commands.send(Command::Journaled(count));
    }

    /// Where runs of records begin that are to be journaled before they are produced.
    ///
    /// **Errors**: KF-BUG, as [`Self::checkpoint`].
    pub async fn marks(&self) -> Result<Vec<(TopicPartition, Vec<Mark>)>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Marks(reply));
        answer.await.map_err(ended)
    }

    /// The journal knows the marks that were handed out.
    pub fn marks_journaled(&self) {
        let _ = self.commands.send(Command::MarksJournaled);
    }

    /// Raises the target's log starts to what these offsets of the source are there, once everything below has been acknowledged.
    pub fn raise_log_starts(&self, log_starts: BTreeMap<TopicPartition, i64>) {
        let _ = self.commands.send(Command::RaiseLogStarts(log_starts));
    }

    /// Progress, renewed several times a second.
    pub fn status(&self) -> watch::Receiver<CopyStatus> {
        self.status.clone()
    }

    /// What is durable now.
    ///
    /// **Errors**: KF-BUG where the copier has ended by itself: nothing that it had is to be overwritten then.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Checkpoint(reply));
        answer.await.map_err(ended)
    }

    /// Stops: fetches no more, waits at most `patience` for what is under way, and says what is durable.
    ///
    /// **Errors**: KF-BUG, as [`Self::checkpoint`].
    pub async fn stop(&self, patience: Duration) -> Result<Checkpoint> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Stop(patience, reply));
        answer.await.map_err(ended)
    }
}

fn ended(_: oneshot::error::RecvError) -> Error {
    Error::new(Code::Bug, "the copier has ended without being told to; what it has journaled stands")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_is_what_was_read_again_to_its_end() {
        let partition = |partition, next_offset, verified_offset| PartitionProgress {
            partition: TopicPartition::new("orders", partition),
            next_offset,
            verified_offset,
            stored_offset: 0,
            source_log_start: 0,
            source_end: None,
            target_end: next_offset,
            awaits_journal_to: None,
            log_start_settled: true,
            stop: None,
        };
        let status = |partitions| CopyStatus { partitions, ..CopyStatus::default() };
        let ends = [(TopicPartition::new("orders", 0), 10), (TopicPartition::new("orders", 1), 20)].into();
        assert!(status(vec![partition(0, 10, 10), partition(1, 20, 20)]).has_copied(&ends));
        assert!(!status(vec![partition(0, 10, 9), partition(1, 20, 20)]).has_copied(&ends), "not read again to the end");
        assert!(!status(vec![partition(0, 10, 10), partition(1, 19, 19)]).has_copied(&ends), "not copied to the end");
        assert!(!status(vec![partition(0, 11, 11), partition(1, 20, 20)]).has_copied(&ends), "more than was frozen");
        assert!(!status(vec![partition(0, 10, 10)]).has_copied(&ends), "a partition that is not there");
        assert!(!status(vec![]).has_copied(&ends));
    }
}
