//! The copier's one loop: it owns every partition's copy, hands out I/O as tasks, and takes their outcomes as events.

use super::appending::{AppendOutcome, Lane, Produced};
use super::budget::Budget;
use super::fetching::{Content, Fetched, FetchSlot, FetchedPartition};
use super::limits::*;
use super::proving::ReadBack;
use super::storing::Stored;
use super::{Checkpoint, Command, CopierSetup, CopyStatus, PartitionProgress};
use crate::copy::{PartitionCopy, Stop};
use crate::domain::offset::Mark;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::kafka::offsets::OffsetAt;
use crate::kafka::markers::Run;
use crate::kafka::sentinel::Written;
use crate::kafka::transactions::{ProducerIdentity, TransactionalProducer};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// What a task reports to the loop. Partitions are named by their index.
pub(super) enum Event {
    Fetched(Fetched),
    SlotOpened { broker: i32, slot: usize, connection: Option<crate::kafka::source::ReadConnection> },
    Stored(Stored),
    LeavesStored { index: usize, failed: Option<Error> },
    LaneOpened { broker: i32, lane: usize, connection: Option<crate::kafka::connection::Connection> },
    Produced(Produced),
    Marked { appends: Vec<(usize, i64)>, done: bool },
    Probed(Vec<(usize, i64)>),
    ProducerRenewed { index: usize, producer: Result<ProducerIdentity> },
    AborterTaken { index: usize, producer: Result<TransactionalProducer> },
    AbortedAppended { index: usize, base_offset: i64, outcome: AppendOutcome },
    Truncated(Vec<(usize, Option<i64>)>),
    ReadBack(ReadBack),
    SpansRead { out_of_range: Vec<(usize, Option<(i64, i64)>)> },
    Refreshed { source: bool, error: Option<String> },
    Waiting { who: &'static str, why: Option<String> },
    NotLetIn { side: &'static str, code: Code, seen: String },
}

/// One partition in the loop.
pub(super) struct Slotted {
    pub copy: PartitionCopy,
    pub source_retry_at: Instant,
    pub target_retry_at: Instant,
    pub aborter_retry_at: Instant,
    /// Appends data of aborted transactions; None where there was none yet.
    pub aborter: Option<Arc<TransactionalProducer>>,
    /// The broker that the last append went to: another one gets none while that one's answers are out.
    pub sent_to: Option<i32>,
    /// Whether a read-back is under way.
    pub proving: bool,
    /// Whether the leaves that have been compared are to go to the store now.
    pub leaves_due: bool,
    /// The source's end when SEED began, until it is reached.
    pub seed_end: Option<i64>,
    /// Rotates partitions through the fetches.
    pub fetch_turn: u64,
}

pub(super) struct Engine {
    pub setup: CopierSetup,
    pub partitions: Vec<Slotted>,
    pub index_of: HashMap<TopicPartition, usize>,
    pub events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    publish: watch::Sender<CopyStatus>,

    pub budget: Budget,
    pub source_routes: BTreeMap<i32, Vec<usize>>,
    pub target_routes: BTreeMap<i32, Vec<usize>>,
    source_refresh: Refresh,
    target_refresh: Refresh,

    pub fetch_slots: HashMap<(i32, usize), FetchSlot>,
    pub lanes: HashMap<(i32, usize), Lane>,
    pub proof_reads: HashMap<i32, bool>,
    pub stores_under_way: usize,
    pub store_turn: usize,
    pub leaf_stores_under_way: usize,
    pub leaves_due_at: Instant,
    pub starved: bool,
    pub tailing: bool,
    /// Nothing is fetched any more.
    pub stopping: bool,
    pub turn: u64,
    pub rate_tokens: f64,
    pub rate_at: Instant,
    controls_due: Vec<(usize, Run)>,
    /// Requests for control records under way.
    marking: usize,
    /// Appends and ends of aborted transactions under way.
    pub aborting: usize,
    pub bytes_fetched: u64,
    pub bytes_produced: u64,
    /// Producer ids that partitions are to go over to, in the order of their coming, and those that wait to be journaled.
    renewed: Vec<(TopicPartition, i64)>,
    unjournaled: VecDeque<Renewed>,
    waits: BTreeMap<&'static str, (Instant, String)>,
    /// Clusters that do not let us in, since when and why.
    kept_out: BTreeMap<&'static str, (Instant, Stop)>,
    started: Instant,
}

/// A producer that waits until the journal knows it: what it appends has to be known as ours.
enum Renewed {
    Plain { index: usize, identity: ProducerIdentity },
    Aborter { index: usize, producer: Arc<TransactionalProducer> },
}

/// When a cluster's metadata was last asked for, and whether it has to be again.
struct Refresh {
    due: bool,
    under_way: bool,
    last: Instant,
}

impl Refresh {
    fn new(now: Instant) -> Self {
        Self { due: false, under_way: false, last: now }
    }
}

impl Engine {
    pub fn new(mut setup: CopierSetup, partitions: Vec<PartitionCopy>, publish: watch::Sender<CopyStatus>) -> Self {
        let now = Instant::now();
        let (events, inbox) = mpsc::unbounded_channel();
        let index_of = partitions.iter().enumerate().map(|(i, copy)| (copy.partition().clone(), i)).collect();
        let partitions = partitions
            .into_iter()
            .map(|copy| {
                let aborter = setup.left_open.remove(copy.partition()).map(Arc::new);
                Slotted {
                    copy,
                    source_retry_at: now,
                    target_retry_at: now,
                    aborter_retry_at: now,
                    aborter,
                    sent_to: None,
                    proving: false,
                    leaves_due: false,
                    seed_end: None,
                    fetch_turn: 0,
                }
            })
            .collect();
        let budget = Budget::new(setup.seed.memory_max_bytes);
        let mut engine = Self {
            setup,
            partitions,
            index_of,
            events,
            inbox,
            publish,
            budget,
            source_routes: BTreeMap::new(),
            target_routes: BTreeMap::new(),
            source_refresh: Refresh::new(now),
            target_refresh: Refresh::new(now),
            fetch_slots: HashMap::new(),
            lanes: HashMap::new(),
            proof_reads: HashMap::new(),
            stores_under_way: 0,
            store_turn: 0,
            leaf_stores_under_way: 0,
            leaves_due_at: now + LEAVES_INTERVAL,
            starved: false,
            tailing: false,
            stopping: false,
            turn: 0,
            rate_tokens: 0.0,
            rate_at: now,
            controls_due: Vec::new(),
            marking: 0,
            aborting: 0,
            bytes_fetched: 0,
            bytes_produced: 0,
            renewed: Vec::new(),
            unjournaled: VecDeque::new(),
            waits: BTreeMap::new(),
            kept_out: BTreeMap::new(),
            started: now,
        };
        engine.route_source();
        engine.route_target();
        engine
    }

    /// Runs until told to stop, or until the handle is dropped.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut published = Instant::now() - STATUS_PAUSE;
        let mut last_words: Option<oneshot::Sender<_>> = None;
        let mut stop_by = Instant::now();
        loop {
            self.schedule();
            if published.elapsed() >= STATUS_PAUSE {
                published = Instant::now();
                self.publish.send_replace(self.status());
            }
            if last_words.is_some() && (self.settled() || Instant::now() >= stop_by) {
                break;
            }
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => break,
                    Some(Command::Tail) => {
                        self.tailing = true;
                        self.partitions.iter_mut().for_each(|p| p.copy.append_before_store());
                    }
                    Some(Command::SeedEnds(ends)) => {
                        for (partition, end) in ends {
                            if let Some(index) = self.index_of.get(&partition) {
                                self.partitions[*index].seed_end = Some(end);
                            }
                        }
                    }
                    Some(Command::FetchNoMore) => self.stopping = true,
                    Some(Command::Journaled(count)) => self.take_renewed(count),
                    Some(Command::Marks(reply)) => { let _ = reply.send(self.marks()); }
                    Some(Command::MarksJournaled) => self.partitions.iter_mut().for_each(|p| p.copy.marks_journaled()),
                    Some(Command::RaiseLogStarts(log_starts)) => {
                        for (partition, log_start) in log_starts {
                            if let Some(index) = self.index_of.get(&partition) {
                                self.partitions[*index].copy.raise_log_start(log_start);
                            }
                        }
                    }
                    Some(Command::Checkpoint(reply)) => { let _ = reply.send(self.checkpoint()); }
                    Some(Command::Stop(patience, reply)) => {
                        self.stopping = true;
                        stop_by = Instant::now() + patience;
                        self.partitions.iter_mut().for_each(|p| p.copy.close());
                        self.make_leaves_due();
                        last_words = Some(reply);
                    }
                },
                event = self.inbox.recv() => {
                    if let Some(event) = event {
                        self.handle(event);
                    }
                    for _ in 0..256 {
                        let Ok(event) = self.inbox.try_recv() else { break };
                        self.handle(event);
                    }
                }
                () = tokio::time::sleep(TICK) => {}
            }
        }
        self.publish.send_replace(self.status());
        if let Some(reply) = last_words {
            let _ = reply.send(self.checkpoint());
        }
    }

    fn settled(&self) -> bool {
        self.stores_under_way == 0
            && self.partitions.iter().all(|p| !p.copy.waits_for_store())
            && self.leaves_settled()
            && self.lanes.values().all(|lane| lane.under_way == 0) && self.marking == 0
            && self.aborting == 0
            && self.partitions.iter().all(|p| !p.copy.ends_soon())
    }

    /// Where runs of records begin that the journal was not told of yet.
    fn marks(&mut self) -> Vec<(TopicPartition, Vec<Mark>)> {
        let marks = self.partitions.iter_mut().filter(|p| p.copy.has_marks()).map(|p| (p.copy.partition().clone(), p.copy.next_marks()));
        marks.collect()
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { partitions: self.partitions.iter().map(|p| p.copy.checkpoint()).collect(), pending_leaves: self.pending_leaves() }
    }

    fn status(&self) -> CopyStatus {
        let partitions = self
            .partitions
            .iter()
            .map(|p| PartitionProgress {
                partition: p.copy.partition().clone(),
                next_offset: p.copy.source_position(p.copy.acknowledged()),
                verified_offset: p.copy.source_position(p.copy.verified()),
                stored_offset: p.copy.source_position(p.copy.stored()),
                target_end: p.copy.acknowledged(),
                awaits_journal_to: p.copy.awaits_journal_to(),
                source_log_start: p.copy.source_span().0,
                source_end: p.copy.source_span().1,
                log_start_settled: p.copy.log_start_settled(),
                stop: p.copy.stop().cloned(),
            })
            .collect();
        let starved = || {
            let now_ms = self.now_ms();
            self.partitions.iter().find_map(|p| p.copy.starved_because(now_ms, STARVED_WORTH_TELLING.as_millis() as u64))
        };
        let waiting_because =
            self.waits.values().filter(|(since, _)| since.elapsed() >= WAIT_WORTH_TELLING).map(|(_, why)| why.clone()).next().or_else(starved);
        CopyStatus {
            partitions,
            bytes_fetched: self.bytes_fetched,
            bytes_produced: self.bytes_produced,
            renewed: self.renewed.clone(),
            kept_out: self.kept_out.values().find(|(since, _)| since.elapsed() >= NOT_LET_IN_PATIENCE).map(|(_, stop)| stop.clone()),
            marks_due: self.partitions.iter().any(|p| p.copy.has_marks()),
            waiting_because,
        }
    }

    /// Milliseconds since the copier began; a monotonic clock for ages.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub fn wall_ms() -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// Notes why somebody waits; None clears it.
    pub fn waits(&mut self, who: &'static str, why: Option<String>) {
        match why {
            Some(why) => {
                let since = self.waits.get(who).map_or_else(Instant::now, |(since, _)| *since);
                self.waits.insert(who, (since, why));
            }
            None => {
                self.waits.remove(who);
            }
        }
    }

    /// Hands out everything that can be done now.
    fn schedule(&mut self) {
        self.schedule_refreshes();
        self.schedule_seals();
        self.schedule_stores();
        self.schedule_probes();
        self.schedule_producers();
        self.schedule_aborters();
        self.schedule_appends();
        self.schedule_controls();
        self.schedule_truncations();
        // What was proven waits for the store, in memory: no more of it than there is room.
        let room = self.schedule_leaves();
        if room {
            self.schedule_proofs();
        }
        if room && !self.stopping {
            self.schedule_fetches();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fetched(fetched) => self.on_fetched(fetched),
            Event::SlotOpened { broker, slot, connection } => {
                self.refresh_source_if(connection.is_none());
                let pause = self.opening_pause("source", connection.is_some());
                if let Some(entry) = self.fetch_slots.get_mut(&(broker, slot)) {
                    entry.opened(connection, pause);
                }
            }
            Event::Stored(stored) => self.on_stored(stored),
            Event::LeavesStored { index, failed } => self.on_leaves_stored(index, failed),
            Event::LaneOpened { broker, lane, connection } => {
                self.refresh_target_if(connection.is_none());
                if connection.is_some() {
                    // What was under way on the one before is settled by looking at the log ends.
                    self.waits("target", None);
                }
                let pause = self.opening_pause("target", connection.is_some());
                if let Some(entry) = self.lanes.get_mut(&(broker, lane)) {
                    entry.opened(connection, pause);
                }
            }
            Event::Produced(produced) => self.on_produced(produced),
            Event::Marked { appends, done } => {
                self.marking -= 1;
                for (index, offset) in appends {
                    match done {
                        true => self.partitions[index].copy.appended(offset, offset),
                        false => self.partitions[index].copy.append_lost(offset),
                    }
                }
            }
            Event::Probed(ends) => ends.into_iter().for_each(|(index, end)| self.partitions[index].copy.probed(end)),
            Event::ProducerRenewed { index, producer } => match producer {
                Ok(producer) => {
                    self.renewed.push((self.partitions[index].copy.partition().clone(), producer.producer_id));
                    self.unjournaled.push_back(Renewed::Plain { index, identity: producer });
                    self.waits("producer id", None);
                }
                Err(error) => {
                    self.partitions[index].target_retry_at = Instant::now() + PARTITION_BACKOFF;
                    self.waits("producer id", Some(error.to_string()));
                }
            },
            Event::AborterTaken { index, producer } => match producer {
                Ok(producer) => {
                    self.renewed.push((self.partitions[index].copy.partition().clone(), producer.identity().producer_id));
                    self.unjournaled.push_back(Renewed::Aborter { index, producer: Arc::new(producer) });
                    self.waits("transactional id", None);
                }
                Err(error) if error.code() == Code::KafkaRefused => self.halt(index, Error::new(Code::CopyRefused, error.seen())),
                Err(error) => {
                    self.partitions[index].aborter_retry_at = Instant::now() + PARTITION_BACKOFF;
                    self.waits("transactional id", Some(error.to_string()));
                }
            },
            Event::AbortedAppended { index, base_offset, outcome } => {
                self.aborting -= 1;
                self.on_outcome(index, base_offset, outcome);
            }
            Event::Truncated(starts) => {
                for (index, start) in starts {
                    self.partitions[index].copy.truncated(start);
                    if start.is_none() {
                        self.partitions[index].target_retry_at = Instant::now() + PARTITION_BACKOFF;
                    }
                }
            }
            Event::ReadBack(read) => self.on_read_back(read),
            Event::SpansRead { out_of_range } => {
                for (index, span) in out_of_range {
                    match span {
                        Some((start, end)) => self.partitions[index].copy.fetch_out_of_range(start, end),
                        None => self.partitions[index].copy.fetch_failed(),
                    }
                    self.partitions[index].source_retry_at = Instant::now() + PARTITION_BACKOFF;
                }
            }
            Event::Refreshed { source, error } => {
                let refresh = if source { &mut self.source_refresh } else { &mut self.target_refresh };
                refresh.under_way = false;
                refresh.last = Instant::now();
                // Asked again until it is answered, so that the reason for waiting does not outlive its cause.
                refresh.due |= error.is_some();
                let who = if source { "source metadata" } else { "target metadata" };
                self.waits(who, error);
                if source { self.route_source() } else { self.route_target() }
            }
            Event::Waiting { who, why } => self.waits(who, why),
            Event::NotLetIn { side, code, seen } => {
                self.kept_out.entry(side).or_insert((Instant::now(), Stop { code, seen }));
            }
        }
    }

    /// How long to wait before the next attempt at a connection of that side.
    fn opening_pause(&mut self, side: &'static str, opened: bool) -> Duration {
        if opened {
            self.kept_out.remove(side);
        }
        if self.kept_out.contains_key(side) { NOT_LET_IN_PAUSE } else { PARTITION_BACKOFF }
    }

    // ---- metadata

    pub fn refresh_source_if(&mut self, due: bool) {
        self.source_refresh.due |= due;
    }

    pub fn refresh_target_if(&mut self, due: bool) {
        self.target_refresh.due |= due;
    }

    fn schedule_refreshes(&mut self) {
        for source in [true, false] {
            let refresh = if source { &mut self.source_refresh } else { &mut self.target_refresh };
            if !refresh.due || refresh.under_way || refresh.last.elapsed() < REFRESH_PAUSE {
                continue;
            }
            (refresh.due, refresh.under_way) = (false, true);
            let events = self.events.clone();
            let (from_source, from_target) = (self.setup.source.clone(), self.setup.target.clone());
            tokio::spawn(async move {
                let result = if source { from_source.refresh().await } else { from_target.refresh().await };
                let _ = events.send(Event::Refreshed { source, error: result.err().map(|e| e.to_string()) });
            });
        }
    }

    fn route_source(&mut self) {
        self.source_routes.clear();
        for (index, partition) in self.partitions.iter().enumerate() {
            match self.setup.source.leader(partition.copy.partition()) {
                Some(leader) => self.source_routes.entry(leader.broker_id).or_default().push(index),
                None => self.source_refresh.due = true,
            }
        }
    }

    fn route_target(&mut self) {
        self.target_routes.clear();
        for (index, partition) in self.partitions.iter().enumerate() {
            match self.setup.target.leader(partition.copy.partition()) {
                Some(leader) => self.target_routes.entry(leader.broker_id).or_default().push(index),
                None => self.target_refresh.due = true,
            }
        }
    }

    // ---- what brokers are asked beside fetch and produce

    fn schedule_probes(&mut self) {
        let wall_ms = Self::wall_ms();
        let mut due = Vec::new();
        let mut old = false;
        for (index, entry) in self.partitions.iter_mut().enumerate() {
            if entry.copy.needs_probe() {
                old |= entry.copy.probes_old_records(wall_ms);
                entry.copy.probe_sent();
                due.push((index, entry.copy.partition().clone()));
            }
        }
        if due.is_empty() {
            return;
        }
        self.target_refresh.due = true;
        let (target, events) = (self.setup.target.clone(), self.events.clone());
        tokio::spawn(async move {
            let pause = if old { PROBE_PAUSE_OLD_RECORDS } else { PROBE_PAUSE };
            let names: Vec<TopicPartition> = due.iter().map(|(_, name)| name.clone()).collect();
            let tell = |why: Option<String>| { let _ = events.send(Event::Waiting { who: "target log ends", why }); };
            let ends = super::probing::settled_log_ends(&target, &names, pause, &tell).await;
            tell(None);
            let found = due.into_iter().filter_map(|(index, name)| Some((index, *ends.get(&name)?))).collect();
            let _ = events.send(Event::Probed(found));
        });
    }

    fn schedule_producers(&mut self) {
        let now = Instant::now();
        for index in 0..self.partitions.len() {
            let entry = &self.partitions[index];
            if !entry.copy.needs_producer() || entry.target_retry_at > now || self.awaits_journal(index) {
                continue;
            }
            let entry = &mut self.partitions[index];
            // Asked again should the answer get lost.
            entry.target_retry_at = now + Duration::from_secs(60);
            let (target, events) = (self.setup.target.clone(), self.events.clone());
            tokio::spawn(async move {
                let producer = target.init_producer_id().await;
                let _ = events.send(Event::ProducerRenewed { index, producer });
            });
        }
    }

    /// Whether a producer of the partition waits to be journaled.
    pub fn awaits_journal(&self, index: usize) -> bool {
        self.unjournaled.iter().any(|renewed| match renewed {
            Renewed::Plain { index: of, .. } | Renewed::Aborter { index: of, .. } => *of == index,
        })
    }

    /// The journal knows the first `count` of the producers that partitions were to go over to.
    fn take_renewed(&mut self, count: usize) {
        while self.renewed.len() - self.unjournaled.len() < count {
            let now = Instant::now();
            match self.unjournaled.pop_front() {
                None => return,
                Some(Renewed::Plain { index, identity }) => {
                    self.partitions[index].copy.producer_renewed(identity.producer_id, identity.producer_epoch);
                    self.partitions[index].target_retry_at = now;
                }
                Some(Renewed::Aborter { index, producer }) => {
                    let identity = producer.identity();
                    self.partitions[index].copy.aborter_taken(identity.producer_id, identity.producer_epoch);
                    self.partitions[index].aborter = Some(producer);
                    self.partitions[index].aborter_retry_at = now;
                }
            }
        }
    }

    pub fn controls_due(&mut self, index: usize, end: i64, count: i64) {
        self.controls_due.push((index, Run { end, count }));
    }

    /// All control records that are due travel together; a transactional id carries one transaction at a time.
    fn schedule_controls(&mut self) {
        if self.controls_due.is_empty() || (self.marking > 0 && !self.setup.markers.is_direct()) {
            return;
        }
        let due = std::mem::take(&mut self.controls_due);
        self.marking += 1;
        let runs: BTreeMap<TopicPartition, Run> = due.iter().map(|(index, run)| (self.partitions[*index].copy.partition().clone(), *run)).collect();
        let appends: Vec<(usize, i64)> = due.iter().map(|(index, run)| (*index, run.end)).collect();
        let (markers, events) = (self.setup.markers.clone(), self.events.clone());
        tokio::spawn(async move {
            let written = markers.write(&runs).await;
            if !matches!(written, Ok(Written::Placed)) {
                tracing::warn!(?written, "control records on the target are in doubt; their partitions' log ends decide");
            }
            let _ = events.send(Event::Marked { appends, done: matches!(written, Ok(Written::Placed)) });
        });
    }

    fn schedule_truncations(&mut self) {
        let now = Instant::now();
        let mut due = BTreeMap::new();
        let mut indices = Vec::new();
        for (index, entry) in self.partitions.iter_mut().enumerate() {
            if entry.target_retry_at > now {
                continue;
            }
            if let Some(offset) = entry.copy.next_truncation() {
                entry.copy.truncation_sent();
                due.insert(entry.copy.partition().clone(), offset);
                indices.push((index, entry.copy.partition().clone()));
            }
        }
        if due.is_empty() {
            return;
        }
        let (target, events) = (self.setup.target.clone(), self.events.clone());
        tokio::spawn(async move {
            let starts = match target.delete_records(&due).await {
                Ok(starts) => {
                    let _ = events.send(Event::Waiting { who: "target log starts", why: None });
                    starts
                }
                Err(error) => {
                    let _ = events.send(Event::Waiting { who: "target log starts", why: Some(error.to_string()) });
                    BTreeMap::new()
                }
            };
            let _ = events.send(Event::Truncated(indices.into_iter().map(|(i, name)| (i, starts.get(&name).copied())).collect()));
        });
    }

    /// Asks the source for its log's bounds where a fetch was out of range.
    pub fn read_spans(&mut self, indices: Vec<usize>) {
        let names: Vec<(usize, TopicPartition)> =
            indices.into_iter().map(|index| (index, self.partitions[index].copy.partition().clone())).collect();
        let (source, events) = (self.setup.source.clone(), self.events.clone());
        tokio::spawn(async move {
            let partitions: Vec<TopicPartition> = names.iter().map(|(_, name)| name.clone()).collect();
            let (starts, _) = source.list_offsets_each(&partitions, OffsetAt::Earliest).await;
            let (ends, _) = source.list_offsets_each(&partitions, OffsetAt::HighWatermark).await;
            let out_of_range = names
                .into_iter()
                .map(|(index, name)| (index, starts.get(&name).zip(ends.get(&name)).map(|(start, end)| (start.offset, end.offset))))
                .collect();
            let _ = events.send(Event::SpansRead { out_of_range });
        });
    }

    /// Stops a partition with an error of its own.
    pub fn halt(&mut self, index: usize, error: Error) {
        self.partitions[index].copy.halt(error.code(), error.seen());
    }

    /// Handles one fetched partition's outcome; what is out of range is looked into afterwards.
    pub fn take_fetched(&mut self, index: usize, outcome: FetchedPartition, out_of_range: &mut Vec<usize>) {
        let now_ms = self.now_ms();
        let entry = &mut self.partitions[index];
        match outcome {
            FetchedPartition::Data { content, log_start, last_stable, to_the_end, bytes } => {
                match content {
                    Content::AsIs(batches) => entry.copy.fetched(batches, log_start, last_stable, to_the_end, now_ms),
                    Content::Mapped { batches, projected } => entry.copy.fetched_mapped(&batches, projected, log_start, last_stable, to_the_end, now_ms),
                }
                if entry.copy.found_nothing() {
                    entry.source_retry_at = Instant::now() + PARTITION_BACKOFF;
                }
                self.bytes_fetched += bytes as u64;
            }
            FetchedPartition::OutOfRange => out_of_range.push(index),
            FetchedPartition::Diverged { seen } => entry.copy.halt(Code::SourceDiverged, seen),
            FetchedPartition::Unreadable { code, seen } => {
                entry.copy.fetch_failed();
                entry.copy.halt(code, seen);
            }
            FetchedPartition::Later { why } => {
                entry.copy.fetch_failed();
                entry.source_retry_at = Instant::now() + PARTITION_BACKOFF;
                self.source_refresh.due = true;
                tracing::debug!(index, why, "a fetch is tried again");
            }
        }
    }
}
