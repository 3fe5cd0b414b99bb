//! The configuration as it takes effect, without anything secret: for `config check` and for the journal's digest.

use super::model::*;
use crate::domain::acl::DriftPolicy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

impl Config {
    /// The effective configuration as JSON, without user names, passwords, key files and the webhook's URL.
    ///
    /// Credentials may change during a migration (a password is rotated, a run goes on from another host) and are no
    /// part of what is migrated. **Units**: as the keys say, milliseconds and bytes.
    pub fn effective(&self) -> Value {
        // Taken apart in full, so that a new field cannot be forgotten here.
        let Config {
            migration_id, source, target, topics, groups, backup, evidence, seed, cutover, validation, on_config_drift, on_acl_drift, source_principal, target_principal,
            on_quota_drift, scram_secrets, offsets, replication_factor,
            // What an estimate takes for granted is no part of what is migrated either.
            cost: _,
        } = self;
        let EvidenceConfig { store, retention_days, object_lock, signing_key_path: _, observation_hold_ms } = evidence;
        let SeedConfig { max_concurrent_partitions, segment_max_bytes, memory_max_bytes, rate_limit } = seed;
        let CutoverConfig {
            drain_timeout_ms, drain_max_partition_lag, drain_stable_window_ms, freeze_settle_window_ms, max_producer_freeze_ms, freeze, producer_freeze_webhook: _,
            sentinel,
        } = cutover;
        let ValidationConfig { count_tolerance, spot_check_records_per_partition } = validation;
        json!({
            "migration_id": migration_id,
            "source": cluster(source),
            "target": cluster(target),
            "scram_secrets": scram_secrets.as_str(),
            "topics": selection(topics),
            "groups": selection(groups),
            "backup": self::store(backup),
            "evidence": {
                "store": self::store(store),
                "retention_days": retention_days,
                "object_lock": object_lock,
                "observation_hold_ms": observation_hold_ms,
            },
            "seed": {
                "max_concurrent_partitions": max_concurrent_partitions,
                "segment_max_bytes": segment_max_bytes,
                "memory_max_bytes": memory_max_bytes,
                "rate_limit_bytes_per_s": rate_limit,
            },
            "cutover": {
                "drain_timeout_ms": drain_timeout_ms,
                "drain_max_partition_lag": drain_max_partition_lag,
                "drain_stable_window_ms": drain_stable_window_ms,
                "freeze_settle_window_ms": freeze_settle_window_ms,
                "max_producer_freeze_ms": max_producer_freeze_ms,
                "freeze": match freeze { FreezeMode::Manual => "manual", FreezeMode::Webhook => "webhook", FreezeMode::Acl => "acl" },
                "sentinel": match sentinel { SentinelMode::Invisible => "invisible", SentinelMode::Visible => "visible" },
            },
            "validation": {
                "count_tolerance": count_tolerance,
                "spot_check_records_per_partition": spot_check_records_per_partition,
            },
            "topology": { "on_config_drift": drift(*on_config_drift), "replication_factor": replication_factor },
            "acl": { "on_drift": drift(*on_acl_drift), "source_principal": source_principal, "target_principal": target_principal },
            "quotas": { "on_drift": drift(*on_quota_drift) },
            "offsets": {
                "mode": match offsets.mode { OffsetsMode::Auto => "auto", OffsetsMode::Identical => "identical", OffsetsMode::Mapped => "mapped" },
                "identical": offsets.identical,
                "mapped": offsets.mapped,
            },
        })
    }

    /// SHA-256 over `effective`, in hexadecimal: two runs with one digest were asked for the same thing.
    pub fn digest(&self) -> String {
        Sha256::digest(self.effective().to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn cluster(config: &ClusterConfig) -> Value {
    let ClusterConfig { cluster_arn, bootstrap_servers, network, endpoint_url, auth } = config;
    // What was looked up is no part of what was asked for.
    let bootstrap_servers = if cluster_arn.is_some() { &[][..] } else { &bootstrap_servers[..] };
    let mut value = json!({ "cluster_arn": cluster_arn, "bootstrap_servers": bootstrap_servers, "auth_mode": auth.mode.as_str() });
    if cluster_arn.is_some() {
        value["network"] = json!(network.as_str());
        value["endpoint_url"] = json!(endpoint_url);
    }
    value
}

fn selection(config: &Selection) -> Value {
    let Selection { include, exclude } = config;
    json!({ "include": include, "exclude": exclude })
}

fn store(config: &StoreConfig) -> Value {
    match config {
        StoreConfig::S3 { bucket, prefix, region, endpoint_url, kms_key_arn } => {
            json!({ "s3_bucket": bucket, "s3_prefix": prefix, "region": region, "endpoint_url": endpoint_url, "kms_key_arn": kms_key_arn })
        }
        StoreConfig::Directory { path } => json!({ "directory": path.display().to_string() }),
    }
}

fn drift(policy: DriftPolicy) -> &'static str {
    match policy {
        DriftPolicy::Merge => "merge",
        DriftPolicy::Replace => "replace",
        DriftPolicy::Refuse => "refuse",
    }
}
