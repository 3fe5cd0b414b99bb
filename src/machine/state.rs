//! The eleven states and the one transition function.

use super::fact::{Effect, Fact};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    Planned,
    Precheck,
    TopologyCopy,
    Seed,
    Tail,
    DrainReady,
    Cutover,
    AwaitingClientSwitch,
    Validating,
    Finalized,
    RolledBack,
}

impl State {
    pub const ALL: [State; 11] = [
        State::Planned, State::Precheck, State::TopologyCopy, State::Seed, State::Tail, State::DrainReady,
        State::Cutover, State::AwaitingClientSwitch, State::Validating, State::Finalized, State::RolledBack,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Precheck => "precheck",
            State::TopologyCopy => "topology_copy",
            State::Seed => "seed",
            State::Tail => "tail",
            State::DrainReady => "drain_ready",
            State::Cutover => "cutover",
            State::AwaitingClientSwitch => "awaiting_client_switch",
            State::Validating => "validating",
            State::Finalized => "finalized",
            State::RolledBack => "rolled_back",
        }
    }

    /// Whether the cutover has been committed, so that the target is the cluster of record.
    pub fn committed(self) -> bool {
        matches!(self, State::AwaitingClientSwitch | State::Validating | State::Finalized)
    }

    pub fn terminal(self) -> bool {
        matches!(self, State::Finalized | State::RolledBack)
    }

    /// The command that takes the migration on from here; None when nothing is left to do.
    pub fn next_command(self) -> Option<&'static str> {
        match self {
            State::Planned | State::Precheck | State::TopologyCopy | State::Seed | State::Tail => Some("execute"),
            State::DrainReady | State::Cutover => Some("cutover"),
            State::AwaitingClientSwitch => Some("cutover-ack"),
            State::Validating => Some("validate, then finalize"),
            State::Finalized | State::RolledBack => None,
        }
    }

    /// The state after `fact`, for every legal pair; None where the fact moves nothing; an error where it may not happen.
    pub fn after(self, fact: &Fact) -> Result<Option<State>> {
        use State::*;
        let next = match (self, fact) {
            (Planned, Fact::PrecheckStarted) => Precheck,
            (Precheck, Fact::PrecheckStarted) => Precheck,
            (Precheck, Fact::TopologyCopyStarted) => TopologyCopy,
            (TopologyCopy, Fact::SeedStarted { .. }) => Seed,
            // A quarantined partition is refilled from the start, from whatever state found it.
            (Seed | Tail | DrainReady, Fact::SeedStarted { .. }) => Seed,
            (Seed, Fact::TailStarted) => Tail,
            (Tail, Fact::DrainReadyReached { .. }) => DrainReady,
            (DrainReady, Fact::DrainReadyLost { .. }) => Tail,
            (DrainReady, Fact::CutoverStarted { .. }) => Cutover,
            (Cutover, Fact::CutoverAbandoned { .. }) => Tail,
            (Cutover, Fact::CutoverCommitted { .. }) => AwaitingClientSwitch,
            (AwaitingClientSwitch, Fact::ClientSwitchAcknowledged { .. }) => Validating,
            (Validating, Fact::Finalized { .. }) => Finalized,
            (Planned | Precheck | TopologyCopy | Seed | Tail | DrainReady | AwaitingClientSwitch, Fact::RolledBack { .. }) => RolledBack,

            (
                _,
                Fact::PrecheckStarted | Fact::TopologyCopyStarted | Fact::SeedStarted { .. } | Fact::TailStarted
                | Fact::DrainReadyReached { .. } | Fact::DrainReadyLost { .. } | Fact::CutoverStarted { .. }
                | Fact::CutoverAbandoned { .. } | Fact::CutoverCommitted { .. } | Fact::ClientSwitchAcknowledged { .. }
                | Fact::Finalized { .. } | Fact::RolledBack { .. } | Fact::MigrationPlanned { .. },
            ) => {
                return Err(Error::new(Code::StateIllegal, format!("{} may not happen in state {self}", fact.name())));
            }

            (
                _,
                Fact::GrantRecorded { .. } | Fact::PrecheckCompleted { .. } | Fact::TopologyCopied { .. }
                | Fact::SeedCompleted { .. } | Fact::PartitionsTaken { .. } | Fact::ProducerRenewed { .. } | Fact::OffsetsMapped { .. } | Fact::CopyCheckpointed { .. }
                | Fact::PartitionQuarantined { .. } | Fact::ProducersFrozen { .. } | Fact::FreezeProven { .. }
                | Fact::SentinelsWritten { .. } | Fact::Drained { .. } | Fact::GroupOffsetsCommitted { .. }
                | Fact::TargetReleased { .. } | Fact::LateWritesAccepted { .. } | Fact::Validated { .. } | Fact::BundleStored { .. }
                | Fact::EffectIntended { .. } | Fact::EffectCompleted { .. } | Fact::EffectRefused { .. } | Fact::AttemptFailed { .. }
                | Fact::Interrupted { .. } | Fact::ClusterObserved { .. },
            ) => return Ok(None),
        };
        Ok(Some(next))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fact {
    /// The fact's name in the journal.
    pub fn name(&self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v["fact"].as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Effect {
    /// The effect's name in the journal.
    pub fn name(&self) -> String {
        serde_json::to_value(self).ok().and_then(|v| v["effect"].as_str().map(str::to_owned)).unwrap_or_default()
    }
}
