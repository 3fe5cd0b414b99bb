//! Appends on the target: one batch per partition and request, many partitions per request, payloads never copied.

use super::aborting::Step;
use super::engine::{Engine, Event};
use super::limits::*;
use crate::copy::AppendBody;
use crate::kafka::connection::Connection;
use crate::kafka::failure::KafkaName;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use kafka_protocol::protocol::Decodable;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Takes zstd (v7), gives error messages (v8), and does not ask that a producer's first sequence be 0 (as v12 does).
pub(super) const PRODUCE_VERSION: i16 = 8;

/// One connection to one broker for appends.
#[derive(Default)]
pub(super) struct Lane {
    connection: Option<Connection>,
    opening: bool,
    retry_at: Option<Instant>,
    pub under_way: usize,
}

impl Lane {
    pub fn opened(&mut self, connection: Option<Connection>, pause: Duration) {
        self.opening = false;
        self.retry_at = connection.is_none().then(|| Instant::now() + pause);
        self.connection = connection;
    }
}

/// What a broker said of one append.
pub(super) enum AppendOutcome {
    At(i64),
    /// Nobody knows, or it passes: the log end decides.
    InDoubt(String),
    SequenceRefused,
    Refused(String),
}

pub(super) struct Produced {
    pub broker: i32,
    pub lane: usize,
    pub bytes: usize,
    pub results: Vec<(usize, i64, AppendOutcome)>,
    pub lost: Option<String>,
}

/// The appends of one request, by topic and partition: index, base offset, header, payload.
pub(super) type Batches = BTreeMap<(Arc<str>, i32), (usize, i64, Bytes, Bytes)>;

impl Engine {
    pub(super) fn schedule_appends(&mut self) {
        let now = Instant::now();
        for broker in self.target_routes.keys().copied().collect::<Vec<_>>() {
            for lane in 0..LANES_PER_BROKER {
                while self.lane_ready(broker, lane, now) {
                    let (batches, bytes) = self.gather(broker, lane, now);
                    if batches.is_empty() {
                        break;
                    }
                    self.send_produce(broker, lane, batches, bytes);
                }
            }
        }
    }

    fn lane_ready(&mut self, broker: i32, lane: usize, now: Instant) -> bool {
        let entry = self.lanes.entry((broker, lane)).or_default();
        if entry.opening || entry.under_way >= PRODUCES_PER_LANE || entry.retry_at.is_some_and(|at| at > now) {
            return false;
        }
        if entry.connection.as_ref().is_some_and(Connection::is_alive) {
            return true;
        }
        // A dead connection is replaced only when all that was under way on it is known to be lost.
        if entry.under_way > 0 {
            return false;
        }
        entry.opening = true;
        let (target, events) = (self.setup.target.clone(), self.events.clone());
        tokio::spawn(async move {
            let opened = target.fresh_connection(broker).await;
            let why = opened.as_ref().err().map(|e| format!("target broker {broker}: {}", e.seen()));
            let _ = events.send(Event::Waiting { who: "target broker", why });
            if let Some(error) = opened.as_ref().err().filter(|e| e.code().keeps_out()) {
                let _ = events.send(Event::NotLetIn { side: "target", code: error.code(), seen: error.seen().to_owned() });
            }
            let _ = events.send(Event::LaneOpened { broker, lane, connection: opened.ok() });
        });
        false
    }

    /// Takes the next append of each of the lane's partitions, up to a request's size.
    fn gather(&mut self, broker: i32, lane: usize, now: Instant) -> (Batches, usize) {
        let wall_ms = Self::wall_ms();
        let (mut batches, mut bytes) = (Batches::new(), 0);
        let (mut controls, mut aborted) = (Vec::new(), Vec::new());
        for &index in self.target_routes.get(&broker).into_iter().flatten() {
            if index % LANES_PER_BROKER != lane || bytes >= self.setup.request_batches_bytes {
                continue;
            }
            let entry = &mut self.partitions[index];
            if entry.target_retry_at > now {
                continue;
            }
            if entry.sent_to != Some(broker) && entry.copy.awaits_answers() {
                continue;
            }
            entry.sent_to = Some(broker);
            match entry.copy.next_append(wall_ms) {
                None => {}
                Some(append) => match append.body {
                    AppendBody::Controls { count } => controls.push((index, append.base_offset, count)),
                    AppendBody::EndAborted => aborted.push((index, append.base_offset, Step::End)),
                    AppendBody::Aborted { header, payload, begins } => aborted.push((index, append.base_offset, Step::Append { header, payload, begins })),
                    AppendBody::Batch { header, payload } => {
                        let name = entry.copy.partition();
                        bytes += header.len() + payload.len() + name.topic.len() + PRODUCE_PARTITION_BYTES;
                        batches.insert((name.topic.clone(), name.partition), (index, append.base_offset, header, payload));
                    }
                },
            }
        }
        controls.into_iter().for_each(|(index, offset, count)| self.controls_due(index, offset, count));
        aborted.into_iter().for_each(|(index, offset, step)| self.send_aborted(index, offset, step));
        (batches, bytes)
    }

    fn send_produce(&mut self, broker: i32, lane: usize, batches: Batches, bytes: usize) {
        let Some(entry) = self.lanes.get_mut(&(broker, lane)) else { return };
        let Some(connection) = entry.connection.clone() else { return };
        entry.under_way += 1;
        let sent: HashMap<(Arc<str>, i32), (usize, i64)> =
            batches.iter().map(|(name, (index, offset, ..))| (name.clone(), (*index, *offset))).collect();
        let pending = connection.send_frames_within(PRODUCE_TIMEOUT, ApiKey::Produce as i16, PRODUCE_VERSION, produce_body(batches, None));
        let events = self.events.clone();
        tokio::spawn(async move {
            let decoded = match pending.await {
                Ok(mut body) => ProduceResponse::decode(&mut body, PRODUCE_VERSION).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let (results, lost) = match decoded {
                Ok(response) => (outcomes(&response, &sent), None),
                Err(why) => {
                    let results = sent.into_values().map(|(i, offset)| (i, offset, AppendOutcome::InDoubt(why.clone()))).collect();
                    (results, Some(why))
                }
            };
            let _ = events.send(Event::Produced(Produced { broker, lane, bytes, results, lost }));
        });
    }

    pub(super) fn on_produced(&mut self, produced: Produced) {
        if let Some(lane) = self.lanes.get_mut(&(produced.broker, produced.lane)) {
            lane.under_way -= 1;
            if produced.lost.is_some() {
                // What else is under way on it is lost too; a new connection begins with a clean order.
                if let Some(connection) = lane.connection.as_ref() {
                    connection.close("an answer was lost");
                }
            }
        }
        self.refresh_target_if(produced.lost.is_some());
        if produced.lost.is_none() {
            self.bytes_produced += produced.bytes as u64;
        }
        self.waits("target", produced.lost.map(|why| format!("target broker {}: {why}", produced.broker)));
        for (index, base_offset, outcome) in produced.results {
            self.on_outcome(index, base_offset, outcome);
        }
    }

    /// Takes what became of one append, within a transaction of the partition's own or without.
    pub(super) fn on_outcome(&mut self, index: usize, base_offset: i64, outcome: AppendOutcome) {
        let entry = &mut self.partitions[index];
        match outcome {
            AppendOutcome::At(offset) => entry.copy.appended(base_offset, offset),
            AppendOutcome::InDoubt(why) => {
                tracing::debug!(partition = %entry.copy.partition(), base_offset, why, "an append is in doubt");
                entry.copy.append_lost(base_offset);
                entry.target_retry_at = Instant::now() + PARTITION_BACKOFF;
                self.refresh_target_if(true);
            }
            AppendOutcome::SequenceRefused => {
                tracing::warn!(partition = %entry.copy.partition(), base_offset, "the target does not know the sequence, or the transaction");
                entry.copy.sequence_refused(base_offset);
            }
            AppendOutcome::Refused(why) => {
                entry.copy.append_lost(base_offset);
                entry.copy.halt(crate::error::Code::CopyRefused, format!("the append at {base_offset} is refused: {why}"));
            }
        }
    }
}

/// Encodes a ProduceRequest v8 around the batches: acks −1.
pub(super) fn produce_body(batches: Batches, transactional_id: Option<&str>) -> Vec<Bytes> {
    let mut topics: Vec<(Arc<str>, Vec<(i32, Bytes, Bytes)>)> = Vec::new();
    for ((topic, partition), (_, _, header, payload)) in batches {
        match topics.last_mut() {
            Some((last, partitions)) if *last == topic => partitions.push((partition, header, payload)),
            _ => topics.push((topic, vec![(partition, header, payload)])),
        }
    }
    let mut parts = Vec::new();
    let mut head = BytesMut::with_capacity(256);
    match transactional_id {
        None => head.put_i16(-1),
        Some(id) => {
            head.put_i16(id.len() as i16);
            head.extend_from_slice(id.as_bytes());
        }
    }
    head.put_i16(-1);
    head.put_i32(PRODUCE_BROKER_TIMEOUT.as_millis() as i32);
    head.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        head.put_i16(topic.len() as i16);
        head.extend_from_slice(topic.as_bytes());
        head.put_i32(partitions.len() as i32);
        for (partition, header, payload) in partitions {
            head.put_i32(partition);
            head.put_i32((header.len() + payload.len()) as i32);
            head.extend_from_slice(&header);
            parts.push(head.split().freeze());
            parts.push(payload);
        }
    }
    parts
}

pub(super) fn outcomes(response: &ProduceResponse, sent: &HashMap<(Arc<str>, i32), (usize, i64)>) -> Vec<(usize, i64, AppendOutcome)> {
    let mut left = sent.clone();
    let mut outcomes = Vec::with_capacity(sent.len());
    for topic in &response.responses {
        let name: Arc<str> = topic.name.to_string().into();
        for partition in &topic.partition_responses {
            let Some((index, base_offset)) = left.remove(&(name.clone(), partition.index)) else { continue };
            let message = partition.error_message.as_ref().map(|m| format!(": {}", &**m)).unwrap_or_default();
            outcomes.push((index, base_offset, outcome(partition.error_code, partition.base_offset, &message)));
        }
    }
    let missing = "the answer leaves the partition out";
    outcomes.extend(left.into_values().map(|(index, offset)| (index, offset, AppendOutcome::InDoubt(missing.to_owned()))));
    outcomes
}

/// Only what can never succeed is a refusal; everything else is settled by looking at the log end.
fn outcome(error_code: i16, base_offset: i64, message: &str) -> AppendOutcome {
    use ResponseError as E;
    let Some(error) = E::try_from_code(error_code) else { return AppendOutcome::At(base_offset) };
    match error {
        E::OutOfOrderSequenceNumber | E::DuplicateSequenceNumber | E::InvalidProducerEpoch | E::UnknownProducerId | E::ProducerFenced
        | E::InvalidTxnState | E::InvalidProducerIdMapping => AppendOutcome::SequenceRefused,
        E::CorruptMessage | E::MessageTooLarge | E::RecordListTooLarge | E::InvalidTimestamp | E::InvalidRecord | E::InvalidRequiredAcks
        | E::TopicAuthorizationFailed | E::ClusterAuthorizationFailed | E::TransactionalIdAuthorizationFailed | E::PolicyViolation | E::UnsupportedForMessageFormat
        | E::UnsupportedCompressionType | E::InvalidTopicException | E::UnsupportedVersion | E::InvalidRequest => {
            AppendOutcome::Refused(format!("{}{message}", KafkaName(error)))
        }
        other => AppendOutcome::InDoubt(format!("{}{message}", KafkaName(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{ProduceRequest, TopicName};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    #[test]
    fn the_body_is_what_the_protocol_crate_writes() {
        let names = [("a", 0), ("a", 3), ("b", 1)];
        let payload = |topic: &str, partition: i32| Bytes::from(format!("payload of {topic} {partition}"));
        let mut batches = Batches::new();
        for (topic, partition) in names {
            batches.insert((topic.into(), partition), (0, 0, Bytes::from_static(b"header "), payload(topic, partition)));
        }
        let mut body = BytesMut::new();
        produce_body(batches, Some("an id")).iter().for_each(|part| body.extend_from_slice(part));

        let data = |topic: &str, partitions: &[i32]| {
            let partitions = partitions.iter().map(|&p| {
                let records = [&b"header "[..], &payload(topic, p)].concat();
                PartitionProduceData::default().with_index(p).with_records(Some(records.into()))
            });
            TopicProduceData::default().with_name(TopicName(StrBytes::from_string(topic.to_owned()))).with_partition_data(partitions.collect())
        };
        let request = ProduceRequest::default()
            .with_transactional_id(Some(kafka_protocol::messages::TransactionalId(StrBytes::from_static_str("an id"))))
            .with_acks(-1)
            .with_timeout_ms(PRODUCE_BROKER_TIMEOUT.as_millis() as i32)
            .with_topic_data(vec![data("a", &[0, 3]), data("b", &[1])]);
        let mut expected = BytesMut::new();
        request.encode(&mut expected, PRODUCE_VERSION).unwrap();
        assert_eq!(body, expected);
    }
}
