//! One migration as an operator runs it: configuration, keys, commands with their exit codes, and what lies in the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::journal;
use crate::lab::{Agent, Cluster, FaultProxy, Judgement, Kferry, Mode, Options, Outcome, Running, S3, WorkDir};
use crate::webhook::Webhook;

/// The bucket that every scenario may use; prefixes keep them apart.
pub const BUCKET: &str = "kferry";

/// Whether the slow matrix was asked for; sizes and lengths follow it.
pub fn full() -> bool {
    std::env::var("KFERRY_FULL").is_ok_and(|value| value == "1")
}

/// A source, a target and an object store.
pub struct Lab {
    pub source: Cluster,
    pub target: Cluster,
    pub s3: S3,
}

impl Lab {
    pub fn start(brokers: usize, source: Options, target: Options) -> Self {
        Self::start_from(Mode::ZooKeeper, brokers, source, target)
    }

    fn start_from(mode: Mode, brokers: usize, source: Options, target: Options) -> Self {
        let (source, target, s3) = std::thread::scope(|scope| {
            let source = scope.spawn(move || Cluster::start(mode, brokers, source));
            let target = scope.spawn(|| Cluster::kraft(brokers, target));
            scope.spawn(Agent::shared);
            let s3 = S3::launch();
            s3.create_bucket(BUCKET);
            (source.join().unwrap(), target.join().unwrap(), s3)
        });
        Self { source, target, s3 }
    }

    /// One broker on each side, the target's behind a proxy too, shared by all scenarios that do not need their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Lab> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(1, Options::default(), Options::default().proxied()))
    }

    /// One KRaft broker on each side, with every kind of group that ZooKeeper cannot have; shared as the other pair is.
    pub fn kraft() -> &'static Self {
        static KRAFT: OnceLock<Lab> = OnceLock::new();
        KRAFT.get_or_init(|| Self::start_from(Mode::KRaft, 1, Options::default().every_kind_of_group(), Options::default().every_kind_of_group()))
    }

    /// A migration from this source to this target through S3, topics and groups by the id as their prefix.
    pub fn setup(&self, id: &str) -> Setup {
        Setup::new(id, &self.source.bootstrap(), &self.target.bootstrap(), &self.s3)
    }
}

/// What a migration is configured with.
pub struct Setup {
    id: String,
    pub source: String,
    pub target: String,
    /// The lines below `auth:` of source and target; none where nothing is said about it.
    auth: [Vec<(&'static str, String)>; 2],
    /// What stands in place of `bootstrap_servers` below source and target; none where those do.
    by_arn: [Vec<(&'static str, String)>; 2],
    pub topics: Vec<String>,
    pub groups: Vec<String>,
    offsets: Option<String>,
    s3_endpoint: String,
    s3_root: PathBuf,
    env: Vec<(String, String)>,
    sections: BTreeMap<String, BTreeMap<String, String>>,
    webhook: bool,
    signing_key: bool,
}

impl Setup {
    fn new(id: &str, source: &str, target: &str, s3: &S3) -> Self {
        let setup = Self {
            id: id.into(),
            source: source.into(),
            target: target.into(),
            auth: Default::default(),
            by_arn: Default::default(),
            topics: vec![format!("{id}-*")],
            groups: vec![format!("{id}-*")],
            offsets: None,
            s3_endpoint: s3.endpoint(),
            s3_root: s3.bucket_dir(BUCKET),
            env: s3.env(),
            sections: BTreeMap::new(),
            webhook: true,
            signing_key: true,
        };
        setup
            .set("seed.memory_max_bytes", "64MiB")
            .set("seed.segment_max_bytes", "4MiB")
            .set("cutover.drain_stable_window", "1s")
            .set("cutover.drain_timeout", "5m")
            .set("cutover.freeze_settle_window", "300ms")
            .set("cutover.max_producer_freeze", "30s")
    }

    /// `section.key`, as the configuration names it.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let (section, key) = key.split_once('.').expect("a key below a section");
        self.sections.entry(section.into()).or_default().insert(key.into(), value.into());
        self
    }

    /// Takes back what was set.
    pub fn without(mut self, key: &str) -> Self {
        let (section, key) = key.split_once('.').expect("a key below a section");
        self.sections.entry(section.into()).or_default().remove(key);
        self
    }

    pub fn topics(mut self, patterns: &[&str]) -> Self {
        self.topics = patterns.iter().map(|p| p.to_string()).collect();
        self
    }

    /// `auto`, `identical` or `mapped`.
    pub fn offsets(mut self, mode: &str) -> Self {
        self.offsets = Some(mode.into());
        self
    }

    /// Other bootstrap servers for the target, a proxy's for instance.
    pub fn target(mut self, bootstrap: &str) -> Self {
        self.target = bootstrap.into();
        self
    }

    pub fn source(mut self, bootstrap: &str) -> Self {
        self.source = bootstrap.into();
        self
    }

    /// The source by its ARN, with more lines beside it.
    pub fn source_by_arn(mut self, arn: &str, more: &[(&'static str, &str)]) -> Self {
        self.by_arn[0] = by_arn(arn, more);
        self
    }

    pub fn target_by_arn(mut self, arn: &str, more: &[(&'static str, &str)]) -> Self {
        self.by_arn[1] = by_arn(arn, more);
        self
    }

    /// Who kferry is to the source and to the target.
    pub fn source_auth(mut self, lines: &[(&'static str, String)]) -> Self {
        self.auth[0] = lines.to_vec();
        self
    }

    pub fn target_auth(mut self, lines: &[(&'static str, String)]) -> Self {
        self.auth[1] = lines.to_vec();
        self
    }

    /// A variable of the environment that kferry runs in.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(have, _)| have != name);
        self.env.push((name.into(), value.into()));
        self
    }

    /// Puts faults between kferry and its store.
    pub fn store_through(mut self, proxy: &FaultProxy) -> Self {
        self.s3_endpoint = proxy.endpoint();
        self
    }

    pub fn manual_freeze(mut self) -> Self {
        self.webhook = false;
        self
    }

    pub fn without_signing_key(mut self) -> Self {
        self.signing_key = false;
        self
    }

    fn yaml(&self, webhook: &Webhook) -> String {
        let list = |all: &[String]| all.iter().map(|p| format!("\"{p}\"")).collect::<Vec<_>>().join(", ");
        let store = |section: &str, folder: &str| -> String {
            let prefix = format!("{}/{folder}/", self.id);
            let keys = [("s3_bucket", BUCKET), ("s3_prefix", &prefix), ("region", S3::REGION), ("endpoint_url", &self.s3_endpoint)];
            let said = |key: &str| self.sections.get(section).is_some_and(|keys| keys.contains_key(key));
            keys.iter().filter(|(key, _)| !said(key)).map(|(key, value)| format!("    {key}: {value}\n")).collect()
        };
        let mut sections = self.sections.clone();
        let mut taken = |name: &str| -> String {
            let keys = sections.remove(name).unwrap_or_default();
            keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect()
        };
        let mut text = format!("kferry:\n  migration_id: {}\n", self.id);
        for (side, servers, auth, by_arn) in [("source", &self.source, &self.auth[0], &self.by_arn[0]), ("target", &self.target, &self.auth[1], &self.by_arn[1])] {
            let _ = writeln!(text, "  {side}:");
            if by_arn.is_empty() {
                let _ = writeln!(text, "    bootstrap_servers: \"{servers}\"");
            }
            for (key, value) in by_arn {
                let _ = writeln!(text, "    {key}: {value}");
            }
            for (index, (key, value)) in auth.iter().enumerate() {
                let _ = writeln!(text, "{}      {key}: {value}", if index == 0 { "    auth:\n" } else { "" });
            }
        }
        let _ = write!(text, "  topics:\n    include: [{}]\n{}  groups:\n    include: [{}]\n", list(&self.topics), taken("topics"), list(&self.groups));
        text += &self.offsets.iter().map(|mode| format!("  offsets: {mode}\n")).collect::<String>();
        let _ = write!(text, "  backup:\n{}{}  evidence:\n{}{}", store("backup", "segments"), taken("backup"), store("evidence", "evidence"), taken("evidence"));
        if self.signing_key {
            text += "    signing_key_path: kferry.key\n";
        }
        let _ = write!(text, "  cutover:\n{}", taken("cutover"));
        if self.webhook {
            let _ = writeln!(text, "    freeze: webhook\n    producer_freeze_webhook: \"{}\"", webhook.url());
        } else {
            text += "    freeze: manual\n";
        }
        for (name, keys) in sections {
            let _ = writeln!(text, "  {name}:");
            for (key, value) in keys {
                let _ = writeln!(text, "    {key}: {value}");
            }
        }
        text
    }

    /// Writes the configuration and a signing key into a directory of its own; no command has run yet.
    #[track_caller]
    pub fn begin(self) -> Migration {
        let dir = WorkDir::new(&format!("migration-{}", self.id));
        let webhook = Webhook::start();
        dir.file("kferry.yaml", &self.yaml(&webhook));
        let kferry = kferry(dir.path(), &self.env);
        kferry.run(&["keygen", "--out", "kferry.key"]).ok();
        Migration { webhook, setup: self, kferry, dir }
    }
}

fn by_arn(arn: &str, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    std::iter::once(("cluster_arn", arn.to_owned())).chain(more.iter().map(|(key, value)| (*key, (*value).to_owned()))).collect()
}

/// A migration with its directory, its receiver and its producers.
pub struct Migration {
    pub webhook: Webhook,
    pub setup: Setup,
    kferry: Kferry,
    // Last: what works in it ends before it.
    dir: WorkDir,
}

/// The binary in a migration's directory, with a home and a licence state of its own.
fn kferry(dir: &Path, env: &[(String, String)]) -> Kferry {
    let home = dir.display().to_string();
    Kferry::new(dir)
        .envs(env.to_vec())
        .env("HOME", &home)
        .env("XDG_STATE_HOME", format!("{home}/state"))
        .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "kferry=info,warn".into()))
}

const JOURNAL: &str = "journal";

impl Migration {
    pub fn id(&self) -> &str {
        &self.setup.id
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn journal_dir(&self) -> PathBuf {
        self.dir.path().join(JOURNAL)
    }

    /// The binary in this migration's directory.
    pub fn kferry(&self) -> &Kferry {
        &self.kferry
    }

    /// Another way to run it there; what it printed is kept as long as this is.
    pub fn another_kferry(&self) -> Kferry {
        kferry(self.dir.path(), &self.setup.env)
    }

    fn arguments(command: &str) -> Vec<&str> {
        match command {
            "plan" => vec!["plan", "--config", "kferry.yaml", "--out-dir", "plan", "--force"],
            "precheck" => vec!["precheck", "--config", "kferry.yaml", "--output", "json"],
            "status" => vec!["status", "--config", "kferry.yaml", "--journal-dir", JOURNAL, "--output", "json"],
            _ => vec![command, "--config", "kferry.yaml", "--journal-dir", JOURNAL],
        }
    }

    /// Runs one command to its end, whatever that is.
    #[track_caller]
    pub fn run(&self, command: &str) -> Outcome {
        self.kferry.run(&Self::arguments(command))
    }

    /// The same under another environment.
    #[track_caller]
    pub fn run_with(&self, command: &str, env: &[(&str, String)]) -> Outcome {
        let env = env.iter().map(|(name, value)| (name.to_string(), value.clone()));
        self.another_kferry().envs(env).run(&Self::arguments(command))
    }

    pub fn spawn(&self, command: &str) -> Running {
        self.kferry.spawn(&Self::arguments(command))
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        self.run("status").ok().json()
    }

    // ---- the journal

    pub fn facts(&self) -> Vec<Value> {
        journal::facts(&self.journal_dir())
    }

    /// The last fact of this name.
    pub fn fact(&self, name: &str) -> Option<Value> {
        self.facts().into_iter().rev().find(|fact| fact["fact"] == name)
    }

    #[track_caller]
    pub fn expect_fact(&self, name: &str) -> Value {
        self.fact(name).unwrap_or_else(|| panic!("the journal has no {name}; it has {:?}", self.kinds()))
    }

    pub fn kinds(&self) -> Vec<String> {
        let facts = self.facts();
        (0..facts.len()).map(|index| journal::kind(&facts, index)).collect()
    }

    pub fn state(&self) -> Option<&'static str> {
        journal::state(&self.facts())
    }

    #[track_caller]
    pub fn expect_state(&self, state: &str) {
        assert_eq!(self.state(), Some(state), "the journal has {:?}", self.kinds());
    }

    /// Waits until a fact stands in the journal, while this command runs.
    #[track_caller]
    pub fn wait_for_fact(&self, running: &mut Running, name: &str, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.fact(name).is_none() {
            let (stdout, stderr) = running.printed();
            assert!(running.is_running(), "it ended before {name}; journal {:?}\n{stdout}\n{stderr}", self.kinds());
            assert!(Instant::now() < deadline, "no {name} after {timeout:?}; journal {:?}\n{stdout}\n{stderr}", self.kinds());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A count of the copy, over the last checkpoints of all partitions.
    pub fn counted(&self, count: &str) -> u64 {
        self.checkpoints().iter().map(|checkpoint| checkpoint["counts"][count].as_u64().unwrap_or(0)).sum()
    }

    /// The last checkpoint of each partition, in the order of topics and numbers.
    pub fn checkpoints(&self) -> Vec<Value> {
        let mut last = BTreeMap::new();
        for fact in self.facts().into_iter().filter(|fact| fact["fact"] == "copy_checkpointed") {
            for checkpoint in fact["partitions"].as_array().into_iter().flatten() {
                last.insert((checkpoint["topic"].to_string(), checkpoint["partition"].as_i64()), checkpoint.clone());
            }
        }
        last.into_values().collect()
    }

    /// Where this migration's logs end on the target, taken together.
    pub fn copied(&self, target: &str) -> i64 {
        let prefix = format!("{}-", self.id());
        Agent::shared().offsets(target).iter().filter(|((topic, _), _)| topic.starts_with(&prefix)).map(|(_, span)| span.log_end).sum()
    }

    /// Waits until that is at least so far, while this command runs.
    #[track_caller]
    pub fn wait_until_copied(&self, running: &mut Running, target: &str, at_least: i64, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.copied(target) < at_least {
            assert!(running.is_running() && Instant::now() < deadline, "{:?}", running.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    // ---- the way through

    /// The command that takes the migration on; nothing once its bundle is stored.
    pub fn next_command(&self) -> Option<&'static str> {
        let facts = self.facts();
        match journal::state(&facts) {
            None | Some("planned" | "precheck" | "topology_copy" | "seed" | "tail") => Some("execute"),
            Some("drain_ready" | "cutover") => Some("cutover"),
            Some("awaiting_client_switch") => Some("cutover-ack"),
            Some("validating") if !facts.iter().any(|fact| fact["fact"] == "validated") => Some("validate"),
            Some("validating") => Some("finalize"),
            Some("finalized") if !facts.iter().any(|fact| fact["fact"] == "bundle_stored") => Some("finalize"),
            _ => None,
        }
    }

    /// `precheck` finds no blocker; where it finds warnings (everybody may write to a lab cluster) its exit code is 3.
    #[track_caller]
    pub fn precheck(&self) -> Outcome {
        let outcome = self.run("precheck");
        let warnings = outcome.json()["counts"]["warnings"].as_u64().unwrap_or(0);
        outcome.expect_code(if warnings > 0 { 3 } else { 0 })
    }

    #[track_caller]
    pub fn execute(&self) -> Outcome {
        let outcome = self.run("execute").ok();
        self.expect_state("drain_ready");
        outcome
    }

    #[track_caller]
    pub fn cutover(&self) -> Outcome {
        let outcome = self.run("cutover").ok();
        self.expect_state("awaiting_client_switch");
        outcome
    }

    /// From AWAITING_CLIENT_SWITCH to the end; the checks have to pass.
    #[track_caller]
    pub fn conclude(&self) {
        self.run("cutover-ack").ok();
        self.expect_state("validating");
        self.run("validate").ok();
        self.run("finalize").ok();
        self.expect_state("finalized");
    }

    /// Every command from the present state to the end.
    #[track_caller]
    pub fn finish(&self) {
        for _ in 0..12 {
            let Some(command) = self.next_command() else { return };
            self.run(command).ok();
        }
        panic!("no end in sight; the journal has {:?}", self.kinds());
    }

    // ---- the outcome

    /// The bundle's file.
    #[track_caller]
    pub fn bundle(&self) -> PathBuf {
        let stored = self.expect_fact("bundle_stored");
        let key = stored["key"].as_str().expect("a key").to_owned();
        let places = [self.setup.s3_root.join(&self.setup.id).join("evidence").join(&key), self.setup.s3_root.join(&key)];
        places.iter().find(|p| p.is_file()).cloned().unwrap_or_else(|| panic!("no bundle at any of {places:?}"))
    }

    /// What is signed in the bundle.
    #[track_caller]
    pub fn evidence(&self) -> Value {
        use base64::Engine as _;
        let envelope: Value = serde_json::from_slice(&std::fs::read(self.bundle()).unwrap()).unwrap();
        serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
    }

    /// Where the segments of this migration lie.
    pub fn segments(&self) -> PathBuf {
        self.setup.s3_root.join(&self.setup.id).join("segments").join(&self.setup.id).join("segments")
    }

    /// Where the leaves of this migration's trees lie.
    pub fn leaves(&self) -> PathBuf {
        self.setup.s3_root.join(&self.setup.id).join("segments").join(&self.setup.id).join("proofs")
    }

    #[track_caller]
    pub fn verify(&self, bundle: &Path, public_key: &Path, more: &[&str]) -> Outcome {
        let (bundle, key) = (bundle.display().to_string(), public_key.display().to_string());
        self.kferry.run(&[&["verify", &bundle, "--public-key", &key], more].concat())
    }

    pub fn public_key(&self) -> PathBuf {
        self.dir.path().join("kferry.key.pub")
    }

    /// The bundle verifies, offline, against key and journal; answers what `verify` says in JSON.
    #[track_caller]
    pub fn expect_verified(&self) -> Value {
        let journal = self.journal_dir().join("journal.jsonl").display().to_string();
        self.verify(&self.bundle(), &self.public_key(), &["--journal", &journal, "--output", "json"]).ok().json()
    }

    /// Both clusters hold the same, as stock Java consumers see it; the source's producers have to be at rest.
    #[track_caller]
    pub fn expect_same<S: AsRef<str>>(&self, lab: &Lab, topics: &[S]) -> Judgement {
        let judgement = Agent::shared().judge(&lab.source.bootstrap(), &lab.target.bootstrap(), topics);
        judgement.expect_equal();
        judgement
    }

    /// Every record that a live producer has had acknowledged lies on the target.
    #[track_caller]
    pub fn expect_acknowledged_on(&self, bootstrap: &str) -> u64 {
        let stopped = self.webhook.stop_producers();
        let topics: BTreeSet<String> = stopped.iter().flat_map(|totals| totals.partitions.keys()).map(|(topic, _)| topic.clone()).collect();
        let ends = Agent::shared().offsets_of(bootstrap, &topics);
        let mut acknowledged = 0;
        for totals in stopped {
            assert_eq!(totals.refused, 0, "the source refused {:?}", totals.refusal);
            for (partition, (count, last_offset)) in totals.partitions {
                assert!(ends[&partition].log_end > last_offset, "{partition:?} was acknowledged up to {last_offset}, the target ends at {:?}", ends[&partition]);
                acknowledged += count;
            }
        }
        acknowledged
    }
}
