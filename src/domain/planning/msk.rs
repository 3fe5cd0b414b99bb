//! What precheck finds in what the MSK control plane says of the clusters, and the secrets that are to be associated.

use super::Context;
use super::report::{bytes, count, names};
use crate::config::model::{AuthMode, Config, ScramSecrets};
use crate::domain::cost::{region_of, region_of_store};
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::msk::{Availability, ClusterArn, MskCluster, MskKind, configuration_differences, scram_secret};
use crate::domain::plan::TopicPlan;

/// From this share of the target's volumes on they are called tight: AWS's advice is to be warned there.
const TIGHT_PERCENT: i64 = 85;

/// Whether both sides name one cluster.
pub(super) fn same_arn(config: &Config) -> bool {
    config.source.cluster_arn.is_some() && config.source.cluster_arn == config.target.cluster_arn
}

pub(super) fn findings(context: &Context, topics: &[TopicPlan], needed_bytes: i64) -> Vec<Finding> {
    let input = context.input;
    let mut found = Vec::new();
    for (name, msk) in [("source", &input.source_msk), ("target", &input.target_msk)] {
        if let Some(msk) = msk {
            of_one(name, msk, &mut found);
        }
    }
    cross_region(context, topics, &mut found);
    if let Some(target) = &input.target_msk {
        disk_room(target, needed_bytes, &mut found);
    }
    if let (Some(source), Some(target)) = (&input.source_msk, &input.target_msk)
        && let (Some(source), Some(target)) = (&source.configuration, &target.configuration)
    {
        let differing = configuration_differences(source, target);
        if !differing.is_empty() {
            found.push(Finding::new(FindingCode::MskConfiguration, "target", format!("{}: {}", count(differing.len(), "setting"), names(&differing))));
        }
    }
    found
}

fn of_one(name: &str, msk: &MskCluster, found: &mut Vec<Finding>) {
    if msk.availability() == Availability::Busy {
        found.push(Finding::new(FindingCode::MskBusy, name, format!("{} is {}", msk.name, msk.state_in_words())));
    }
    if msk.kind == MskKind::Express {
        let of_type = msk.instance_type.as_deref().unwrap_or("a type that was not told");
        found.push(Finding::new(FindingCode::MskExpress, name, format!("{} has brokers of {of_type}", msk.name)));
    }
    if !msk.not_read.is_empty() {
        found.push(Finding::new(FindingCode::MskNotRead, name, msk.not_read.join("; ")));
    }
}

/// What crosses from Region to Region, where ARNs, brokers' names or zones tell them; kferry is taken to run in the target's.
fn cross_region(context: &Context, topics: &[TopicPlan], found: &mut Vec<Finding>) {
    let input = context.input;
    let (source, target) = (region_of(&input.config.source, Some(&input.source)), region_of(&input.config.target, input.target.as_ref()));
    let size = bytes(topics.iter().map(TopicPlan::size_bytes).fold(0, i64::saturating_add));
    if let (Some(source), Some(target)) = (&source, &target)
        && source != target
    {
        let seen = format!("from {source} to {target}: at least {size} cross the border once, all that is written until the cutover too, and the target is read again for the proof");
        found.push(Finding::new(FindingCode::CrossRegion, "", seen));
    }
    let (here, whose) = match (target, source) {
        (Some(target), _) => (target, "target"),
        (None, Some(source)) => (source, "source"),
        (None, None) => return,
    };
    if let Some(store) = region_of_store(&input.config.backup).filter(|store| *store != here) {
        let seen = format!("the segments go to {store}, the {whose} is in {here}: at least {size} cross the border, and all that is written until the cutover too");
        found.push(Finding::new(FindingCode::StoreCrossRegion, "backup", seen));
    }
}

/// Volumes against what they have to hold, spread evenly over them.
fn disk_room(target: &MskCluster, needed_bytes: i64, found: &mut Vec<Finding>) {
    let Some(room) = target.volumes_bytes() else { return };
    let code = if needed_bytes > room {
        FindingCode::MskDiskShort
    } else if needed_bytes > room / 100 * TIGHT_PERCENT {
        FindingCode::MskDiskTight
    } else {
        return;
    };
    let (brokers, each) = (target.brokers.unwrap_or_default(), target.volume_gib.unwrap_or_default());
    let seen = format!("{} needed, {} there: {each} GiB on each of {}", bytes(needed_bytes), bytes(room), count(brokers.max(0) as usize, "broker"));
    found.push(Finding::new(code, "target", seen));
}

/// The secrets to be associated with the target; names those of the source and those that cannot be.
pub(super) fn scram_secrets(context: &Context, findings: &mut Vec<Finding>) -> Vec<String> {
    let input = context.input;
    let associate = input.config.scram_secrets == ScramSecrets::Associate;
    let unfit = |name: &str, seen: String| Finding::new(FindingCode::MskScramUnfit, name, seen);
    let Some(source) = &input.source_msk else { return Vec::new() };
    let Some(secrets) = &source.scram_secrets else {
        if associate {
            findings.push(unfit("source", "its secrets could not be read".to_owned()));
        }
        return Vec::new();
    };
    let (missing, seen) = match input.target_msk.as_ref().map(|target| (target, &target.scram_secrets)) {
        Some((_, Some(there))) => (secrets.iter().filter(|s| !there.contains(s)).cloned().collect::<Vec<_>>(), "are not associated with the target"),
        Some((_, None)) if associate => {
            findings.push(unfit("target", "its secrets could not be read".to_owned()));
            return Vec::new();
        }
        Some((_, None)) | None => (secrets.clone(), "are associated with the source, the target's could not be read"),
    };
    if missing.is_empty() {
        return Vec::new();
    }
    let next = if associate { "; kferry associates them" } else { "" };
    // Where IAM lets clients in, nobody needs a SCRAM user.
    if associate || input.config.target.auth.mode != AuthMode::Iam {
        findings.push(Finding::new(FindingCode::MskScramSecrets, "target", format!("{} {seen}: {}{next}", count(missing.len(), "secret"), names(&missing))));
    }
    if !associate {
        return Vec::new();
    }
    let Some(cluster) = input.config.target.cluster_arn.as_deref().and_then(ClusterArn::parse) else { return Vec::new() };
    let refused: Vec<String> = missing.iter().filter_map(|s| scram_secret::unfit_for(s, &cluster).map(|why| format!("{s}: {why}"))).collect();
    if !refused.is_empty() {
        findings.push(unfit("target", names(&refused)));
        return Vec::new();
    }
    missing
}
