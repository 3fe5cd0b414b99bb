//! Which permissions are missing, tried on both clusters.

use super::limits::PATIENCE;
use crate::config::Config;
use crate::domain::acl::Operation;
use crate::domain::finding::{Finding, FindingCode, Severity};
use crate::domain::permissions::{self, ClusterSide, Missing, Permission, Right, Subjects};
use crate::domain::planning;
use crate::domain::selection::{group_left_out, topic_left_out};
use crate::kafka::cluster::{Cluster, Side};
use crate::kafka::permissions as probes;
use crate::kafka::source::Source;

/// What is missing, and the clusters that do not tell.
#[derive(Default)]
pub(in crate::driver) struct Tried {
    pub missing: Vec<Missing>,
    /// Those that a cluster has answered on, whatever it said.
    pub rights: Vec<Right>,
    pub not_told: Vec<Finding>,
}

/// Tries every permission on its cluster; one that cannot be reached is passed over, since that is told elsewhere.
pub(in crate::driver) async fn missing(source: Option<&Cluster>, target: Option<&Cluster>, needed: &[Permission]) -> Tried {
    let needed = &without_existing(needed, target)[..];
    let on = |cluster: Option<&Cluster>, side: ClusterSide| {
        let hasty = cluster.map(|c| c.with_patience(PATIENCE));
        async move {
            match hasty {
                Some(cluster) => Some((side, probes::missing(&cluster, side, needed).await)),
                None => None,
            }
        }
    };
    let (source, target) = futures::join!(on(source, ClusterSide::Source), on(target, ClusterSide::Target));
    let mut tried = Tried::default();
    for (side, answer) in [source, target].into_iter().flatten() {
        match answer {
            Ok((missing, untried)) => {
                tried.missing.extend(missing);
                let answered = |right: &Right| right.side() == side && !untried.iter().any(|(other, _)| other == right);
                tried.rights.extend(needed.iter().map(|p| p.right).filter(answered));
                tried.not_told.extend(untried.into_iter().map(|(right, why)| {
                    not_tried(side, &format!("whether {} on {} is permitted, which kferry needs to {}: {why}", right.operation().name(), right.resource_type().name(), right.why()))
                }));
            }
            Err(error) => tried.not_told.push(not_tried(side, &format!("kferry's permissions there: {}", error.seen()))),
        }
    }
    tried
}

/// What could not be tried may be missing: nobody should begin on it unawares.
fn not_tried(side: ClusterSide, seen: &str) -> Finding {
    Finding { severity: Severity::Warning, ..Finding::new(FindingCode::NotProbed, side.name(), seen) }
}

/// A target that does not let itself be read makes the plan create topics that it has.
fn without_existing(needed: &[Permission], target: Option<&Cluster>) -> Vec<Permission> {
    let mut needed = needed.to_vec();
    if let Some(metadata) = target.map(Cluster::metadata) {
        for permission in needed.iter_mut().filter(|p| p.right == Right::TargetTopicCreate) {
            permission.names.retain(|name| metadata.topic(name).is_none());
        }
    }
    needed
}

/// What the target permits on the cluster as a whole; None where it does not tell.
pub(in crate::driver) async fn on_cluster(cluster: &Cluster) -> Option<Vec<Operation>> {
    probes::on_cluster(&cluster.with_patience(PATIENCE)).await.ok().flatten()
}

/// Adds the same where the source does not let itself be read, so that there is no plan: by the names that can be seen.
pub(in crate::driver) async fn without_plan(config: &Config, findings: &mut Vec<Finding>) {
    let Ok(source) = Cluster::connect(Side::Source, &config.source).await else { return };
    let target = Cluster::connect(Side::Target, &config.target).await.ok();
    let topics: Vec<String> = source.metadata().topics.keys().map(|name| name.to_string()).filter(|name| topic_left_out(&config.topics, name, false).is_none()).collect();
    let listed = Source::new(&source).with_patience(PATIENCE).list_groups().await.unwrap_or_default();
    let groups: Vec<String> = listed.into_iter().map(|g| g.group_id).filter(|id| group_left_out(&config.groups, id).is_none()).collect();
    let known = |name: &String| target.as_ref().is_some_and(|t| t.metadata().topic(name).is_some());
    let subjects = Subjects {
        migration_id: config.migration_id.clone().unwrap_or_default(),
        created: topics.iter().filter(|name| !known(name)).cloned().collect(),
        topics,
        carried: groups.clone(),
        groups,
        ..Subjects::default()
    };
    let tried = missing(Some(&source), target.as_ref(), &permissions::needed_for(&subjects)).await;
    findings.extend(planning::missing_findings(&tried.missing));
    findings.extend(tried.not_told);
    planning::explain_unreachable(findings, &tried.missing);
}
