//! What every command that works on a migration starts with: runtime, clusters, stores, journal, signals.

use super::limits::GIVEN_UP_PATIENCE;
use super::{changes, locating};
use crate::cli::flags;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::kafka::cluster::{Cluster, Side};
use crate::kafka::source::Source;
use crate::kafka::target::Target;
use crate::license::{self, Grant};
use crate::machine::fact::{Effect, Fact};
use crate::machine::fold::Migration;
use crate::machine::state::State;
use crate::store::{self, ObjectStore};
use jiff::Timestamp;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs a command's future to its end on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::Bug, format!("the async runtime cannot start: {e}")))?;
    // On the heap: unoptimised, a command is too much for the stack to carry around.
    let result = runtime.block_on(Box::pin(future));
    runtime.block_on(store::given_up(GIVEN_UP_PATIENCE));
    // What else is still under way (a long poll) is not waited for.
    runtime.shutdown_background();
    result
}

/// SIGINT and SIGTERM, as a value that commands look at between steps.
#[derive(Clone)]
pub struct Interrupt(watch::Receiver<Option<&'static str>>);

impl Interrupt {
    /// Begins to listen; a second signal ends the process at once with exit code 130.
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|e| Error::new(Code::Bug, format!("signals cannot be listened to: {e}")));
        let (mut int, mut term) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (seen, receiver) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = int.recv() => "SIGINT",
                    _ = term.recv() => "SIGTERM",
                };
                if seen.borrow().is_some() {
                    std::process::exit(crate::error::Exit::Interrupted as i32);
                }
                seen.send_replace(Some(name));
            }
        });
        Ok(Self(receiver))
    }

    /// The signal that has come, if any.
    pub fn seen(&self) -> Option<&'static str> {
        *self.0.borrow()
    }

    /// Fails once a signal has come.
    pub fn check(&self) -> Result<()> {
        match self.seen() {
            Some(signal) => Err(interrupted(signal)),
            None => Ok(()),
        }
    }

    /// Resolves when a signal comes.
    pub async fn wait(&mut self) -> &'static str {
        loop {
            if let Some(signal) = self.seen() {
                return signal;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits for a future, or fails when a signal comes first; the future is dropped then.
    pub async fn or<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let mut interrupt = self.clone();
        tokio::select! {
            biased;
            signal = interrupt.wait() => Err(interrupted(signal)),
            result = future => result,
        }
    }
}

fn interrupted(signal: &str) -> Error {
    Error::new(Code::Interrupted, format!("{signal} was received; what was journaled stands"))
}

/// Both clusters, connected.
pub struct Clusters {
    pub source_cluster: Cluster,
    pub target_cluster: Cluster,
    pub source: Source,
    pub target: Target,
}

impl Clusters {
    /// Connects to both clusters of a migration that has begun, looked up first where they are given by ARN.
    ///
    /// Where it is `urgent`, since producers stand still or have to be told, the plan's addresses are tried before anything is
    /// looked up. **Errors**: as for [`locating::locate_both`] and [`Clusters::connect`].
    async fn find(config: &Config, migration: Option<&Migration>, urgent: bool) -> Result<(Config, Self)> {
        if let Some(migration) = migration.filter(|m| urgent && (m.plan.source_msk.is_some() || m.plan.target_msk.is_some())) {
            let planned = locating::recalled_both(config, migration);
            match Self::connect(&planned).await {
                Ok(clusters) => return Ok((planned, clusters)),
                Err(error) => tracing::warn!(%error, "the clusters are looked up again"),
            }
        }
        let located = locating::locate_both(config, migration).await?;
        let clusters = Self::connect(&located).await?;
        Ok((located, clusters))
    }

    pub async fn connect(config: &Config) -> Result<Self> {
        let (source_cluster, target_cluster) =
            futures::try_join!(Cluster::connect(Side::Source, &config.source), Cluster::connect(Side::Target, &config.target))?;
        Ok(Self { source: Source::new(&source_cluster), target: Target::new(&target_cluster), source_cluster, target_cluster })
    }
}

/// A migration under way: its configuration, its journal, both clusters and the segment store.
pub struct Context {
    pub config: Config,
    pub journal: Journal,
    pub clusters: Clusters,
    pub store: Arc<dyn ObjectStore>,
    pub interrupt: Interrupt,
}

impl Context {
    /// Opens the journal of a migration that has begun, and connects to everything it needs.
    ///
    /// **Errors**: the journal's; KF-JOURNAL-FOREIGN where the clusters are not those of the plan; KF-STATE-ILLEGAL where
    /// `legal` does not hold; KF-LICENSE-* without a grant.
    pub async fn resume(config: Config, args: &flags::Migration, command: &str, legal: impl Fn(State) -> bool) -> Result<Self> {
        let journal = Journal::open_existing(&args.journal_dir)?;
        let state = journal.state().ok_or_else(|| Error::new(Code::JournalMissing, "the journal has no entry"))?;
        let journaled = journal.migration().map_or("", |m| m.id());
        if let Some(configured) = config.migration_id.as_deref().filter(|id| *id != journaled) {
            return Err(Error::new(Code::JournalForeign, format!("the journal is migration {journaled}'s, but the configuration is {configured}'s")));
        }
        if !legal(state) {
            let next = state.next_command().map_or("nothing is left to do".to_owned(), |next| format!("next is `kferry {next}`"));
            return Err(Error::new(Code::StateIllegal, format!("`{command}` is not legal in state {state}; {next}")));
        }
        let interrupt = Interrupt::listen()?;
        let migration = journal.migration();
        if let Some(migration) = migration {
            if state < State::Cutover && command != "rollback" {
                changes::refuse(&config, migration)?;
            }
            changes::tell(&config, migration);
        }
        let (config, clusters) = interrupt.or(Clusters::find(&config, migration, state >= State::Cutover)).await?;
        let store = store::open(&config.backup).await?;
        check_clusters(&journal, &clusters)?;
        let mut context = Self { config, journal, clusters, store, interrupt };
        context.grant()?;
        Ok(context)
    }

    /// Takes the licence, the trial, or the grant that the journal holds; a new one is journaled.
    pub fn grant(&mut self) -> Result<Grant> {
        let migration = self.migration()?;
        let journaled = migration.grant.clone();
        let grant = license::obtain(license::FEATURE, migration.id(), Timestamp::now(), journaled.as_ref())?;
        if journaled.as_ref() != Some(&grant) {
            self.record(Fact::GrantRecorded { grant: grant.clone() })?;
        }
        Ok(grant)
    }

    /// The migration as the journal tells it.
    pub fn migration(&self) -> Result<&Migration> {
        self.journal.migration().ok_or_else(|| Error::new(Code::JournalMissing, "the journal has no entry"))
    }

    /// Makes a fact durable.
    pub fn record(&mut self, fact: Fact) -> Result<u64> {
        self.journal.append(&fact, Timestamp::now())
    }

    /// Journals an effect as intended and returns its number.
    pub fn intend(&mut self, effect: Effect) -> Result<u64> {
        let id = self.migration()?.footprint.next_effect_id();
        self.record(Fact::EffectIntended { id, effect })?;
        Ok(id)
    }

    pub fn complete(&mut self, id: u64, outcome: impl Into<String>) -> Result<()> {
        self.record(Fact::EffectCompleted { id, outcome: outcome.into() }).map(drop)
    }

    /// Journals that an effect was certainly not made.
    pub fn refuse(&mut self, id: u64, seen: impl Into<String>) -> Result<()> {
        self.record(Fact::EffectRefused { id, seen: seen.into() }).map(drop)
    }

    /// Journals why a command ends without having done its work, and passes the error on.
    pub fn failed(&mut self, error: Error) -> Error {
        let fact = match error.code() {
            Code::Interrupted => Fact::Interrupted { signal: self.interrupt.seen().unwrap_or("unknown").to_owned() },
            // The journal itself cannot be written then.
            Code::JournalUnwritable => return error,
            code => Fact::AttemptFailed { code: code.as_str().to_owned(), seen: error.seen().to_owned(), remedy: code.remedy().to_owned() },
        };
        if let Err(unrecorded) = self.record(fact) {
            tracing::error!(%unrecorded, "the failure could not be journaled");
        }
        error
    }
}

/// Fails where the clusters are not those of the journal's plan.
fn check_clusters(journal: &Journal, clusters: &Clusters) -> Result<()> {
    let Some(plan) = journal.migration().map(|m| &m.plan) else { return Ok(()) };
    let foreign = |side: &str, seen: &str, planned: &str| {
        Err(Error::new(Code::JournalForeign, format!("the {side} is cluster {seen}, but the journal's plan was made for {planned}")))
    };
    let (source_id, target_id) = (clusters.source.cluster_id(), clusters.target.cluster_id());
    if source_id != plan.source.cluster_id {
        return foreign("source", &source_id, &plan.source.cluster_id);
    }
    match &plan.target {
        Some(target) if target.cluster_id != target_id => foreign("target", &target_id, &target.cluster_id),
        _ => Ok(()),
    }
}
