//! `kferry verify`.

use super::out::{Output, emit, emit_json};
use crate::domain::digest::Digest;
use crate::domain::offset::TargetOffset;
use crate::domain::segment::Leaf;
use crate::domain::topology::{ClusterSnapshot, MetadataMode};
use crate::error::{Code, Error, Exit, Result};
use crate::evidence::bundle::{Bundle, PartitionMap};
use crate::evidence::envelope::Verified;
use crate::evidence::proof::{BytesDigest, RecordProof, Shown};
use crate::evidence::{key, verify};
use crate::journal::Journal;
use crate::machine::fact::CutoverReport;
use crate::machine::state::State;
use crate::validation::report::{CheckResult, Outcome};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Verifies an evidence bundle offline: its signature, with a key that you bring, and that it is of one piece.
///
/// Nothing is asked of any cluster, store or licence. With --proof, one record's proof is verified against the bundle too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kferry verify BUNDLE.dsse.json --public-key signing.key.pub\n  kferry verify BUNDLE.dsse.json --public-key signing.key.pub --proof proof.json --output json")]
pub struct Args {
    /// The bundle, NAME.dsse.json
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// The signer's public key (SPKI, PEM), got from the signer and not from where the bundle lay
    #[arg(long, value_name = "FILE")]
    pub public_key: PathBuf,
    /// A journal.jsonl that must be the bundle's, or have gone on from it
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// A proof of one record, as `kferry prove` writes it
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Runs the command.
///
/// **Errors**: KF-BUNDLE-INVALID and KF-PROOF-INVALID naming what does not hold, KF-KEY-INVALID, KF-USAGE where a file cannot be read.
pub fn run(args: Args) -> Result<Exit> {
    match (verified(&args).and_then(|bundle| Ok((proved(&args, &bundle)?, bundle))), args.output) {
        (Ok((proof, bundle)), Output::Text) => {
            let proof = proof.map_or(String::new(), |(proof, shown)| proof_lines(&proof, &shown, source_offset(&bundle, &proof)));
            emit(&format!("{}{proof}", summary(&bundle, args.journal.as_deref())))?;
        }
        (Ok((proof, bundle)), Output::Json) => {
            let proof = proof.map(|(proof, shown)| proof_json(&proof, &shown, source_offset(&bundle, &proof)));
            emit_json(&serde_json::json!(output(&bundle, proof)))?;
        }
        // Whoever runs the command prints it, in either form.
        (Err(e), _) => return Err(e),
    }
    Ok(Exit::Done)
}

fn verified(args: &Args) -> Result<Verified<Bundle>> {
    let key = key::read_public_key(&args.public_key)?;
    let envelope = std::fs::read(&args.bundle).map_err(|e| unreadable(&args.bundle, &e))?;
    let bundle = verify::verify(&envelope, &key).map_err(|e| e.within(args.bundle.display()))?;
    if let Some(path) = &args.journal {
        let entries = Journal::read_file(path).map_err(|e| match e.code() {
            Code::JournalCorrupt => Error::new(Code::BundleInvalid, e.seen()).within(path.display()),
            _ => Error::new(Code::UsageInvalid, e.seen()),
        })?;
        verify::matches_journal(&bundle, &entries).map_err(|e| e.within(path.display()))?;
    }
    Ok(bundle)
}

/// The proof that was given, and what it shows.
fn proved(args: &Args, bundle: &Verified<Bundle>) -> Result<Option<(RecordProof, Shown)>> {
    let Some(path) = &args.proof else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let proof = RecordProof::read(&bytes).map_err(|e| e.within(path.display()))?;
    let shown = proof.verify(bundle).map_err(|e| e.within(path.display()))?;
    Ok(Some((proof, shown)))
}

/// Where the record lies on the source, by the bundle's map.
fn source_offset(bundle: &Bundle, proof: &RecordProof) -> i64 {
    let of = |map: &&PartitionMap| *map.partition.topic == *proof.topic && map.partition.partition == proof.partition;
    bundle.offset_map.iter().find(of).map_or(proof.offset, |map| map.map.invert(TargetOffset(proof.offset)).0)
}

/// What a proof shows, for people; keys and values only as digests.
pub(super) fn proof_lines(proof: &RecordProof, shown: &Shown, source_offset: i64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot err.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let Leaf { base_offset, next_offset, digest, .. } = &proof.leaf;
    line("proof", format!("{}-{}, offset {}", proof.topic, proof.partition, proof.offset));
    if source_offset != proof.offset {
        line("", format!("on the source at offset {source_offset}"));
    }
    line("", format!("leaf {} of {}, offsets {base_offset}..{next_offset}, {digest}", proof.leaf_number, proof.leaves));
    line("", format!("{} levels up to root {}", proof.path.len(), proof.root));
    match shown {
        Shown::Record(record) => {
            line("record", format!("in the batch that was compared, timestamp {} ms", record.timestamp));
            line("", format!("key {}", content(record.key.as_ref())));
            line("", format!("value {}", content(record.value.as_ref())));
        }
        Shown::Control => line("record", "none: on the target a control record, which no consumer sees; the source has one too, or nothing at all".to_owned()),
        Shown::LeafOnly => line("record", "left out: that the leaf is this offset's is the proof's word".to_owned()),
    }
    text
}

fn content(digest: Option<&BytesDigest>) -> String {
    digest.map_or("null".to_owned(), |d| format!("of {} bytes, SHA-256 {}", d.bytes, d.sha256))
}

fn proof_json(proof: &RecordProof, shown: &Shown, source_offset: i64) -> serde_json::Value {
    let (kind, record) = match shown {
        Shown::Record(record) => ("record", Some(record)),
        Shown::Control => ("control", None),
        Shown::LeafOnly => ("leaf_only", None),
    };
    serde_json::json!({
        "topic": proof.topic,
        "partition": proof.partition,
        "offset": proof.offset,
        "source_offset": source_offset,
        "leaf": proof.leaf,
        "leaf_number": proof.leaf_number,
        "leaves": proof.leaves,
        "root": proof.root,
        "shown": kind,
        "record": record,
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::UsageInvalid, format!("{}: {error}", path.display()))
}

/// Groups whose offsets were carried over, and those that were left alone.
fn groups(bundle: &Bundle) -> (usize, usize) {
    let groups = bundle.cutover.as_ref().map_or(&[][..], |c| &c.groups);
    let left_alone = groups.iter().filter(|g| !g.left_alone.is_empty()).count();
    (groups.len() - left_alone, left_alone)
}

fn state(bundle: &Bundle) -> String {
    bundle.states.last().map_or("none".to_owned(), |s| format!("{} since {:.3}", s.state, s.entered_at))
}

/// The outcome as the journal and the report spell it.
fn outcome(bundle: &Bundle) -> serde_json::Value {
    serde_json::json!(bundle.validation.as_ref().map(|v| v.outcome))
}

fn summary(bundle: &Verified<Bundle>, journal: Option<&Path>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot err.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("verified", format!("signature of key {}", bundle.key_id()));
    line("", format!("{} journal entries, chained without a gap, ending in {}", bundle.journal.len(), bundle.journal_head));
    line("", format!("plan {}, and every part is what the journal gives", bundle.plan_sha256));
    if let Some(journal) = journal {
        line("", format!("{} begins with the bundle's journal", journal.display()));
    }
    line("migration", bundle.migration_id.clone());
    line("source", cluster(&bundle.snapshots.source));
    line("target", bundle.snapshots.target.as_ref().map_or("not seen yet".to_owned(), cluster));
    line("state", state(bundle));
    let total = &bundle.statistics.total;
    line("copied", format!("topics: {}, partitions: {}, records: {}, bytes: {}", bundle.topology.len(), bundle.roots.len(), total.records, total.bytes));
    let leaves: u64 = bundle.roots.iter().map(|r| r.source.leaves).sum();
    line("roots", format!("equal on both sides, partitions: {}, leaves: {leaves}", bundle.roots.len()));
    if let Some(place) = &bundle.leaves {
        line("leaves", format!("kept at {place} (`kferry prove` proves single records by them)"));
    }
    match &bundle.cutover {
        Some(cutover) => {
            let (carried_over, left_alone) = groups(bundle);
            line("groups", format!("carried over: {carried_over}, left alone: {left_alone}"));
            let CutoverReport { attempt, mode, freeze_ms, committed_at, .. } = cutover;
            line("cutover", format!("attempt {attempt}, committed at {committed_at}, producers frozen ({mode}) for {freeze_ms} ms"));
        }
        None => line("cutover", "not committed".to_owned()),
    }
    match &bundle.validation {
        Some(validation) => {
            for check in &validation.checks {
                let outcome = serde_json::json!(check.outcome);
                line("check", format!("{} {}: {}", check.check, outcome.as_str().unwrap_or_default(), check.reason));
            }
        }
        None => line("check", "none has run".to_owned()),
    }
    line("outcome", outcome(bundle).as_str().unwrap_or("not validated").to_owned());
    line("not covered", if bundle.not_covered.is_empty() { "nothing is listed".to_owned() } else { bundle.not_covered.len().to_string() });
    for reason in &bundle.not_covered {
        line("", format!("- {reason}"));
    }
    text
}

fn cluster(cluster: &ClusterSnapshot) -> String {
    let mode = match cluster.metadata_mode {
        MetadataMode::ZooKeeper => "ZooKeeper",
        MetadataMode::Kraft => "KRaft",
        MetadataMode::Unknown => "metadata mode unknown",
    };
    format!("{} ({mode}, version {}, brokers: {})", cluster.cluster_id, cluster.version, cluster.brokers.len())
}

/// What `verify --output json` prints of a bundle that verifies; `config/schemas/verify.json` describes it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct VerifyOutput<'a> {
    /// Always true: where something does not verify, the error is printed instead, as `error.json` describes it.
    verified: bool,
    key_id: &'a str,
    migration_id: &'a str,
    source_cluster_id: &'a str,
    target_cluster_id: Option<&'a str>,
    state: Option<State>,
    journal_entries: usize,
    #[cfg_attr(test, schemars(with = "String"))]
    journal_head: Digest,
    plan_sha256: &'a str,
    topics: usize,
    partitions: usize,
    /// Where the leaves are kept by which `kferry prove` proves single records; None where they are not kept.
    leaves: Option<&'a str>,
    records: u64,
    bytes: u64,
    groups: GroupsOutput,
    /// None where the cutover was not committed.
    freeze_ms: Option<u64>,
    checks: Option<&'a [CheckResult]>,
    /// None where it was not validated.
    outcome: Option<Outcome>,
    /// What no check covered, each with its reason.
    not_covered: &'a [String],
    /// What the proof shows that `--proof` named; `kferry prove --help` says how to make one.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct GroupsOutput {
    carried_over: usize,
    left_alone: usize,
}

fn output(bundle: &Verified<Bundle>, proof: Option<serde_json::Value>) -> VerifyOutput<'_> {
    let (carried_over, left_alone) = groups(bundle);
    let total = &bundle.statistics.total;
    VerifyOutput {
        verified: true,
        key_id: bundle.key_id(),
        migration_id: &bundle.migration_id,
        source_cluster_id: &bundle.source_cluster_id,
        target_cluster_id: bundle.target_cluster_id.as_deref(),
        state: bundle.states.last().map(|s| s.state),
        journal_entries: bundle.journal.len(),
        journal_head: bundle.journal_head,
        plan_sha256: &bundle.plan_sha256,
        topics: bundle.topology.len(),
        partitions: bundle.roots.len(),
        leaves: bundle.leaves.as_deref(),
        records: total.records,
        bytes: total.bytes,
        groups: GroupsOutput { carried_over, left_alone },
        freeze_ms: bundle.cutover.as_ref().map(|c| c.freeze_ms),
        checks: bundle.validation.as_ref().map(|v| &v.checks[..]),
        outcome: bundle.validation.as_ref().map(|v| v.outcome),
        not_covered: &bundle.not_covered,
        proof,
    }
}

#[cfg(test)]
mod tests;
