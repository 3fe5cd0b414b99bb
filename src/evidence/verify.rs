//! Verifies a bundle offline, with a key that the auditor brings.

use super::bundle::{BUNDLE_VERSION, Bundle, Extra, PAYLOAD_TYPE, PartitionRoots};
use super::derive::not_covered;
use super::envelope::{self, Verified};
use crate::domain::digest::Digest;
use crate::error::{Code, Error, Result};
use crate::journal::{Chain, Entry};
use crate::machine::fold::Migration;
use crate::machine::state::State;
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;

/// Verifies an envelope's signature, then what is inside against itself.
///
/// A valid signature says who made the bundle; the inner checks say that it is of one piece: the journal's chain holds
/// and folds, its plan has the digest that was journaled, and every other part is what the journal gives.
///
/// **Errors**: KF-BUNDLE-INVALID, naming what does not hold.
pub fn verify(envelope: &[u8], key: &VerifyingKey) -> Result<Verified<Bundle>> {
    let payload = envelope::open(envelope, PAYLOAD_TYPE, key).map_err(|refusal| invalid(refusal.to_string()))?;
    payload.try_map(|payload| {
        let bundle = read(&payload)?;
        check(&bundle)?;
        Ok(bundle)
    })
}

/// Checks that the bundle's journal is a journal's file, or what it was when the bundle was made.
///
/// **Errors**: KF-BUNDLE-INVALID, naming the first line that differs.
pub fn matches_journal(bundle: &Verified<Bundle>, entries: &[Entry]) -> Result<()> {
    for (index, line) in bundle.journal.iter().enumerate() {
        match entries.get(index) {
            Some(entry) if entry.line() == line => {}
            Some(_) => return Err(invalid(format!("line {} of the journal given differs from the bundle's", index + 1))),
            None => {
                let (has, wants) = (entries.len(), bundle.journal.len());
                return Err(invalid(format!("the journal given has {has} lines, the bundle's has {wants}")));
            }
        }
    }
    Ok(())
}

fn invalid(seen: impl Into<String>) -> Error {
    Error::new(Code::BundleInvalid, seen)
}

fn read(payload: &[u8]) -> Result<Bundle> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let unreadable = |e: serde_json::Error| invalid(format!("the payload is not a bundle: {e}"));
    let Version { version } = serde_json::from_slice(payload).map_err(unreadable)?;
    if version != BUNDLE_VERSION {
        return Err(invalid(format!("the bundle has version {version}; this kferry reads version {BUNDLE_VERSION}")));
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

fn check(bundle: &Bundle) -> Result<()> {
    let entries = chain(bundle)?;
    let migration = Migration::fold(&entries).map_err(|e| invalid(e.seen()))?;
    if migration.state == State::RolledBack {
        return Err(invalid("the journal ends in rolled_back, which is not a migration's evidence"));
    }
    check_plan(bundle, &migration)?;
    check_roots(bundle)?;
    let created_at = bundle.created_at.parse().map_err(|e| invalid(format!("created_at is not a time: {e}")))?;
    let derived = Bundle::build(&entries, &migration, Extra { created_at, leaves: None, not_covered: Vec::new() });
    check_derived(bundle, &derived)?;
    match not_covered(&migration).iter().find(|line| !bundle.not_covered.contains(line)) {
        Some(line) => Err(invalid(format!("not_covered leaves out what the journal shows: {line}"))),
        None => Ok(()),
    }
}

/// A line that is missing at the end breaks no link; the head that the bundle names shows it.
fn chain(bundle: &Bundle) -> Result<Vec<Entry>> {
    let mut chain = Chain::default();
    let entries: Vec<Entry> = bundle.journal.iter().map(|line| chain.follow(line).map_err(|e| invalid(e.seen()))).collect::<Result<_>>()?;
    if chain.head() != bundle.journal_head {
        let (last, head) = (chain.entries(), chain.head());
        let seen = format!("the journal ends with entry {last}, {head}, but the bundle ends it with {}: entry {} is missing", bundle.journal_head, last + 1);
        return Err(invalid(seen));
    }
    Ok(entries)
}

/// The plan's digest is computed from the journal's own text, so that a later version's plan still has it.
fn check_plan(bundle: &Bundle, migration: &Migration) -> Result<()> {
    let first = bundle.journal.first().map_or("", String::as_str);
    let value: serde_json::Value = serde_json::from_str(first).map_err(|e| invalid(format!("journal line 1: {e}")))?;
    let plan = serde_json::to_vec(&value["fact"]["plan"]).map_err(|e| invalid(format!("journal line 1: {e}")))?;
    let (computed, journaled) = (Digest::of(plan).to_string(), &migration.plan_sha256);
    if computed != *journaled {
        return Err(invalid(format!("the journal's plan hashes to {computed}, but it was journaled as {journaled}")));
    }
    Ok(())
}

fn check_roots(bundle: &Bundle) -> Result<()> {
    for roots in &bundle.roots {
        let PartitionRoots { partition, source, target, .. } = roots;
        if source != target {
            let seen = format!(
                "{partition}: the target's tree ({} leaves, root {}) is not the source's ({} leaves, root {})",
                target.leaves, target.root, source.leaves, source.root
            );
            return Err(invalid(seen));
        }
    }
    Ok(())
}

/// Compares every part with what the journal gives, and names the first that differs.
fn check_derived(bundle: &Bundle, derived: &Bundle) -> Result<()> {
    // Whoever adds a part to the bundle decides here whether it derives.
    let Bundle {
        version: _,
        kferry_version: _,
        created_at: _,
        migration_id,
        source_cluster_id,
        target_cluster_id,
        states,
        plan_sha256,
        config_sha256,
        journal: _,
        journal_head: _,
        snapshots,
        topology,
        acls,
        statistics,
        comparison,
        offset_map,
        cutover,
        validation,
        roots,
        leaves: _,
        not_covered: _,
    } = bundle;
    if *migration_id != derived.migration_id {
        return Err(invalid(format!("the bundle is of migration {migration_id}, its journal of {}", derived.migration_id)));
    }
    for (part, given) in [
        ("source_cluster_id", *source_cluster_id == derived.source_cluster_id),
        ("target_cluster_id", *target_cluster_id == derived.target_cluster_id),
        ("states", *states == derived.states),
        ("plan_sha256", *plan_sha256 == derived.plan_sha256),
        ("config_sha256", *config_sha256 == derived.config_sha256),
        ("snapshots", *snapshots == derived.snapshots),
        ("topology", *topology == derived.topology),
        ("acls", *acls == derived.acls),
        ("statistics", *statistics == derived.statistics),
        ("comparison", comparison.is_none() || *comparison == derived.comparison),
        ("offset_map", *offset_map == derived.offset_map),
        ("cutover", *cutover == derived.cutover),
        ("validation", *validation == derived.validation),
    ] {
        if !given {
            return Err(invalid(format!("{part} is not what the journal gives")));
        }
    }
    for given in &derived.roots {
        match roots.iter().find(|r| r.partition == given.partition) {
            Some(roots) if roots == given => {}
            Some(_) => return Err(invalid(format!("roots of {} are not those of the journal's last checkpoint", given.partition))),
            None => return Err(invalid(format!("roots of {} are missing; the journal has them", given.partition))),
        }
    }
    if roots.len() != derived.roots.len() {
        return Err(invalid("roots name partitions that the journal has no checkpoint of"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
