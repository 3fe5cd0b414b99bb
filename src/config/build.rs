//! From what is written to what is meant: defaults, limits, and what fits together.

use super::cluster::{cluster, scram_secrets};
use super::cost::cost;
use super::model::*;
use super::problem::Problem;
use super::quantity;
use super::raw;
use super::reader::{Reader, show_duration};
use super::store::{StoreKeys, store};
use super::text::{Mark, Text, Texts};
use crate::domain::acl::DriftPolicy;
use serde_saphyr::Spanned;

const MIB: u64 = 1 << 20;
const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400 * SECOND_MS;

const DRIFT_POLICIES: [(&str, DriftPolicy); 3] = [("merge", DriftPolicy::Merge), ("replace", DriftPolicy::Replace), ("refuse", DriftPolicy::Refuse)];

const OFFSETS_MODES: [(&str, OffsetsMode); 3] = [("auto", OffsetsMode::Auto), ("identical", OffsetsMode::Identical), ("mapped", OffsetsMode::Mapped)];

/// Finds the migration's section under either root.
pub(super) fn root(reader: &Reader<'_>, document: raw::Document) -> Option<Spanned<raw::Migration>> {
    const START: Mark = Mark { line: 1, column: 1 };
    match (document.enterprise, document.kferry) {
        (Some(_), Some(short)) => {
            reader.note(Problem::at(short.referenced.into(), "the file has both roots, enterprise and kferry").hint("keep one of them"));
            None
        }
        (None, Some(short)) => Some(short),
        (Some(enterprise), None) => {
            if enterprise.value.msk_kraft_migration.is_none() {
                reader.missing(enterprise.referenced.into(), "enterprise.msk_kraft_migration", "source, target, backup and evidence belong below it");
            }
            enterprise.value.msk_kraft_migration
        }
        (None, None) => {
            reader.missing(START, "the root key", "the file begins with `kferry:` or with `enterprise:` and `msk_kraft_migration:` below it");
            None
        }
    }
}

/// Builds the configuration; None where something was noted that leaves no value to go on with.
pub(super) fn migration(reader: &Reader<'_>, section: &Spanned<raw::Migration>) -> Option<Config> {
    let mark = section.referenced.into();
    let raw = &section.value;
    let required = |name: &str, hint: &str| reader.missing(mark, name, hint);
    let side = |name: &str, section: &raw::Section<raw::Cluster>| match section {
        Some(section) => cluster(reader, name, section),
        None => {
            required(name, &format!("write `{name}:` and below it `bootstrap_servers: host:9092` or a cluster_arn"));
            None
        }
    };
    let (source, target) = (side("source", &raw.source), side("target", &raw.target));
    let backup = match &raw.backup {
        Some(section) => store(reader, "backup", section.referenced.into(), &StoreKeys::from(&section.value)),
        None => {
            required("backup", "write `backup:` and below it s3_bucket or directory: the segments are kept there");
            None
        }
    };
    let evidence = match &raw.evidence {
        Some(section) => evidence(reader, section),
        None => {
            required("evidence", "write `evidence:` and below it s3_bucket or directory: the signed bundle is kept there");
            None
        }
    };
    let cutover = cutover(reader, inner(&raw.cutover));
    let (topology, topics, groups) = (inner(&raw.topology), inner(&raw.topics), inner(&raw.groups));
    let config = Config {
        migration_id: reader.quantity("migration_id", raw.migration_id.as_ref(), migration_id),
        topics: Selection {
            include: patterns(reader, "topics.include", topics.and_then(|t| t.include.as_ref()), topic_pattern),
            exclude: patterns(reader, "topics.exclude", topics.and_then(|t| t.exclude.as_ref()), topic_pattern),
        },
        groups: Selection {
            include: patterns(reader, "groups.include", groups.and_then(|g| g.include.as_ref()), |_| Ok(())),
            exclude: patterns(reader, "groups.exclude", groups.and_then(|g| g.exclude.as_ref()), |_| Ok(())),
        },
        seed: seed(reader, inner(&raw.seed)),
        validation: validation(reader, inner(&raw.validation)),
        on_config_drift: reader.choice("topology.on_config_drift", topology.and_then(|t| t.on_config_drift.as_ref()), &DRIFT_POLICIES).unwrap_or_default(),
        on_acl_drift: reader.choice("acl.on_drift", inner(&raw.acl).and_then(|a| a.on_drift.as_ref()), &DRIFT_POLICIES).unwrap_or_default(),
        source_principal: reader.quantity("acl.source_principal", inner(&raw.acl).and_then(|a| a.source_principal.as_ref()), principal),
        target_principal: reader.quantity("acl.target_principal", inner(&raw.acl).and_then(|a| a.target_principal.as_ref()), principal),
        on_quota_drift: reader.choice("quotas.on_drift", inner(&raw.quotas).and_then(|q| q.on_drift.as_ref()), &DRIFT_POLICIES).unwrap_or_default(),
        scram_secrets: scram_secrets(reader, inner(&raw.source), inner(&raw.target)),
        offsets: OffsetsConfig {
            mode: reader.choice("offsets", raw.offsets.as_ref(), &OFFSETS_MODES).unwrap_or(OffsetsMode::Auto),
            identical: patterns(reader, "topics.identical", topics.and_then(|t| t.identical.as_ref()), topic_pattern),
            mapped: patterns(reader, "topics.mapped", topics.and_then(|t| t.mapped.as_ref()), topic_pattern),
        },
        replication_factor: topology
            .and_then(|t| t.replication_factor.as_ref())
            .map(|written| reader.count("topology.replication_factor", Some(written), 1, 1..=100) as i16),
        source: source?,
        target: target?,
        backup: backup?,
        evidence: evidence?,
        cutover,
        cost: cost(reader, inner(&raw.cost)),
    };
    Some(config)
}

fn inner<T>(section: &raw::Section<T>) -> Option<&T> {
    section.as_ref().map(|s| &s.value)
}

/// Source: the id is part of object keys, transactional ids and file names.
fn migration_id(text: &str) -> Result<String, String> {
    let sound = (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if sound { Ok(text.to_owned()) } else { Err("an id has 1 to 64 letters, digits, dots, hyphens and underscores".into()) }
}

/// Source: `KafkaPrincipal`, a type and a name with a colon between.
fn principal(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && name != "*" => Ok(text.to_owned()),
        _ => Err("a principal is written as the brokers see it: User:NAME, or User:CN=… for a certificate".into()),
    }
}

fn patterns(reader: &Reader<'_>, name: &str, list: Option<&Texts>, check: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
    let mut patterns = Vec::new();
    for item in list.map_or(&[][..], |l| &l.items) {
        let Some(value) = reader.value(name, item) else { continue };
        match if value.text.is_empty() { Err("it is empty".to_owned()) } else { check(&value.text) } {
            Ok(()) => patterns.push(value.text),
            Err(why) => reader.refuse(&value, &why),
        }
    }
    patterns
}

/// Source: `org.apache.kafka.common.internals.Topic`: letters, digits, `.`, `_`, `-`, at most 249.
fn topic_pattern(text: &str) -> Result<(), String> {
    if text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*' | '?')) {
        Ok(())
    } else {
        Err("a topic's name has letters, digits, dots, hyphens and underscores; a pattern has * and ? besides (it is no regular expression)".into())
    }
}

fn evidence(reader: &Reader<'_>, section: &Spanned<raw::Evidence>) -> Option<EvidenceConfig> {
    let raw = &section.value;
    let store = store(reader, "evidence", section.referenced.into(), &StoreKeys::from(raw));
    let retention_ms = reader.duration_ms("evidence.retention", raw.retention.as_ref(), 7 * 365 * DAY_MS, DAY_MS..=100 * 365 * DAY_MS);
    if let Some(written) = &raw.retention
        && !retention_ms.is_multiple_of(DAY_MS)
    {
        reader.note(Problem::at(written.mark, "evidence.retention is not a whole number of days").hint("write it as 90d or 7y"));
    }
    let object_lock = reader.boolean("evidence.object_lock", raw.object_lock.as_ref(), false);
    if let (true, Some(written), Some(_)) = (object_lock, &raw.object_lock, &raw.directory) {
        reader.note(Problem::at(written.mark, "evidence.object_lock has no meaning with evidence.directory").hint("only S3 can lock objects; use s3_bucket, or remove the key"));
    }
    Some(EvidenceConfig {
        signing_key_path: reader.path("evidence.signing_key_path", raw.signing_key_path.as_ref()),
        observation_hold_ms: reader.duration_ms("evidence.observation_hold", raw.observation_hold.as_ref(), 0, 0..=365 * DAY_MS),
        store: store?,
        retention_days: (retention_ms / DAY_MS) as u32,
        object_lock,
    })
}

fn seed(reader: &Reader<'_>, raw: Option<&raw::Seed>) -> SeedConfig {
    let get = |leaf: fn(&raw::Seed) -> &Option<Text>| raw.and_then(|r| leaf(r).as_ref());
    let segment_written = get(|r| &r.segment_max_bytes);
    // A segment is a Kafka log segment, whose positions are 32 bits wide.
    let segment_max_bytes = reader.size_bytes("seed.segment_max_bytes", segment_written, 16 * MIB, MIB..=1024 * MIB);
    let memory_max_bytes = reader.size_bytes("seed.memory_max_bytes", get(|r| &r.memory_max_bytes), 256 * MIB, 32 * MIB..=1024 * 1024 * MIB);
    if let Some(mark) = segment_written.or(get(|r| &r.memory_max_bytes)).map(|t| t.mark)
        && segment_max_bytes > memory_max_bytes / 2
    {
        reader.note(
            Problem::at(mark, "seed.segment_max_bytes is more than half of seed.memory_max_bytes")
                .hint("one segment is filled while another is stored, and both lie in memory"),
        );
    }
    SeedConfig {
        max_concurrent_partitions: reader.count("seed.max_concurrent_partitions", get(|r| &r.max_concurrent_partitions), 64, 1..=10_000) as usize,
        segment_max_bytes: segment_max_bytes as usize,
        memory_max_bytes: memory_max_bytes as usize,
        rate_limit: reader.quantity("seed.rate_limit", get(|r| &r.rate_limit), quantity::rate_bytes_per_s).flatten(),
    }
}

fn cutover(reader: &Reader<'_>, raw: Option<&raw::Cutover>) -> CutoverConfig {
    let get = |leaf: fn(&raw::Cutover) -> &Option<Text>| raw.and_then(|r| leaf(r).as_ref());
    let webhook = get(|r| &r.producer_freeze_webhook).and_then(|written| webhook(reader, written));
    let freeze_written = get(|r| &r.freeze);
    let modes = [("manual", FreezeMode::Manual), ("webhook", FreezeMode::Webhook), ("acl", FreezeMode::Acl)];
    let unsaid = if webhook.is_some() { FreezeMode::Webhook } else { FreezeMode::Manual };
    let freeze = reader.choice("cutover.freeze", freeze_written, &modes).unwrap_or(unsaid);
    if let (FreezeMode::Webhook, Some(written), None) = (freeze, freeze_written, get(|r| &r.producer_freeze_webhook)) {
        reader.missing(written.mark, "cutover.producer_freeze_webhook", "freeze: webhook needs the URL that freezes and thaws the producers");
    }

    let settle_written = get(|r| &r.freeze_settle_window);
    let freeze_settle_window_ms = reader.duration_ms("cutover.freeze_settle_window", settle_written, 500, 100..=60 * SECOND_MS);
    // Below this there is no time to prove the freeze, drain, move the groups' offsets and commit well before it expires.
    let max_written = get(|r| &r.max_producer_freeze);
    let max_producer_freeze_ms = reader.duration_ms("cutover.max_producer_freeze", max_written, 60 * SECOND_MS, 5 * SECOND_MS..=DAY_MS);
    if let Some(mark) = max_written.or(settle_written).map(|t| t.mark)
        && max_producer_freeze_ms < 10 * freeze_settle_window_ms
    {
        reader.note(
            Problem::at(mark, "cutover.max_producer_freeze is less than ten times cutover.freeze_settle_window")
                .hint("the freeze is proven, drained and committed within it"),
        );
    }

    let timeout_written = get(|r| &r.drain_timeout);
    let stable_written = get(|r| &r.drain_stable_window);
    let drain_timeout_ms = reader.duration_ms("cutover.drain_timeout", timeout_written, 30 * 60 * SECOND_MS, SECOND_MS..=7 * DAY_MS);
    let drain_stable_window_ms = reader.duration_ms("cutover.drain_stable_window", stable_written, 30 * SECOND_MS, 0..=DAY_MS);
    if let Some(mark) = timeout_written.or(stable_written).map(|t| t.mark)
        && drain_timeout_ms <= drain_stable_window_ms
    {
        let message = format!(
            "cutover.drain_timeout ({}) is not longer than cutover.drain_stable_window ({})",
            show_duration(drain_timeout_ms),
            show_duration(drain_stable_window_ms)
        );
        reader.note(Problem::at(mark, message).hint("the lag has to stay small for the whole window before the timeout"));
    }
    CutoverConfig {
        drain_timeout_ms,
        drain_max_partition_lag: reader.count("cutover.drain_max_partition_lag", get(|r| &r.drain_max_partition_lag), 100, 0..=1_000_000_000) as i64,
        drain_stable_window_ms,
        freeze_settle_window_ms,
        max_producer_freeze_ms,
        freeze,
        producer_freeze_webhook: webhook,
        sentinel: reader
            .choice("cutover.sentinel", get(|r| &r.sentinel), &[("invisible", SentinelMode::Invisible), ("visible", SentinelMode::Visible)])
            .unwrap_or(SentinelMode::Invisible),
    }
}

/// The URL counts as a secret: it often carries a token.
fn webhook(reader: &Reader<'_>, written: &Text) -> Option<Secret> {
    let value = reader.value("cutover.producer_freeze_webhook", written)?;
    let host = value.text.strip_prefix("https://").or_else(|| value.text.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || value.text.contains(char::is_whitespace) {
        reader.refuse_secret(&value, "it is not a URL that begins with https:// or http:// (the value is not shown)");
        return None;
    }
    Some(Secret::new(value.text))
}

fn validation(reader: &Reader<'_>, raw: Option<&raw::Validation>) -> ValidationConfig {
    let get = |leaf: fn(&raw::Validation) -> &Option<Text>| raw.and_then(|r| leaf(r).as_ref());
    ValidationConfig {
        count_tolerance: reader.count("validation.count_tolerance", get(|r| &r.count_tolerance), 0, 0..=1_000_000) as i64,
        spot_check_records_per_partition: reader.count(
            "validation.spot_check_records_per_partition",
            get(|r| &r.spot_check_records_per_partition),
            20,
            1..=100_000,
        ) as usize,
    }
}
