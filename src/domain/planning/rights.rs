//! What is said of permissions that are missing.

use super::acls::denies;
use super::report::names;
use crate::config::model::Config;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::permissions::{ClusterSide, Missing, Right};
use crate::domain::plan::Plan;

/// Notes in the plan's permissions what is missing of those that were tried, and adds a finding for each, with the bindings that deny it where the
/// plan's snapshots show any.
pub fn add_missing(plan: &mut Plan, config: &Config, tried: &[Right], missing: &[Missing]) {
    for permission in plan.permissions.iter_mut().filter(|p| tried.contains(&p.right)) {
        permission.missing = Some(missing.iter().filter(|m| m.right == permission.right).flat_map(|m| m.names.clone()).collect());
    }
    let mut found = missing_findings(missing);
    for (finding, missing) in found.iter_mut().zip(missing.iter().filter(|m| is_told(m))) {
        let (bindings, own) = match missing.right.side() {
            ClusterSide::Source => (plan.source.acls.as_ref(), config.principal_on_source()),
            ClusterSide::Target => (plan.target.as_ref().and_then(|t| t.acls.as_ref()), config.principal_on_target()),
        };
        let needed = plan.permissions.iter().find(|p| p.right == missing.right);
        let own = own.unwrap_or_default();
        let denied = bindings.into_iter().flatten().filter(|b| b.concerns(&own) && needed.is_some_and(|p| denies(b, p)));
        let denied: Vec<String> = denied.map(ToString::to_string).collect();
        if !denied.is_empty() {
            finding.seen.push_str(&format!("; denied by {}", names(&denied)));
        }
    }
    plan.findings.extend(found);
    explain_unreachable(&mut plan.findings, missing);
    plan.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
}

/// A cluster that cannot be read for want of a permission is not looked for in the network.
pub fn explain_unreachable(findings: &mut [Finding], missing: &[Missing]) {
    for (code, side) in [(FindingCode::SourceUnreachable, ClusterSide::Source), (FindingCode::TargetUnreachable, ClusterSide::Target)] {
        if missing.iter().any(|m| is_told(m) && m.right.side() == side) {
            let unreachable = findings.iter_mut().filter(|f| f.code == code);
            unreachable.for_each(|f| f.remedy = format!("grant what the findings KF-PRE-DENIED-{}-… name, then run precheck again", side.name().to_uppercase()));
        }
    }
}

/// The same without a plan.
pub fn missing_findings(missing: &[Missing]) -> Vec<Finding> {
    let finding = |m: &Missing| {
        let right = m.right;
        let seen = format!("{} on {} {} is not permitted; it is needed to {}", right.operation().name(), right.resource_type().name(), names(&m.names), right.why());
        Finding::new(right.code(), right.side().name(), seen)
    };
    missing.iter().filter(|m| is_told(m)).map(finding).collect()
}

/// What WriteTxnMarkers would save is told with the estimate.
fn is_told(missing: &Missing) -> bool {
    missing.right != Right::TargetClusterAlterForMarkers && missing.right.code() != FindingCode::WriteTxnMarkersForbidden
}
