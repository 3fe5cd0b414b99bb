//! The runbook's part on clusters of Amazon MSK.

use super::tables::cell;
use crate::domain::msk::MskCluster;
use crate::domain::plan::Plan;
use crate::domain::topology::MetadataMode;
use std::fmt::Write as _;

/// One column for each cluster that is given by its ARN; nothing where none is.
pub(super) fn clusters(plan: &Plan) -> String {
    let sides: Vec<(&str, &MskCluster)> = [("source", &plan.source_msk), ("target", &plan.target_msk)].into_iter().filter_map(|(name, msk)| Some((name, msk.as_ref()?))).collect();
    if sides.is_empty() {
        return String::new();
    }
    let mut out = String::from("\n## As the MSK control plane describes them\n\n|");
    for (name, _) in &sides {
        let _ = write!(out, " | {name}");
    }
    let _ = writeln!(out, " |\n|---{}|", "|---".repeat(sides.len()));
    for (what, value) in ROWS {
        let _ = write!(out, "| {what}");
        for (_, msk) in &sides {
            let _ = write!(out, " | {}", cell(&value(msk)));
        }
        out.push_str(" |\n");
    }
    if !plan.scram_secrets.is_empty() {
        let _ = writeln!(out, "\n`execute` associates {} of the source's SCRAM secrets with the target, and `rollback` takes them away again; `plan.json` lists them.", plan.scram_secrets.len());
    }
    out
}

type Row = (&'static str, fn(&MskCluster) -> String);

const ROWS: [Row; 10] = [
    ("ARN", |msk| format!("`{}`", msk.arn)),
    ("kind", |msk| msk.kind.name().to_owned()),
    ("state", MskCluster::state_in_words),
    ("Kafka", |msk| {
        let mode = match msk.metadata_mode {
            MetadataMode::ZooKeeper => "ZooKeeper",
            MetadataMode::Kraft => "KRaft",
            MetadataMode::Unknown => "metadata mode not told",
        };
        format!("{}, {mode}", msk.kafka_version.as_deref().unwrap_or("version not told"))
    }),
    ("brokers", |msk| {
        let brokers = msk.brokers.map_or_else(|| "not told".to_owned(), |n| n.to_string());
        let zones = msk.zones.map_or_else(String::new, |n| format!(" in {n} zones"));
        format!("{brokers} {}{zones}", msk.instance_type.as_deref().unwrap_or(""))
    }),
    ("storage", |msk| {
        let tiered = if msk.tiered_storage { ", tiered storage" } else { "" };
        format!("{}{tiered}", msk.volume_gib.map_or_else(|| "not provisioned".to_owned(), |gib| format!("{gib} GiB on each broker")))
    }),
    ("configuration", |msk| msk.configuration.as_ref().map_or_else(|| "MSK's defaults, or not read".to_owned(), |c| format!("`{}`, revision {}", c.arn, c.revision))),
    ("bootstrap servers", |msk| format!("`{}`", msk.bootstrap_servers.join(","))),
    ("ways in", |msk| msk.offered.join(", ")),
    ("SCRAM secrets", |msk| msk.scram_secrets.as_ref().map_or_else(|| "not read".to_owned(), |secrets| secrets.len().to_string())),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::planning::fixture;

    #[test]
    fn each_cluster_by_arn_has_a_column() {
        let mut plan = fixture::plan();
        assert_eq!(clusters(&plan), "");
        plan.source_msk = Some(fixture::msk("old", MetadataMode::ZooKeeper));
        plan.target_msk = Some(fixture::msk("new", MetadataMode::Kraft));
        plan.scram_secrets = vec![crate::machine::sample::scram_secret()];
        insta::assert_snapshot!(clusters(&plan));
    }
}
