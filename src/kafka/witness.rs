//! The witness: librdkafka reads what the copier wrote, so that another implementation vouches for it.
//!
//! It has no group: partitions are read by librdkafka's simple consumer, since its high-level one looks for a group's
//! coordinator even where nothing is subscribed, and a broker that is asked for one creates `__consumer_offsets`.

mod compare;
mod cursor;
mod settings;
mod stream;
mod told;

pub use compare::spot_check;

use super::cluster::Side;
use super::limits::{WITNESS_PARTITIONS_MAX, WITNESS_PATIENCE, WITNESS_SAMPLING_MAX, WITNESS_TOKEN_WAIT};
use crate::config::model::{AuthMode, ClusterConfig};
use crate::domain::offset::OffsetMap;
use crate::domain::partition::TopicPartition;
use crate::error::{Error, Result};
use crate::validation::spot_check::SampledRecord;
use cursor::{Cursor, Then};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stream::{Arrival, Stream};
use told::Told;

/// How long events are waited for once a call has failed: the reason comes beside it.
const REASON_WAIT: Duration = Duration::from_millis(300);
/// One attempt at a greeting: several round trips to another continent.
const GREETING_ATTEMPT: Duration = Duration::from_secs(1);

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
    client: Arc<Mutex<BaseConsumer<Told>>>,
    needs_token: bool,
    /// How long anything is waited for.
    patience: Duration,
}

impl Witness {
    /// Makes a client; nothing is asked of the cluster yet.
    ///
    /// Errors: `KF-AUTH-FILE` for certificates and keys that librdkafka cannot use; `KF-CONFIG-UNSUPPORTED` for what this version
    /// cannot speak.
    pub fn open(side: Side, config: &ClusterConfig) -> Result<Self> {
        let client = settings::client_config(side, config)?
            .create_with_context(Told::new(&config.auth, &config.bootstrap_servers))
            .map_err(|e| settings::refused(side, config, &e))?;
        let needs_token = config.auth.mode == AuthMode::Iam;
        Ok(Self { side, client: Arc::new(Mutex::new(client)), needs_token, patience: WITNESS_PATIENCE })
    }

    /// The same client, which waits so long for anything to arrive.
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// Asks the cluster for its brokers, to see whether it lets librdkafka in. Blocks.
    ///
    /// Errors: `KF-AUTH-…` by librdkafka's own reason; `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE`.
    pub fn greet(&self) -> Result<()> {
        let client = self.ready()?;
        let deadline = Instant::now() + self.patience;
        loop {
            // librdkafka tries for as long as it is told to, although it may know better: it is asked in between.
            match client.client().fetch_metadata(None, GREETING_ATTEMPT) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    serve(&client, Duration::ZERO);
                    if client.context().problem().is_some() || Instant::now() > deadline {
                        return Err(self.unavailable(&client, error.to_string()));
                    }
                }
            }
        }
    }

    /// Asks each partition's leader for its log start and high watermark. Blocks.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE`, with librdkafka's own reason; `KF-AUTH-…` where that is one.
    pub fn watermarks(&self, partitions: &[TopicPartition]) -> Result<Watermarks> {
        let client = self.ready()?;
        partitions.iter().map(|p| Ok((p.clone(), self.watermark(&client, p)?))).collect()
    }

    /// Reads records spread over a range of each partition. Blocks, for a bounded time.
    ///
    /// Of one record at a time only digests are kept, so memory does not grow with the records' size. The same request
    /// gives the same offsets on two logs that are equal there.
    ///
    /// Errors: `KF-SOURCE-UNAVAILABLE` or `KF-TARGET-UNAVAILABLE` where nothing arrives any more, with librdkafka's own reason.
    pub fn sample(&self, requests: &[SampleRequest]) -> Result<Vec<Sample>> {
        let client = self.ready()?;
        let deadline = Instant::now() + WITNESS_SAMPLING_MAX;
        let mut samples = Vec::with_capacity(requests.len());
        for chunk in requests.chunks(WITNESS_PARTITIONS_MAX) {
            samples.extend(self.sample_chunk(&client, chunk, deadline)?);
        }
        Ok(samples)
    }

    fn sample_chunk(&self, client: &BaseConsumer<Told>, requests: &[SampleRequest], deadline: Instant) -> Result<Vec<Sample>> {
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
    fn give_up(&self, client: &BaseConsumer<Told>, open: &mut BTreeMap<TopicPartition, (Cursor, Sample)>, done: &mut Vec<Sample>) -> Result<()> {
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

    fn watermark(&self, client: &BaseConsumer<Told>, partition: &TopicPartition) -> Result<std::result::Result<Range<i64>, String>> {
        match client.fetch_watermarks(&partition.topic, partition.partition, self.patience) {
            Ok((low, high)) => Ok(Ok(low..high)),
            Err(error) if is_outage(&error) => Err(self.unavailable(client, format!("{partition}: {error}"))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// The error for a cluster that does not answer: librdkafka's calls say little, its error callback says why.
    fn unavailable(&self, client: &BaseConsumer<Told>, seen: String) -> Error {
        serve(client, REASON_WAIT);
        let told = client.context();
        let (reasons, side) = (told.reasons(), self.side);
        let text = if reasons.is_empty() { format!("{side}: {seen}") } else { format!("{side}: {seen}: {}", reasons.join("; ")) };
        Error::new(told.problem().map_or(side.unavailable(), |problem| problem.code()), text)
    }

    /// The client with nothing told yet and, where it needs one, with a token at hand.
    fn ready(&self) -> Result<MutexGuard<'_, BaseConsumer<Told>>> {
        let client = self.client();
        client.context().forget();
        serve(&client, Duration::ZERO);
        let until = Instant::now() + WITNESS_TOKEN_WAIT;
        while self.needs_token && !client.context().has_token() {
            if client.context().problem().is_some() || Instant::now() > until {
                return Err(self.unavailable(&client, "librdkafka has no token".to_owned()));
            }
            serve(&client, Duration::from_millis(50));
        }
        Ok(client)
    }

    fn client(&self) -> MutexGuard<'_, BaseConsumer<Told>> {
        // What a panicking caller left running is stopped when its stream is dropped.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes log lines and errors from the client's own queue.
fn serve(client: &BaseConsumer<Told>, wait: Duration) {
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
