//! A Kafka Streams application, exactly once, in a JVM of its own.

use std::time::Duration;

use super::cache;
use super::cluster::{LOG4J, java};
use super::process::Process;
use super::workdir::WorkDir;

const STOP: Duration = Duration::from_secs(40);

/// Counts the input's records by their values into the output, one running count per record (`java/apps/Counter.java`).
///
/// Its group, its repartition topic and its changelog begin with its application id.
pub struct StreamsApp {
    id: String,
    input: String,
    output: String,
    process: Option<Process>,
    // Last: what runs in it is dropped before it.
    dir: WorkDir,
}

impl StreamsApp {
    pub fn new(application_id: &str, input: &str, output: &str) -> Self {
        let dir = WorkDir::new("streams");
        dir.dir("tmp");
        dir.file("log4j.properties", LOG4J);
        Self { id: application_id.into(), input: input.into(), output: output.into(), process: None, dir }
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.id
    }

    pub fn repartition_topic(&self) -> String {
        format!("{}-by-customer-repartition", self.id)
    }

    pub fn changelog_topic(&self) -> String {
        format!("{}-counts-changelog", self.id)
    }

    /// Starts it; nothing but the bootstrap address differs from one start to another.
    pub fn start(&mut self, bootstrap: &str) {
        assert!(self.process.is_none(), "{} is running", self.id);
        let props = format!(
            "bootstrap.servers={bootstrap}
application.id={}
processing.guarantee=exactly_once_v2
num.stream.threads=2
commit.interval.ms=100
# Every count goes downstream by itself.
statestore.cache.max.bytes=0
repartition.purge.interval.ms=1000
replication.factor=1
state.dir={}
auto.offset.reset=earliest
# Kafka Streams does not leave its group when it closes: whoever wants it empty waits this long.
session.timeout.ms=6000
heartbeat.interval.ms=1000
",
            self.id,
            self.dir.path().join("state").display()
        );
        let props = self.dir.file("streams.properties", &props);
        let mut command = java(self.dir.path(), "256m", false, &cache::counter());
        command.arg("Counter").arg(props).args([&self.input, &self.output]);
        self.process = Some(Process::start(&self.id, &self.dir.path().join("streams.log"), &mut command));
    }

    /// SIGTERM: it commits and closes. Its members stay in the group until their session has expired.
    pub fn stop(&mut self) {
        self.expect_running();
        let mut process = self.process.take().expect("it is running");
        process.signal(libc::SIGTERM);
        assert!(process.wait(STOP).is_some(), "{} does not end\n{}", self.id, process.log_tail());
    }

    /// SIGKILL: what its open transactions hold is aborted when it starts again, where it kept its local state.
    pub fn kill(&mut self) {
        self.expect_running();
        self.process.take().expect("it is running").kill();
    }

    /// Deletes the local state: what it knows at its next start comes from the changelog.
    pub fn forget_state(&self) {
        assert!(self.process.is_none(), "{} is running", self.id);
        let state = self.dir.path().join("state");
        std::fs::remove_dir_all(&state).unwrap_or_else(|e| panic!("{}: {e}", state.display()));
    }

    /// Panics with the end of its log if it was not started or has ended by itself.
    #[track_caller]
    pub fn expect_running(&mut self) {
        let process = self.process.as_mut().unwrap_or_else(|| panic!("{} was not started", self.id));
        assert!(process.is_running(), "{} ended\n{}", self.id, process.log_tail());
    }
}
