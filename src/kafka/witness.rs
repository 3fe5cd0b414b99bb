//! The witness: librdkafka reads what the copier wrote, so that another implementation vouches for it.
//!
//! It has no group: partitions are read by librdkafka's simple consumer, since its high-level one looks for a group's
//! coordinator even where nothing is subscribed, and a broker that is asked for one creates `__consumer_offsets`.

mod compare;
mod cursor;
mod stream;

pub use compare::spot_check;

use super::cluster::Side;
use super::limits::{
    FRAME_BYTES_MAX, WITNESS_FETCH_BYTES_MAX, WITNESS_PARTITION_BYTES_MAX, WITNESS_PARTITIONS_MAX, WITNESS_PATIENCE, WITNESS_SAMPLING_MAX,
};
use crate::config::model::{AuthMode, ClusterConfig};
use crate::domain::offset::OffsetMap;
use crate::domain::partition::TopicPartition;
use crate::error::{Code, Error, Result};
use crate::validation::spot_check::SampledRecord;
use cursor::{Cursor, Then};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stream::{Arrival, Stream};

/// How many of the latest reasons are kept for an error's text.
const REASONS_MAX: usize = 3;
/// How long events are waited for once a call has failed: the reason comes beside it.
const REASON_WAIT: Duration = Duration::from_millis(300);

/// What is wanted of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRequest {
    pub partition: TopicPartition,
    /// Where samples are taken; offsets of it may carry no record that a consumer sees.
    pub offsets: Range<i64>,
    /// Where `offsets` are the target's and this log is the source's, which has its records elsewhere; what is read keeps its own offsets.
    pub map: Option<Arc<OffsetMap>>,
    /// How many at most: the first, the last, and the others evenly between them.
    pub records: usize,
}

/// What was read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub partition: TopicPartition,
    /// In ascending order of their offsets.
    pub records: Vec<SampledRecord>,
    /// Places that lay below the log start.
    pub expired: u64,
    /// Why the rest of the partition could not be read.
    pub unread: Option<String>,
}

/// Where a partition's log starts, and its high watermark; or why neither is told.
pub type Watermarks = BTreeMap<TopicPartition, std::result::Result<Range<i64>, String>>;

/// Reads one cluster through librdkafka. Clones share one client; their calls take turns.
#[derive(Clone)]
pub struct Witness {
    side: Side,
    client: Arc<Mutex<BaseConsumer<Reasons>>>,
    /// How long anything is waited for.
    patience: Duration,
}

impl Witness {
    /// Makes a client; nothing is asked of the cluster yet.
    ///
    /// Errors: `KF-CONFIG-UNSUPPORTED` for what this version cannot speak.
    pub fn open(side: Side, config: &ClusterConfig) -> Result<Self> {
        let client = client_config(side, config)?
            .create_with_context(Reasons::default())
            .map_err(|e| Error::new(Code::ConfigInvalid, format!("{side}: librdkafka refuses its settings: {e}")))?;
        Ok(Self { side, client: Arc::new(Mutex::new(client)), patience: WITNESS_PATIENCE })
    }

    /// The same client, which waits so long for anything to arrive.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// Asks each partition's leader for its log start and high watermark. Blocks.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE`, with librdkafka's own reason.
    pub fn watermarks(&self, partitions: &[TopicPartition]) -> Result<Watermarks> {
        let client = self.client();
        client.context().forget();
        partitions.iter().map(|p| Ok((p.clone(), self.watermark(&client, p)?))).collect()
    }

    /// Reads records spread over a range of each partition. Blocks, for a bounded time.
    ///
    /// Of one record at a time only digests are kept, so memory does not grow with the records' size. The same request
    /// gives the same offsets on two logs that are equal there.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` where nothing arrives any more, with librdkafka's own reason.
    pub fn sample(&self, requests: &[SampleRequest]) -> Result<Vec<Sample>> {
        let client = self.client();
        client.context().forget();
        let deadline = Instant::now() + WITNESS_SAMPLING_MAX;
        let mut samples = Vec::with_capacity(requests.len());
        for chunk in requests.chunks(WITNESS_PARTITIONS_MAX) {
            samples.extend(self.sample_chunk(&client, chunk, deadline)?);
        }
        Ok(samples)
    }

    fn sample_chunk(&self, client: &BaseConsumer<Reasons>, requests: &[SampleRequest], deadline: Instant) -> Result<Vec<Sample>> {
        let unusable = |seen: String| Error::new(self.side.unavailable(), format!("{}: {seen}", self.side));
        let mut stream = Stream::open(client).map_err(unusable)?;
        let mut open: BTreeMap<TopicPartition, (Cursor, Sample)> = BTreeMap::new();
        let mut done = Vec::with_capacity(requests.len());
        for request in requests {
            let cursor = Cursor::new(request.offsets.clone(), request.records, request.map.as_deref());
            let sample = Sample { partition: request.partition.clone(), records: Vec::new(), expired: 0, unread: None };
            match cursor.start() {
                Some(offset) => {
                    stream.start(&request.partition, offset).map_err(unusable)?;
                    open.insert(request.partition.clone(), (cursor, sample));
                }
                None => done.push(sample),
            }
        }
        let mut progress_at = Instant::now();
        while !open.is_empty() {
            let Some(arrival) = stream.next(Duration::from_millis(100)) else {
                serve(client, Duration::ZERO);
                if progress_at.elapsed() > self.patience {
                    self.give_up(client, &mut open, &mut done)?;
                }
                continue;
            };
            progress_at = Instant::now();
            if progress_at > deadline {
                return Err(self.unavailable(client, format!("sampling takes longer than {} s", WITNESS_SAMPLING_MAX.as_secs())));
            }
            let partition = arrival.partition().clone();
            // What comes late of a partition that is done is of no interest.
            let Some((cursor, sample)) = open.get_mut(&partition) else { continue };
            let then = match arrival {
                Arrival::Record(message) => {
                    let (kept, then) = cursor.on_record(message.offset());
                    if kept {
                        sample.records.push(message.digested());
                    }
                    then
                }
                Arrival::End(_) => cursor.on_end(),
                Arrival::OutOfRange(_) => match self.watermark(client, &partition)? {
                    Ok(log) => cursor.on_out_of_range(log.start),
                    Err(why) => {
                        sample.unread = Some(why);
                        Then::Done
                    }
                },
                Arrival::Failed(_, why) => {
                    sample.unread = Some(why);
                    Then::Done
                }
            };
            match then {
                Then::ReadOn => {}
                Then::StartAt(offset) => stream.start(&partition, offset).map_err(unusable)?,
                Then::Done => {
                    stream.stop(&partition);
                    if let Some((cursor, mut sample)) = open.remove(&partition) {
                        sample.expired = cursor.expired();
                        sample.records.retain(|record| cursor.keeps(record.offset));
                        done.push(sample);
                    }
                }
            }
        }
        done.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(done)
    }

    /// Closes the partitions that are not there, of which nothing ever arrives and no error either.
    ///
    /// Errors: the cluster's unavailability where nothing arrives of one that is there.
    fn give_up(&self, client: &BaseConsumer<Reasons>, open: &mut BTreeMap<TopicPartition, (Cursor, Sample)>, done: &mut Vec<Sample>) -> Result<()> {
        while let Some((partition, (_, mut sample))) = open.pop_first() {
            sample.unread = match self.watermark(client, &partition)? {
                Err(why) => Some(why),
                Ok(_) => {
                    let seen = format!("nothing arrives of {partition} within {:.1} s", self.patience.as_secs_f32());
                    return Err(self.unavailable(client, seen));
                }
            };
            sample.records.clear();
            done.push(sample);
        }
        Ok(())
    }

    fn watermark(&self, client: &BaseConsumer<Reasons>, partition: &TopicPartition) -> Result<std::result::Result<Range<i64>, String>> {
        match client.fetch_watermarks(&partition.topic, partition.partition, self.patience) {
            Ok((low, high)) => Ok(Ok(low..high)),
            Err(error) if is_outage(&error) => Err(self.unavailable(client, format!("{partition}: {error}"))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// The error for a cluster that does not answer: librdkafka's calls say little, its error callback says why.
    fn unavailable(&self, client: &BaseConsumer<Reasons>, seen: String) -> Error {
        serve(client, REASON_WAIT);
        let reasons = client.context().all();
        let side = self.side;
        let text = if reasons.is_empty() { format!("{side}: {seen}") } else { format!("{side}: {seen}: {}", reasons.join("; ")) };
        Error::new(side.unavailable(), text)
    }

    fn client(&self) -> MutexGuard<'_, BaseConsumer<Reasons>> {
        // What a panicking caller left running is stopped when its stream is dropped.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes log lines and errors from the client's own queue.
fn serve(client: &BaseConsumer<Reasons>, wait: Duration) {
    let until = Instant::now() + wait;
    // One event at a time, of which there may be many; none is left behind for long.
    for _ in 0..1_000 {
        let left = until.saturating_duration_since(Instant::now());
        if client.poll(left.min(Duration::from_millis(50))).is_none() && left.is_zero() {
            return;
        }
    }
}

fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
        )
    )
}

fn client_config(side: Side, config: &ClusterConfig) -> Result<ClientConfig> {
    // The place for TLS, SASL and IAM.
    match config.auth.mode {
        AuthMode::Plaintext => {}
        _ => return Err(Error::new(Code::ConfigUnsupported, format!("{side}: only auth.mode plaintext is in this version"))),
    }
    if config.bootstrap_servers.is_empty() {
        let seen = format!("{side}: no bootstrap servers are given; this version does not look them up by ARN");
        return Err(Error::new(Code::ConfigUnsupported, seen));
    }
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("security.protocol", "plaintext")
        .set("client.id", "kferry-witness")
        .set("check.crcs", "true")
        .set("isolation.level", "read_uncommitted")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        // The same for the simple consumer, which has a name of its own for it.
        .set("auto.commit.enable", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        // Nothing is read ahead: one record is wanted from here, one from there.
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", (WITNESS_FETCH_BYTES_MAX / 1024).to_string())
        .set("fetch.message.max.bytes", WITNESS_PARTITION_BYTES_MAX.to_string())
        .set("fetch.max.bytes", WITNESS_FETCH_BYTES_MAX.to_string())
        .set("receive.message.max.bytes", FRAME_BYTES_MAX.to_string())
        .set("fetch.wait.max.ms", "20")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "2")
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    Ok(client)
}

/// Keeps the reasons that librdkafka gives beside its calls.
#[derive(Default)]
struct Reasons {
    latest: Mutex<VecDeque<String>>,
}

impl Reasons {
    fn latest(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        self.latest().clear();
    }

    fn all(&self) -> Vec<String> {
        self.latest().iter().cloned().collect()
    }
}

impl ClientContext for Reasons {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        let mut latest = self.latest();
        if !latest.iter().any(|known| known == reason) {
            if latest.len() == REASONS_MAX {
                latest.pop_front();
            }
            latest.push_back(reason.to_owned());
        }
    }
}

impl ConsumerContext for Reasons {}
