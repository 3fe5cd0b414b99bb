use super::*;
use crate::config::model::StoreConfig;
use crate::domain::planning::fixture;
use proptest::prelude::*;

fn item<'a>(estimate: &'a CostEstimate, id: &str) -> &'a Item {
    estimate
        .items
        .iter()
        .find(|item| item.id == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

fn usd(estimate: &CostEstimate, id: &str) -> u64 {
    item(estimate, id)
        .usd
        .unwrap_or_else(|| panic!("{id} is not known"))
        .0
}

/// One topic of one partition with 1 TiB, in both clusters three zones, from eu-west-1 to us-east-1.
fn one_tebibyte() -> (Plan, Config) {
    let (mut plan, mut config) = (fixture::plan(), fixture::config());
    plan.topics.truncate(1);
    plan.topics[0].partitions.truncate(1);
    plan.topics[0].partitions[0].size_bytes = Some(1 << 40);
    plan.topics[0].replication_factor = 3;
    for (cluster, region) in [
        (&mut plan.source, "eu-west-1"),
        (plan.target.as_mut().unwrap(), "us-east-1"),
    ] {
        for (broker, zone) in cluster.brokers.iter_mut().zip(["a", "b", "c"]) {
            broker.rack = Some(format!("{region}{zone}"));
        }
    }
    if let StoreConfig::S3 { region, .. } = &mut config.backup {
        *region = Some("us-east-1".to_owned());
    }
    (plan, config)
}

#[test]
fn a_tebibyte_costs_what_it_does_by_hand() {
    let (plan, mut config) = one_tebibyte();
    config.cost.segments_kept_days = 365;
    config.seed.segment_max_bytes = 64 << 20;
    let estimate = build(&plan, &config);
    // 1,024 GB × 12 months × 0.023.
    assert_eq!(usd(&estimate, "segments_storage"), 282_624_000);
    // 16,384 segments of 64 MiB, each with a manifest, and a file of proofs: 32,769 × 0.000005.
    assert_eq!(usd(&estimate, "segments_puts"), 163_845);
    // Two thirds of 1,024 GB at 0.02, and twice that on the target's side.
    assert_eq!(usd(&estimate, "source_cross_az"), 13_653_333);
    assert_eq!(usd(&estimate, "target_cross_az"), 27_306_667);
    // Two replicas in other zones.
    assert_eq!(usd(&estimate, "target_replication"), 40_960_000);
    assert_eq!(usd(&estimate, "source_cross_region"), 20_480_000);
    assert_eq!(usd(&estimate, "store_cross_region"), 0);
    assert_eq!(
        item(&estimate, "store_cross_region").formula.as_deref(),
        Some("0: both lie in us-east-1")
    );
    assert_eq!(estimate.region.as_deref(), Some("us-east-1"));
}

#[test]
fn two_clusters_cost_by_their_types_or_by_own_prices() {
    let (plan, mut config) = one_tebibyte();
    let estimate = build(&plan, &config);
    assert!(
        item(&estimate, "target_brokers")
            .unknown
            .as_ref()
            .unwrap()
            .contains("cost.target_broker_type")
    );
    (config.cost.until_cutover_ms, config.cost.soak_ms) = (10 * 86_400_000, 5 * 86_400_000);
    config.cost.target_broker_type = Some("kafka.m7g.large".to_owned());
    config
        .cost
        .prices
        .insert(Price::SourceBroker, 1_000_000_000);
    let estimate = build(&plan, &config);
    // 3 × 240 h × 0.204, and 3 × 120 h × 1.
    assert_eq!(
        (
            usd(&estimate, "target_brokers"),
            usd(&estimate, "source_brokers")
        ),
        (146_880_000, 360_000_000)
    );
    let own = item(&estimate, "source_brokers").price.as_ref().unwrap();
    assert_eq!(
        (own.from, own.date, own.region),
        ("configuration", None, None)
    );
    config.cost.target_broker_type = Some("express.m7g.large".to_owned());
    assert!(
        item(&build(&plan, &config), "target_brokers")
            .unknown
            .as_ref()
            .unwrap()
            .contains("no price of express.m7g.large")
    );
    // A seed that takes longer than the cutover was planned for counts.
    config.cost.target_broker_type = Some("kafka.m7g.large".to_owned());
    let mut slow = plan.clone();
    slow.estimate.seed_seconds = 20 * 86_400;
    assert_eq!(
        usd(&build(&slow, &config), "target_brokers"),
        2 * 146_880_000
    );
}

#[test]
fn what_msk_says_of_its_clusters_is_counted() {
    let (mut plan, mut config) = one_tebibyte();
    let mut msk = fixture::msk("shop", crate::domain::topology::MetadataMode::Kraft);
    (msk.instance_type, msk.volume_gib, msk.brokers) =
        (Some("kafka.m5.large".to_owned()), Some(1_000), Some(3));
    (plan.source_msk, plan.target_msk) = (Some(msk.clone()), Some(msk));
    (config.cost.until_cutover_ms, config.cost.soak_ms) = (73 * 86_400_000, 86_400_000);
    let estimate = build(&plan, &config);
    // 3 × 1,752 h × 0.21, and 3,000 GB × 2.4 months × 0.10.
    assert_eq!(
        (
            usd(&estimate, "target_brokers"),
            usd(&estimate, "target_volumes")
        ),
        (1_103_760_000, 720_000_000)
    );
    // 3 × 24 h × 0.21.
    assert_eq!(usd(&estimate, "source_brokers"), 15_120_000);
    assert!(
        estimate
            .unknown
            .iter()
            .all(|id| !id.contains("brokers") && !id.contains("volumes")),
        "{:?}",
        estimate.unknown
    );
}

#[test]
fn what_is_not_known_is_null_with_a_reason() {
    let (mut plan, mut config) = (fixture::plan(), fixture::config());
    plan.target = None;
    let estimate = build(&plan, &config);
    for id in [
        "source_cross_az",
        "target_cross_az",
        "target_replication",
        "source_cross_region",
        "target_brokers",
        "source_brokers",
        "target_volumes",
        "source_volumes",
        "tail",
        "host",
        "proofs_storage",
    ] {
        let item = item(&estimate, id);
        assert!(
            item.usd.is_none()
                && item.quantity.is_none()
                && item.price.is_none()
                && item.unknown.is_some(),
            "{item:?}"
        );
        assert!(estimate.unknown.contains(&id));
    }
    let json = serde_json::to_value(&estimate).unwrap();
    assert!(
        json["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["id"] == "tail" && item["usd"].is_null())
    );
    // A server of one's own has no list price, and may have one's own.
    if let StoreConfig::S3 { endpoint_url, .. } = &mut config.backup {
        *endpoint_url = Some("https://s3.example.com".to_owned());
    }
    let storage = item(&build(&plan, &config), "segments_storage").clone();
    assert!(
        storage.usd.is_none()
            && storage.quantity.is_some()
            && storage
                .unknown
                .unwrap()
                .contains("cost.prices.s3_storage_gb_month")
    );
    config.cost.prices.insert(Price::S3Storage, 10_000_000);
    assert!(
        item(&build(&plan, &config), "segments_storage")
            .usd
            .is_some()
    );
    config.backup = StoreConfig::Directory {
        path: "/segments".into(),
    };
    assert!(
        item(&build(&plan, &config), "segments_storage")
            .usd
            .is_none()
    );
}

#[test]
fn what_hangs_on_sizes_is_null_where_one_is_not_told() {
    let (mut plan, config) = one_tebibyte();
    let mut silent = plan.topics[0].partitions[0].clone();
    silent.size_bytes = None;
    plan.topics[0].partitions.push(silent);
    let estimate = build(&plan, &config);
    for id in ["segments_storage", "segments_puts", "source_cross_az", "target_cross_az", "target_replication", "source_cross_region"] {
        let item = item(&estimate, id);
        assert!(item.usd.is_none() && item.quantity.is_none() && estimate.unknown.contains(&id), "{item:?}");
        let why = "the brokers do not tell the size of 1 partitions; the others have 1,099,511,627,776 bytes";
        assert_eq!(item.unknown.as_deref(), Some(why));
    }
    assert_eq!(usd(&estimate, "store_cross_region"), 0, "within a Region");
}

#[test]
fn what_producers_add_is_told_by_what_was_seen_of_them() {
    let (mut plan, config) = one_tebibyte();
    let tail = |plan: &Plan| item(&build(plan, &config), "tail").unknown.clone().unwrap();
    assert!(tail(&plan).starts_with("producers wrote 100,000 bytes a second, as seen over 1,500 ms"), "{}", tail(&plan));
    plan.estimate.written = None;
    assert!(tail(&plan).starts_with("how fast they write was not observed"), "{}", tail(&plan));
}

#[test]
fn another_regions_prices_are_said_to_be_missing() {
    let (plan, mut config) = one_tebibyte();
    config.cost.region = Some("sa-east-1".to_owned());
    let estimate = build(&plan, &config);
    assert!(
        estimate.list_prices.contains("those of sa-east-1 differ"),
        "{}",
        estimate.list_prices
    );
    assert_eq!(
        item(&estimate, "segments_storage")
            .price
            .as_ref()
            .unwrap()
            .region,
        Some("us-east-1")
    );
    config.cost.region = Some("us-east-1".to_owned());
    assert!(!build(&plan, &config).list_prices.contains("differ"));
}

#[test]
fn the_estimate_of_a_representative_plan() {
    let (plan, mut config) = one_tebibyte();
    config.cost.target_broker_type = Some("kafka.m5.large".to_owned());
    config.cost.prices.insert(Price::S3Storage, 20_000_000);
    let mut json = serde_json::to_value(build(&plan, &config)).unwrap();
    json["items"]
        .as_array_mut()
        .unwrap()
        .retain(|item| item["id"] != "evidence_storage");
    insta::assert_snapshot!(
        "cost_estimate",
        serde_json::to_string_pretty(&json["items"]).unwrap()
    );
}

#[test]
fn a_cent_is_shown_as_one() {
    for (micro, shown) in [
        (0, "0.00 USD"),
        (1, "0.01 USD"),
        (10_000, "0.01 USD"),
        (1_234_567, "1.24 USD"),
    ] {
        assert_eq!(MicroUsd(micro).to_string(), shown);
    }
}

proptest! {
    /// Sums are their parts, whatever the sizes and the prices.
    #[test]
    fn sums_are_equal_to_their_parts(
        sizes in proptest::collection::vec(proptest::option::of(0..1i64 << 44), 1..6),
        prices in proptest::collection::vec((0..Price::ALL.len(), 0..5_000_000_000u64), 0..6),
        kept in 1..4_000u32,
    ) {
        let (mut plan, mut config) = one_tebibyte();
        let partition = plan.topics[0].partitions[0].clone();
        plan.topics[0].partitions = sizes.iter().map(|size| crate::domain::plan::PartitionPlan { size_bytes: *size, ..partition.clone() }).collect();
        config.cost.prices = prices.into_iter().map(|(at, nano)| (Price::ALL[at], nano)).collect();
        config.cost.segments_kept_days = kept;
        let estimate = build(&plan, &config);
        let parts: u64 = estimate.items.iter().filter_map(|item| item.usd).map(|usd| usd.0).sum();
        prop_assert_eq!(estimate.known_usd.0, parts);
        prop_assert_eq!(estimate.groups.values().map(|usd| usd.0).sum::<u64>(), parts);
        for (group, sum) in &estimate.groups {
            let of_group: u64 = estimate.items.iter().filter(|item| item.group == *group).filter_map(|item| item.usd).map(|usd| usd.0).sum();
            prop_assert_eq!(sum.0, of_group);
        }
        let unknown: Vec<&str> = estimate.items.iter().filter(|item| item.unknown.is_some()).map(|item| item.id).collect();
        prop_assert_eq!(&estimate.unknown, &unknown);
        prop_assert!(estimate.items.iter().all(|item| item.usd.is_some() != item.unknown.is_some()));
    }
}
