//! librdkafka's simple consumer: partitions started and stopped at will, all arriving in one queue.
//!
//! rdkafka wraps the high-level consumer only, so this calls the library itself. Everything unsafe of the witness is here.

use super::Told;
use crate::domain::partition::TopicPartition;
use crate::validation::spot_check::{Part, SampledRecord};
use rdkafka::bindings::*;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaRespErr;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

/// Partitions that are being read. What still runs is stopped in the end.
pub(super) struct Stream<'a> {
    client: &'a BaseConsumer<Told>,
    queue: NonNull<rd_kafka_queue_t>,
    topics: BTreeMap<Arc<str>, NonNull<rd_kafka_topic_t>>,
    running: BTreeSet<TopicPartition>,
}

/// What comes out of the queue.
pub(super) enum Arrival {
    Record(Message),
    /// The partition has no record beyond what has arrived of it.
    End(TopicPartition),
    /// The partition's log does not hold the offset that was asked for.
    OutOfRange(TopicPartition),
    Failed(TopicPartition, String),
}

impl Arrival {
    pub fn partition(&self) -> &TopicPartition {
        match self {
            Arrival::Record(message) => &message.partition,
            Arrival::End(partition) | Arrival::OutOfRange(partition) | Arrival::Failed(partition, _) => partition,
        }
    }
}

impl<'a> Stream<'a> {
    pub fn open(client: &'a BaseConsumer<Told>) -> Result<Self, String> {
        // SAFETY: the client lives at least as long as the stream, which destroys the queue.
        let queue = unsafe { rd_kafka_queue_new(client.client().native_ptr()) };
        let queue = NonNull::new(queue).ok_or("librdkafka has no queue to give")?;
        Ok(Self { client, queue, topics: BTreeMap::new(), running: BTreeSet::new() })
    }

    /// Reads a partition from this offset on, and no longer from where it was read before.
    pub fn start(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), String> {
        self.stop(partition);
        let topic = self.topic(&partition.topic)?;
        // SAFETY: topic and queue are alive until the stream is dropped.
        let started = unsafe { rd_kafka_consume_start_queue(topic.as_ptr(), partition.partition, offset, self.queue.as_ptr()) };
        if started != 0 {
            // SAFETY: takes no argument.
            return Err(format!("{partition} cannot be read from {offset}: {}", name_of(unsafe { rd_kafka_last_error() })));
        }
        self.running.insert(partition.clone());
        Ok(())
    }

    /// Stops reading a partition; what is queued of it does not arrive any more.
    pub fn stop(&mut self, partition: &TopicPartition) {
        if self.running.remove(partition)
            && let Some(topic) = self.topics.get(&partition.topic)
        {
            // SAFETY: the topic is alive, and the partition was started.
            unsafe { rd_kafka_consume_stop(topic.as_ptr(), partition.partition) };
        }
    }

    /// Waits for the next arrival.
    pub fn next(&mut self, timeout: Duration) -> Option<Arrival> {
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; what is returned is ours to destroy, which `Message` does.
        let raw = NonNull::new(unsafe { rd_kafka_consume_queue(self.queue.as_ptr(), timeout_ms) })?;
        let message = Message::take(raw)?;
        let partition = message.partition.clone();
        Some(match message.error() {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Arrival::Record(message),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Arrival::End(partition),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                Arrival::OutOfRange(partition)
            }
            _ => Arrival::Failed(partition, message.error_text()),
        })
    }

    fn topic(&mut self, name: &Arc<str>) -> Result<NonNull<rd_kafka_topic_t>, String> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(*topic);
        }
        let c_name = CString::new(&**name).map_err(|_| "a topic's name holds a zero byte".to_owned())?;
        // SAFETY: the client is alive, the name is copied, and no settings mean the client's own.
        let topic = unsafe { rd_kafka_topic_new(self.client.client().native_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        // SAFETY: takes no argument.
        let topic = NonNull::new(topic).ok_or_else(|| format!("topic {name}: {}", name_of(unsafe { rd_kafka_last_error() })))?;
        self.topics.insert(name.clone(), topic);
        Ok(topic)
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        for partition in std::mem::take(&mut self.running) {
            self.running.insert(partition.clone());
            self.stop(&partition);
        }
        // SAFETY: nothing runs any more, and both were made by this stream; messages do not outlive their arrival's handling,
        // and each holds its topic by a count of its own.
        unsafe {
            for topic in self.topics.values() {
                rd_kafka_topic_destroy(topic.as_ptr());
            }
            rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// One record, in librdkafka's memory.
pub(super) struct Message {
    raw: NonNull<rd_kafka_message_t>,
    partition: TopicPartition,
}

impl Message {
    /// Takes what came out of a queue; none where it concerns no partition.
    fn take(raw: NonNull<rd_kafka_message_t>) -> Option<Self> {
        // SAFETY: the message was just handed over and is valid until it is destroyed.
        let (topic, partition) = unsafe { (raw.as_ref().rkt, raw.as_ref().partition) };
        if topic.is_null() {
            // SAFETY: it is ours, and not used again.
            unsafe { rd_kafka_message_destroy(raw.as_ptr()) };
            return None;
        }
        // SAFETY: a topic's name is a C string that lives as long as the topic, which the message holds.
        let name = unsafe { CStr::from_ptr(rd_kafka_topic_name(topic)) }.to_string_lossy().into_owned();
        Some(Self { raw, partition: TopicPartition::new(name, partition) })
    }

    fn inner(&self) -> &rd_kafka_message_t {
        // SAFETY: valid until it is destroyed, which is when `self` is dropped.
        unsafe { self.raw.as_ref() }
    }

    fn error(&self) -> RDKafkaRespErr {
        self.inner().err
    }

    fn error_text(&self) -> String {
        // SAFETY: answers a C string that lives as long as the message, or none.
        let text = unsafe { rd_kafka_message_errstr(self.raw.as_ptr()) };
        if text.is_null() {
            return name_of(self.error());
        }
        // SAFETY: as above.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    pub fn offset(&self) -> i64 {
        self.inner().offset
    }

    /// The record with digests in place of its bytes.
    pub fn digested(&self) -> SampledRecord {
        let inner = self.inner();
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid and the type is written to our own variable.
        let timestamp = unsafe { rd_kafka_message_timestamp(self.raw.as_ptr(), &mut kind) };
        let has_timestamp = kind != rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        SampledRecord {
            offset: inner.offset,
            timestamp_ms: has_timestamp.then_some(timestamp),
            append_time: kind == rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
            // SAFETY: pointer and length are the message's own, null where the part is.
            key: unsafe { part(inner.key.cast(), inner.key_len) },
            // SAFETY: as above.
            value: unsafe { part(inner.payload.cast(), inner.len) },
            headers: self.headers(),
        }
    }

    /// Names as bytes: a producer may have written what is not UTF-8. librdkafka cuts a name at a zero byte.
    fn headers(&self) -> Vec<(Part, Option<Part>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is valid; the headers that are written to our variable stay the message's own.
        let found = unsafe { rd_kafka_message_headers(self.raw.as_ptr(), &mut headers) };
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return Vec::new();
        }
        // SAFETY: the headers are valid as long as the message.
        let count = unsafe { rd_kafka_header_cnt(headers) };
        let header = |index| {
            let (mut name, mut value, mut value_bytes) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the index is below the count; name and value point into the message.
            unsafe {
                let got = rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut value_bytes);
                (got == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| (Part::of(CStr::from_ptr(name).to_bytes()), part(value.cast(), value_bytes)))
            }
        };
        (0..count).filter_map(header).collect()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it is ours, and not used again.
        unsafe { rd_kafka_message_destroy(self.raw.as_ptr()) };
    }
}

/// A part of a message; a null pointer is null, which is something else than empty.
///
/// # Safety
/// `bytes` is null or points to so many bytes.
unsafe fn part(bytes: *const u8, length: usize) -> Option<Part> {
    // SAFETY: the caller's promise.
    (!bytes.is_null()).then(|| Part::of(unsafe { std::slice::from_raw_parts(bytes, length) }))
}

fn name_of(error: RDKafkaRespErr) -> String {
    // SAFETY: answers a C string of static storage for every code.
    unsafe { CStr::from_ptr(rd_kafka_err2str(error)) }.to_string_lossy().into_owned()
}
