//! Each thing that a migration costs, with its formula.

use super::places::{region_of, region_of_store, zones_of};
use super::prices::{self, Price};
use super::{Group, Item, Terms};
use crate::config::model::{Config, StoreConfig};
use crate::domain::msk::{self, MskCluster};
use crate::domain::plan::Plan;
use crate::domain::planning::grouped;
use crate::domain::topology::ClusterSnapshot;

/// AWS counts a GB of storage and of transfer as 2³⁰ bytes.
const GIB: f64 = (1u64 << 30) as f64;
const HOUR_S: f64 = 3600.0;
/// Days of a month on AWS's bill, on average.
const MONTH_DAYS: f64 = 365.0 / 12.0;
/// Up to this size a segment is one PUT; beyond, it goes in parts of half of it (`store/s3/put.rs`).
const SINGLE_PUT_MAX_BYTES: i64 = 64 << 20;
const PART_BYTES: i64 = 32 << 20;
/// How often a store is tried: both by `plan` and `precheck`, and `execute` tries the segments' once more.
const TRIALS: f64 = 7.0;
/// Of a bundle: so many times the plan, which stands in it and in its journal, so much for each partition's checkpoints, in base64.
const BUNDLE_PLANS: i64 = 3;
const BUNDLE_BYTES_PER_PARTITION: i64 = 4_000;

/// Every item, in the order in which they are shown.
pub(super) fn all(plan: &Plan, config: &Config, terms: &Terms<'_>) -> Vec<Item> {
    let sizes: Vec<i64> = plan
        .topics
        .iter()
        .flat_map(|t| &t.partitions)
        .map(|p| p.size_bytes.unwrap_or(0))
        .collect();
    let filled = sizes.iter().filter(|size| **size > 0).count() as i64;
    let puts = sizes
        .iter()
        .map(|size| puts(*size, config.seed.segment_max_bytes as i64))
        .sum::<i64>()
        + filled;
    let data = Data {
        bytes: sizes.iter().sum(),
        puts,
        unsized_partitions: unsized_partitions(plan),
    };
    let mut items = segments(&data, config, terms);
    items.extend(evidence(plan, config, terms));
    items.extend(transfer(plan, config, &data, terms));
    items.extend(brokers(plan, config, terms));
    items.extend(unknowable(plan));
    items
}

struct Data {
    bytes: i64,
    puts: i64,
    unsized_partitions: usize,
}

impl Data {
    /// Why `bytes` and `puts` are not known, where they are not.
    fn unknown(&self) -> Option<String> {
        let of = self.unsized_partitions;
        (of > 0).then(|| format!("the brokers do not tell the size of {of} partitions; the others have {} bytes", grouped(self.bytes)))
    }

    /// The item, unless it hangs on a size that is not known.
    fn sized(&self, item: Item) -> Item {
        match self.unknown() {
            Some(why) => Item::unknown(item.id, item.group, item.what, &why),
            None => item,
        }
    }
}

pub(super) fn unsized_partitions(plan: &Plan) -> usize {
    plan.topics.iter().flat_map(|t| &t.partitions).filter(|p| p.size_bytes.is_none()).count()
}

/// Writes of one partition's segments and manifests.
fn puts(size_bytes: i64, segment_max_bytes: i64) -> i64 {
    let of_segment = |bytes: i64| {
        if bytes > SINGLE_PUT_MAX_BYTES {
            2 + bytes.div_euclid(PART_BYTES) + i64::from(bytes % PART_BYTES > 0)
        } else {
            1
        }
    };
    let (whole, rest) = (
        size_bytes / segment_max_bytes.max(1),
        size_bytes % segment_max_bytes.max(1),
    );
    whole * (of_segment(segment_max_bytes) + 1) + if rest > 0 { of_segment(rest) + 1 } else { 0 }
}

fn gib(bytes: i64) -> f64 {
    bytes as f64 / GIB
}

fn segments(data: &Data, config: &Config, terms: &Terms<'_>) -> Vec<Item> {
    let StoreConfig::S3 {
        kms_key_arn,
        endpoint_url,
        ..
    } = &config.backup
    else {
        return vec![Item::unknown(
            "segments_storage",
            Group::Storage,
            "the segments",
            "they go to a directory, whose cost is not known",
        )];
    };
    let at_aws = endpoint_url.is_none();
    let months = f64::from(config.cost.segments_kept_days) / MONTH_DAYS;
    let mut items = vec![
        data.sized(terms.stored(
            at_aws,
            "segments_storage",
            Group::Storage,
            "the segments, for as long as they are kept",
            Price::S3Storage,
            gib(data.bytes) * months,
            format!("{} bytes / 2^30 × {} days kept / (365 / 12) days a month", grouped(data.bytes), config.cost.segments_kept_days),
        )),
        data.sized(terms.stored(
            at_aws,
            "segments_puts",
            Group::Requests,
            "writing segments, their manifests, and proofs",
            Price::S3Put,
            data.puts as f64 / 1000.0,
            format!(
                "{} PUT and POST requests / 1,000: for each partition its bytes in segments of at most {} bytes, each with a manifest; in parts of {} bytes where larger than {}; and one file of proofs for each partition, more in a long run",
                grouped(data.puts),
                grouped(config.seed.segment_max_bytes as i64),
                grouped(PART_BYTES),
                grouped(SINGLE_PUT_MAX_BYTES)
            ),
        )),
        terms.stored(at_aws, "trials", Group::Requests, "trying both stores", Price::S3Put, TRIALS * 3.0 / 1000.0, format!("{TRIALS} trials (plan, precheck, execute) × (1 LIST, 2 of an upload that is given up) / 1,000")),
        terms.stored(
            at_aws,
            "gets",
            Group::Requests,
            "reading from the stores",
            Price::S3Get,
            TRIALS * 3.0 / 1000.0,
            format!("{TRIALS} trials × (1 GET of an object that is not there, 2 of settings) / 1,000; nothing else is read from the stores, save by `prove` and where a topic has to be refilled"),
        ),
    ];
    if kms_key_arn.is_some() {
        let formula = format!(
            "{} writes / 10,000, one data key for each; fewer with an S3 Bucket Key",
            grouped(data.puts)
        );
        items.push(data.sized(terms.stored(
            at_aws,
            "segments_kms",
            Group::Requests,
            "encrypting segments",
            Price::Kms,
            data.puts as f64 / 10_000.0,
            formula,
        )));
    }
    items.push(Item::unknown(
        "proofs_storage",
        Group::Storage,
        "the proofs' leaves beside the segments",
        "49 bytes for each batch, and how many batches the logs hold is not known; at most 49 bytes for each record",
    ));
    items
}

fn evidence(plan: &Plan, config: &Config, terms: &Terms<'_>) -> Vec<Item> {
    let StoreConfig::S3 { endpoint_url, .. } = &config.evidence.store else {
        return vec![Item::unknown(
            "evidence_storage",
            Group::Storage,
            "the signed bundle",
            "it goes to a directory, whose cost is not known",
        )];
    };
    let at_aws = endpoint_url.is_none();
    let plan_bytes = serde_json::to_vec(plan).map_or(0, |json| json.len() as i64);
    let partitions = plan.estimate.partitions as i64;
    let bytes = (BUNDLE_PLANS * plan_bytes + BUNDLE_BYTES_PER_PARTITION * partitions) * 4 / 3;
    let months = f64::from(config.evidence.retention_days) / MONTH_DAYS;
    let formula = format!(
        "about {} bytes (4/3 of {BUNDLE_PLANS} × {} of the plan and {} for each of {} partitions) / 2^30 × {} days of retention / (365 / 12) days a month",
        grouped(bytes),
        grouped(plan_bytes),
        grouped(BUNDLE_BYTES_PER_PARTITION),
        grouped(partitions),
        config.evidence.retention_days
    );
    vec![
        terms.stored(
            at_aws,
            "evidence_storage",
            Group::Storage,
            "the signed bundle, for its retention",
            Price::S3Storage,
            gib(bytes) * months,
            formula,
        ),
        terms.stored(
            at_aws,
            "evidence_puts",
            Group::Requests,
            "writing bundle and receipt",
            Price::S3Put,
            2.0 / 1000.0,
            "2 PUT requests / 1,000".to_owned(),
        ),
    ]
}

/// A cluster's name and how often all data passes between it and kferry.
struct Pass<'a> {
    id: &'static str,
    what: &'static str,
    cluster: Option<&'a ClusterSnapshot>,
    msk: Option<&'a MskCluster>,
    times: i64,
    words: &'static str,
}

fn transfer(plan: &Plan, config: &Config, data: &Data, terms: &Terms<'_>) -> Vec<Item> {
    let source_region = region_of(&config.source, Some(&plan.source));
    let target_region = region_of(&config.target, plan.target.as_ref());
    let passes = [
        Pass {
            id: "source_cross_az",
            what: "reading the source from another zone",
            cluster: Some(&plan.source),
            msk: plan.source_msk.as_ref(),
            times: 1,
            words: "read once",
        },
        Pass {
            id: "target_cross_az",
            what: "writing to and reading from the target in another zone",
            cluster: plan.target.as_ref(),
            msk: plan.target_msk.as_ref(),
            times: 2,
            words: "written once and read again once",
        },
    ];
    let mut items: Vec<Item> = passes
        .iter()
        .zip([&source_region, &target_region])
        .map(|(pass, region)| cross_az(pass, region.as_deref(), data, terms))
        .collect();
    items.push(replication(
        plan,
        config,
        data,
        terms,
        target_region.as_deref(),
    ));

    // kferry runs where most of the bytes go.
    let here = target_region.as_deref();
    items.push(cross_region(
        "source_cross_region",
        "reading the source from the target's Region",
        source_region.as_deref(),
        here,
        data,
        terms,
    ));
    let store = region_of_store(&config.backup);
    items.push(cross_region(
        "store_cross_region",
        "writing segments to a bucket in another Region",
        here,
        store,
        data,
        terms,
    ));
    items
}

fn cross_az(pass: &Pass<'_>, region: Option<&str>, data: &Data, terms: &Terms<'_>) -> Item {
    let unknown = |why: &str| Item::unknown(pass.id, Group::Transfer, pass.what, why);
    let Some(cluster) = pass.cluster else {
        return unknown("the cluster does not exist yet, or was not read");
    };
    if region.is_none() {
        return unknown(
            "neither an ARN nor the brokers' names or racks tell that the cluster lies in AWS",
        );
    }
    let by_msk = pass
        .msk
        .and_then(|msk| msk.zones)
        .filter(|zones| *zones > 0);
    let Some(zones) = zones_of(cluster).or(by_msk) else {
        return unknown("the brokers do not tell their zones (broker.rack)");
    };
    let quantity = gib(data.bytes) * pass.times as f64 * (zones - 1) as f64 / zones as f64;
    let formula = format!(
        "{} bytes, {} / 2^30 × {}/{zones} of the leaders in another zone than kferry",
        grouped(data.bytes),
        pass.words,
        zones - 1
    );
    data.sized(terms.item(
        pass.id,
        Group::Transfer,
        pass.what,
        Price::CrossAz,
        quantity,
        formula,
    ))
}

fn replication(
    plan: &Plan,
    config: &Config,
    data: &Data,
    terms: &Terms<'_>,
    region: Option<&str>,
) -> Item {
    let (id, what) = (
        "target_replication",
        "replicating between the target's zones",
    );
    let hosts = plan
        .target
        .iter()
        .flat_map(|t| t.brokers.iter().map(|b| b.host.as_str()));
    if msk::is_msk(
        config.target.cluster_arn.as_deref(),
        config.target.bootstrap_servers.iter().map(String::as_str),
        hosts,
    ) {
        return terms.item(
            id,
            Group::Transfer,
            what,
            Price::CrossAz,
            0.0,
            "0: Amazon MSK does not charge for it".to_owned(),
        );
    }
    let unknown = |why: &str| Item::unknown(id, Group::Transfer, what, why);
    let Some(target) = &plan.target else {
        return unknown("the cluster does not exist yet, or was not read");
    };
    if region.is_none() {
        return unknown(
            "neither an ARN nor the brokers' names or racks tell that the cluster lies in AWS",
        );
    }
    let Some(zones) = zones_of(target) else {
        return unknown("the brokers do not tell their zones (broker.rack)");
    };
    let elsewhere = |replicas: i16| {
        usize::try_from(replicas)
            .unwrap_or(1)
            .min(zones)
            .saturating_sub(1) as i64
    };
    let bytes: i64 = plan
        .topics
        .iter()
        .map(|t| t.size_bytes() * elsewhere(t.replication_factor))
        .sum();
    let formula = format!(
        "{} bytes / 2^30: each topic's, times its replicas in other zones than the leader's, of {zones}",
        grouped(bytes)
    );
    data.sized(terms.item(
        id,
        Group::Transfer,
        what,
        Price::CrossAz,
        gib(bytes),
        formula,
    ))
}

fn cross_region(
    id: &'static str,
    what: &'static str,
    from: Option<&str>,
    to: Option<&str>,
    data: &Data,
    terms: &Terms<'_>,
) -> Item {
    match (from, to) {
        (Some(from), Some(to)) if from == to => terms.item(
            id,
            Group::Transfer,
            what,
            Price::CrossRegion,
            0.0,
            format!("0: both lie in {from}"),
        ),
        (Some(from), Some(to)) => {
            let formula = format!(
                "{} bytes, once / 2^30, from {from} to {to}",
                grouped(data.bytes)
            );
            data.sized(terms.item(
                id,
                Group::Transfer,
                what,
                Price::CrossRegion,
                gib(data.bytes),
                formula,
            ))
        }
        _ => Item::unknown(
            id,
            Group::Transfer,
            what,
            "not both Regions are known (cluster_arn, the brokers' names, the store's region)",
        ),
    }
}

fn brokers(plan: &Plan, config: &Config, terms: &Terms<'_>) -> Vec<Item> {
    let cost = &config.cost;
    let hours = |ms: u64| ms as f64 / 1000.0 / HOUR_S;
    let before = hours(cost.until_cutover_ms).max(plan.estimate.seed_seconds as f64 / HOUR_S);
    let after = hours(cost.soak_ms);
    // What is configured goes before what MSK says.
    let type_of = |configured: &Option<String>, msk: &Option<MskCluster>| {
        configured
            .clone()
            .or_else(|| msk.as_ref()?.instance_type.clone())
    };
    let (source_type, target_type) = (
        type_of(&cost.source_broker_type, &plan.source_msk),
        type_of(&cost.target_broker_type, &plan.target_msk),
    );
    let known = plan
        .target
        .as_ref()
        .map(|t| t.brokers.len())
        .or_else(|| usize::try_from(plan.target_msk.as_ref()?.brokers?).ok());
    let count = known.unwrap_or(plan.source.brokers.len());
    let assumed = if known.is_some() {
        ""
    } else {
        ", as many as the source has"
    };
    let (target, source) = (
        "the target's brokers before the cutover",
        "the source's brokers after the cutover",
    );
    vec![
        of_brokers(
            terms,
            "target_brokers",
            target,
            Price::TargetBroker,
            target_type.as_deref(),
            count,
            before,
            assumed,
        ),
        of_brokers(
            terms,
            "source_brokers",
            source,
            Price::SourceBroker,
            source_type.as_deref(),
            plan.source.brokers.len(),
            after,
            "",
        ),
        of_volumes(
            terms,
            "target_volumes",
            "the target's volumes before the cutover",
            plan.target_msk.as_ref(),
            before,
        ),
        of_volumes(
            terms,
            "source_volumes",
            "the source's volumes after the cutover",
            plan.source_msk.as_ref(),
            after,
        ),
    ]
}

fn of_volumes(
    terms: &Terms<'_>,
    id: &'static str,
    what: &'static str,
    msk: Option<&MskCluster>,
    hours: f64,
) -> Item {
    let unknown = |why: &str| Item::unknown(id, Group::DoubleRunning, what, why);
    let Some(msk) = msk else {
        return unknown(
            "how large the brokers' volumes are is told by MSK alone, of a cluster that is given by its ARN",
        );
    };
    let (Some(gib), Some(brokers)) = (msk.volume_gib, msk.brokers) else {
        return unknown("its brokers have no volumes of a provisioned size");
    };
    let quantity = f64::from(gib) * f64::from(brokers) * hours / 24.0 / MONTH_DAYS;
    let formula =
        format!("{gib} GiB × {brokers} brokers × {hours:.1} hours / 24 / (365 / 12) days a month");
    terms.item(
        id,
        Group::DoubleRunning,
        what,
        Price::MskStorage,
        quantity,
        formula,
    )
}

#[allow(clippy::too_many_arguments)]
fn of_brokers(
    terms: &Terms<'_>,
    id: &'static str,
    what: &'static str,
    price: Price,
    instance: Option<&str>,
    count: usize,
    hours: f64,
    assumed: &str,
) -> Item {
    if !terms.overridden(price) && instance.and_then(prices::broker_hour).is_none() {
        let why = match instance {
            None => format!(
                "what a broker costs is not known; set cost.{}, or cost.prices.{}",
                if price == Price::SourceBroker {
                    "source_broker_type"
                } else {
                    "target_broker_type"
                },
                price.key()
            ),
            Some(instance) => format!(
                "the table has no price of {instance}; set cost.prices.{}",
                price.key()
            ),
        };
        return Item::unknown(id, Group::DoubleRunning, what, &why);
    }
    let by_type = instance.and_then(prices::broker_hour);
    let named = instance.map_or(String::new(), |instance| format!(" {instance}"));
    let formula = format!("{count} brokers{named}{assumed} × {hours:.1} hours");
    terms.priced(
        id,
        Group::DoubleRunning,
        what,
        price,
        by_type,
        count as f64 * hours,
        formula,
    )
}

/// What nothing here could tell.
fn unknowable(plan: &Plan) -> Vec<Item> {
    let rate = match &plan.estimate.written {
        Some(written) => format!(
            "producers wrote {} bytes a second, as seen over {} ms, which says little about all the time until the cutover",
            grouped(i64::try_from(written.bytes_per_second()).unwrap_or(i64::MAX)),
            grouped(i64::try_from(written.window_ms).unwrap_or(i64::MAX))
        ),
        None => "how fast they write was not observed".to_owned(),
    };
    vec![
        Item::unknown(
            "tail",
            Group::Storage,
            "what producers add until the cutover",
            &format!("{rate}; it is stored, sent and kept like the rest"),
        ),
        Item::unknown(
            "host",
            Group::DoubleRunning,
            "the host that kferry runs on",
            "it is not known",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_two_requests_and_more_in_parts() {
        const MIB: i64 = 1 << 20;
        // Nothing; one short segment; two whole ones and a rest; exactly one.
        for (size, requests) in [(0, 0), (1, 2), (33 * MIB, 6), (16 * MIB, 2)] {
            assert_eq!(puts(size, 16 * MIB), requests, "{size}");
        }
        // 100 MiB in parts of 32: begun, four parts, completed, and the manifest.
        assert_eq!(puts(100 * MIB, 1024 * MIB), 7);
        assert_eq!(puts(96 * MIB, 1024 * MIB), 6);
    }
}
