//! The YAML file as it is written: every key optional, every unknown key an error.
//!
//! No type here is `Debug`, since passwords stand in them. What is required, and what fits together, is judged in
//! `build`, where the message can name the place.

use super::text::{Text, Texts};
use serde::Deserialize;
use serde_saphyr::Spanned;

pub(super) type Section<T> = Option<Spanned<T>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub enterprise: Section<Enterprise>,
    pub kferry: Section<Migration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enterprise {
    pub msk_kraft_migration: Section<Migration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Migration {
    pub migration_id: Option<Text>,
    pub source: Section<Cluster>,
    pub target: Section<Cluster>,
    pub topics: Section<Topics>,
    pub groups: Section<Selection>,
    pub backup: Section<Backup>,
    pub evidence: Section<Evidence>,
    pub seed: Section<Seed>,
    pub cutover: Section<Cutover>,
    pub validation: Section<Validation>,
    pub topology: Section<Topology>,
    pub acl: Section<Acl>,
    pub quotas: Section<Quotas>,
    pub offsets: Option<Text>,
    pub cost: Section<Cost>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub cluster_arn: Option<Text>,
    pub bootstrap_servers: Option<Texts>,
    pub network: Option<Text>,
    pub endpoint_url: Option<Text>,
    pub scram_secrets: Option<Text>,
    pub auth: Section<Auth>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    pub mode: Option<Text>,
    pub security_protocol: Option<Text>,
    pub username: Option<Text>,
    pub password: Option<Text>,
    pub ca: Option<Text>,
    pub cert: Option<Text>,
    pub key: Option<Text>,
    pub region: Option<Text>,
    pub profile: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topics {
    pub include: Option<Texts>,
    pub exclude: Option<Texts>,
    pub identical: Option<Texts>,
    pub mapped: Option<Texts>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    pub include: Option<Texts>,
    pub exclude: Option<Texts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    pub s3_bucket: Option<Text>,
    pub s3_prefix: Option<Text>,
    pub region: Option<Text>,
    pub endpoint_url: Option<Text>,
    pub kms_key_arn: Option<Text>,
    pub directory: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evidence {
    pub s3_bucket: Option<Text>,
    pub s3_prefix: Option<Text>,
    pub region: Option<Text>,
    pub endpoint_url: Option<Text>,
    pub kms_key_arn: Option<Text>,
    pub directory: Option<Text>,
    pub retention: Option<Text>,
    pub object_lock: Option<Text>,
    pub signing_key_path: Option<Text>,
    pub observation_hold: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seed {
    pub max_concurrent_partitions: Option<Text>,
    pub segment_max_bytes: Option<Text>,
    pub memory_max_bytes: Option<Text>,
    pub rate_limit: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cutover {
    pub drain_timeout: Option<Text>,
    pub drain_max_partition_lag: Option<Text>,
    pub drain_stable_window: Option<Text>,
    pub freeze_settle_window: Option<Text>,
    pub max_producer_freeze: Option<Text>,
    pub freeze: Option<Text>,
    pub producer_freeze_webhook: Option<Text>,
    pub sentinel: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Validation {
    pub count_tolerance: Option<Text>,
    pub spot_check_records_per_partition: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Topology {
    pub on_config_drift: Option<Text>,
    pub replication_factor: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acl {
    pub on_drift: Option<Text>,
    pub source_principal: Option<Text>,
    pub target_principal: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quotas {
    pub on_drift: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    pub region: Option<Text>,
    pub segments_kept: Option<Text>,
    pub until_cutover: Option<Text>,
    pub soak: Option<Text>,
    pub source_broker_type: Option<Text>,
    pub target_broker_type: Option<Text>,
    pub prices: Section<Prices>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    pub s3_storage_gb_month: Option<Text>,
    pub s3_put_1000: Option<Text>,
    pub s3_get_1000: Option<Text>,
    pub kms_10000: Option<Text>,
    pub cross_az_gb: Option<Text>,
    pub cross_region_gb: Option<Text>,
    pub source_broker_hour: Option<Text>,
    pub target_broker_hour: Option<Text>,
}
