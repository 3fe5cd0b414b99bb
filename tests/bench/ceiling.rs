//! The ceiling: raw Fetch → header rewritten → raw Produce, no store, no journal, no second reading, nothing bounded.

use crate::table::Row;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::{Decodable, StrBytes};
use kferry::config::model::{Auth, ClusterConfig};
use kferry::domain::batch::{self, ProducerStamp};
use kferry::domain::partition::TopicPartition;
use kferry::kafka::cluster::{Cluster, Side};
use kferry::kafka::offsets::OffsetAt;
use kferry::kafka::source::Source;
use kferry::kafka::target::Target;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const WORKERS: i32 = 4;
const FETCH_BYTES: i32 = 8 << 20;

fn cluster_config(bootstrap: &str) -> ClusterConfig {
    let auth = Auth::plaintext();
    ClusterConfig::at(bootstrap.split(',').map(str::to_owned).collect(), auth)
}

/// Copies the topic as fast as the brokers let us.
pub fn run(source: &str, target: &str, topic: &'static str, partitions: i32, bytes: u64) -> Row {
    // Peak memory is counted from here on.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let before = crate::lab::kferry::usage(std::process::id()).unwrap_or_default().0;
    let started = Instant::now();
    runtime.block_on(async {
        let source = Cluster::connect(Side::Source, &cluster_config(source)).await.expect("the source");
        let target = Cluster::connect(Side::Target, &cluster_config(target)).await.expect("the target");
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let mine: Vec<i32> = (0..partitions).filter(|p| p % WORKERS == worker).collect();
                tokio::spawn(copy(Source::new(&source), Target::new(&target), topic, mine))
            })
            .collect();
        for worker in workers {
            worker.await.expect("a worker");
        }
    });
    let wall = started.elapsed();
    let (cpu, peak) = crate::lab::kferry::usage(std::process::id()).unwrap_or_default();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Row { what: "(a) ceiling: Fetch → Produce, no store".into(), bytes, wall, predicted: None, cpu: cpu.saturating_sub(before), peak_rss_bytes: peak }
}

async fn copy(source: Source, target: Target, topic: &'static str, partitions: Vec<i32>) {
    let names: Vec<TopicPartition> = partitions.iter().map(|p| TopicPartition::new(topic, *p)).collect();
    let ends = source.offsets(&names, OffsetAt::HighWatermark).await.expect("log ends");
    let from = source.fresh_connection(source.leader(&names[0]).expect("a leader").broker_id).await.expect("a connection");
    let to = target.fresh_connection(target.leader(&names[0]).expect("a leader").broker_id).await.expect("a connection");
    let producer = target.init_producer_id().await.expect("a producer id");
    // Next offset to fetch, which is the next sequence too, and what is fetched and not yet sent.
    let mut state: Vec<(i32, i64, i64, VecDeque<batch::Batch>)> =
        names.iter().map(|n| (n.partition, 0, ends[n], VecDeque::new())).collect();
    let mut under_way = VecDeque::new();
    loop {
        let wanted: Vec<_> = state
            .iter()
            .filter(|(_, next, end, _)| next < end)
            .map(|(p, next, ..)| {
                FetchPartition::default().with_partition(*p).with_fetch_offset(*next).with_last_fetched_epoch(-1).with_current_leader_epoch(-1).with_partition_max_bytes(FETCH_BYTES / 2)
            })
            .collect();
        if wanted.is_empty() {
            break;
        }
        let name = TopicName(StrBytes::from_static_str(topic));
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(vec![FetchTopic::default().with_topic(name).with_partitions(wanted)]);
        let response = from.send(12, &request).await.expect("a fetch");
        for data in response.responses.into_iter().flat_map(|t| t.partitions) {
            let entry = state.iter_mut().find(|s| s.0 == data.partition_index).expect("a partition of ours");
            for batch in batch::split(data.records.unwrap_or_default()).expect("whole batches") {
                entry.1 = batch.next_offset();
                entry.3.push_back(batch);
            }
        }
        while state.iter().any(|s| !s.3.is_empty()) {
            let batches: Vec<(i32, Bytes, Bytes)> = state
                .iter_mut()
                .filter_map(|s| {
                    let batch = s.3.pop_front()?;
                    let stamp = ProducerStamp { producer_id: producer.producer_id, producer_epoch: producer.producer_epoch, base_sequence: batch.base_offset as i32 };
                    Some((s.0, batch.header_for(stamp), batch.payload()))
                })
                .collect();
            under_way.push_back(to.send_frames(ApiKey::Produce as i16, 8, body(topic, batches)));
        }
        // One round stays under way while the next is fetched.
        while under_way.len() > 16 {
            expect(under_way.pop_front()).await;
        }
    }
    while let Some(pending) = under_way.pop_front() {
        expect(Some(pending)).await;
    }
}

async fn expect(pending: Option<kferry::kafka::connection::PendingRaw>) {
    let Some(pending) = pending else { return };
    let mut answer = pending.await.expect("an answer");
    let response = ProduceResponse::decode(&mut answer, 8).expect("a produce response");
    for partition in response.responses.iter().flat_map(|t| &t.partition_responses) {
        assert_eq!(partition.error_code, 0, "partition {}", partition.index);
    }
}

fn body(topic: &str, batches: Vec<(i32, Bytes, Bytes)>) -> Vec<Bytes> {
    let mut head = BytesMut::new();
    head.put_i16(-1);
    head.put_i16(-1);
    head.put_i32(15_000);
    head.put_i32(1);
    head.put_i16(topic.len() as i16);
    head.extend_from_slice(topic.as_bytes());
    head.put_i32(batches.len() as i32);
    let mut parts = Vec::new();
    for (partition, header, payload) in batches {
        head.put_i32(partition);
        head.put_i32((header.len() + payload.len()) as i32);
        head.extend_from_slice(&header);
        parts.push(head.split().freeze());
        parts.push(payload);
    }
    parts
}
