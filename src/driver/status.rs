//! `status`: what the journal says, and what the clusters say now. Nothing is locked and nothing is changed.

mod look;
mod report;
mod throughput;
mod waiting;

pub use look::{Look, SideLook};
pub use report::*;

#[cfg(test)]
pub(crate) use report::tests as tests_support;

use super::context::Interrupt;
use crate::config::Config;
use crate::domain::runbook::Paths;
use crate::error::{Code, Error, Result};
use crate::journal::{Follower, Journal};
use crate::machine::fold::Migration;
use jiff::Timestamp;
use look::Looker;
use std::path::Path;
use throughput::Throughput;

/// Follows one migration.
pub struct Observer<'a> {
    config: &'a Config,
    journal_dir: &'a Path,
    follower: Follower,
    migration: Option<Migration>,
    throughput: Throughput,
    looker: Looker<'a>,
}

impl<'a> Observer<'a> {
    pub fn new(config: &'a Config, journal_dir: &'a Path) -> Self {
        Self {
            config,
            journal_dir,
            follower: Follower::new(journal_dir),
            migration: None,
            throughput: Throughput::default(),
            looker: Looker::new(config),
        }
    }

    /// The migration as it stands now. Clusters that do not answer within a few seconds are said not to.
    ///
    /// **Errors**: the journal's; KF-INTERRUPTED.
    pub async fn observe(&mut self, interrupt: &Interrupt, paths: Paths<'_>) -> Result<Status> {
        for entry in self.follower.read_new()? {
            Migration::step(&mut self.migration, entry.seq, entry.at, &entry.fact)
                .map_err(|e| Error::new(Code::JournalCorrupt, format!("journal line {}: {}", entry.seq, e.seen())))?;
            self.throughput.absorb(entry.at, &entry.fact);
        }
        let Some(migration) = &self.migration else { return Err(Error::new(Code::JournalMissing, "the journal has no entry")) };
        let look = interrupt.or(async { Ok(self.looker.look(migration).await) }).await?;
        Ok(Status::of(Facts {
            config: self.config,
            migration,
            throughput: &self.throughput,
            look: &look,
            writer: Journal::writer(self.journal_dir),
            paths,
            now: Timestamp::now(),
        }))
    }
}
