//! MirrorMaker 2, tuned, for comparison.

use std::time::Duration;

use super::cluster::{Cluster, LOG4J, java};
use super::process::Process;
use super::workdir::WorkDir;
use super::cache;

/// Copies every topic that matches from one cluster to another, under its own name, until stopped.
pub struct MirrorMaker {
    process: Process,
    dir: WorkDir,
}

impl MirrorMaker {
    pub fn start(source: &Cluster, target: &Cluster, topics: &str) -> Self {
        let dir = WorkDir::new("mirror");
        dir.dir("tmp");
        dir.file("log4j.properties", LOG4J);
        let props = format!(
            "clusters=source,target
source.bootstrap.servers={}
target.bootstrap.servers={}
source->target.enabled=true
target->source.enabled=false
source->target.topics={topics}
replication.policy.class=org.apache.kafka.connect.mirror.IdentityReplicationPolicy
tasks.max=4
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=5
emit.heartbeats.enabled=false
emit.checkpoints.enabled=false
emit.offset-syncs.enabled=false
sync.topic.configs.enabled=true
sync.topic.acls.enabled=false
sync.group.offsets.enabled=false
refresh.topics.interval.seconds=5
refresh.groups.enabled=false
offset.flush.interval.ms=5000
scheduled.rebalance.max.delay.ms=1000
source.consumer.fetch.max.bytes=52428800
source.consumer.max.partition.fetch.bytes=8388608
source.consumer.max.poll.records=20000
source.consumer.fetch.min.bytes=262144
source.consumer.fetch.max.wait.ms=100
source.consumer.auto.offset.reset=earliest
target.producer.compression.type=lz4
target.producer.batch.size=1048576
target.producer.linger.ms=20
target.producer.buffer.memory=134217728
target.producer.max.request.size=12582912
dedicated.mode.enable.internal.rest=false
",
            source.bootstrap(),
            target.bootstrap()
        );
        let props = dir.file("mm2.properties", &props);
        let mut command = java(dir.path(), "2g", true, &cache::mirror_3_9());
        command.arg("org.apache.kafka.connect.mirror.MirrorMaker").arg(props);
        let process = Process::start("MirrorMaker", &dir.path().join("mirror.log"), &mut command);
        Self { process, dir }
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Panics with the end of its log if it has ended by itself.
    pub fn expect_running(&mut self) {
        assert!(self.process.is_running(), "MirrorMaker ended\n{}", self.process.log_tail());
    }

    pub fn stop(&mut self) {
        self.process.stop(Duration::from_secs(20));
    }
}
