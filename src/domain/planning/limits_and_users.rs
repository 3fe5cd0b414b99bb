//! What precheck says of client quotas and SCRAM users, and the quotas' part of the plan.

use super::report::{count, names};
use super::Context;
use crate::config::model::AuthMode;
use crate::domain::acl::DriftPolicy;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::quota::{Quota, QuotaClient, QuotaDiff};
use crate::domain::topology::ScramUser;

/// As kferry's requests name it. Its second client, which reads samples back, is `kferry-witness`; what slows that one down slows nothing else.
const CLIENT_ID: &str = "kferry";

/// Compares both clusters' quotas; None where those of either could not be read.
pub(super) fn plan(context: &Context, findings: &mut Vec<Finding>) -> Option<QuotaDiff> {
    let config = context.input.config;
    let user = |principal: Option<String>| principal.and_then(|p| p.strip_prefix("User:").map(str::to_owned));
    let (on_source, on_target) = (user(config.principal_on_source()), user(config.principal_on_target()));
    let source = &context.input.source.quotas;
    let target = context.input.target.as_ref().map(|t| &t.quotas);
    throttles("source", source.as_deref(), on_source.as_deref(), findings);
    throttles("target", target.and_then(|t| t.as_deref()), on_target.as_deref(), findings);
    for (name, read) in [("source", source.is_some()), ("target", target.is_none_or(Option::is_some))] {
        if !read {
            findings.push(Finding::new(FindingCode::NotProbed, name, "client quotas cannot be read there, so that none are carried over"));
        }
    }
    let client = QuotaClient { user: on_target.as_deref(), client_id: CLIENT_ID };
    let target = match target {
        // A target that does not exist yet has none.
        None => &[][..],
        Some(quotas) => quotas.as_deref()?,
    };
    let diff = QuotaDiff::between(source.as_deref()?, target, |entity| client.is_held_to(entity));
    if !diff.withheld.is_empty() {
        let list: Vec<String> = diff.withheld.iter().map(|q| q.entity.to_string()).collect();
        findings.push(Finding::new(FindingCode::QuotaWithheld, "target", names(&list)));
    }
    if !diff.drift.is_empty() {
        let code = match config.on_quota_drift {
            DriftPolicy::Refuse => FindingCode::QuotaDriftRefused,
            DriftPolicy::Merge | DriftPolicy::Replace => FindingCode::QuotaDrift,
        };
        let list: Vec<String> = diff.drift.iter().map(ToString::to_string).collect();
        findings.push(Finding::new(code, "target", names(&list)));
    }
    Some(diff)
}

/// Names the limits that a cluster holds kferry itself to.
fn throttles(cluster: &str, quotas: Option<&[Quota]>, user: Option<&str>, findings: &mut Vec<Finding>) {
    let limits = QuotaClient { user, client_id: CLIENT_ID }.limits(quotas.unwrap_or_default());
    if !limits.is_empty() {
        let list: Vec<String> = limits.iter().map(|(key, (entity, value))| format!("{key} {value} by the quota of {entity}")).collect();
        findings.push(Finding::new(FindingCode::QuotaThrottles, cluster, names(&list)));
    }
}

/// Names the SCRAM users whom the target does not have, or not with the same mechanism.
pub(super) fn scram(context: &Context, findings: &mut Vec<Finding>) {
    let Some(source) = &context.input.source.scram_users else {
        findings.push(Finding::new(FindingCode::NotProbed, "source", "SCRAM users cannot be read there"));
        return;
    };
    let Some(target) = &context.input.target else { return };
    // Where IAM lets clients in, nobody needs a SCRAM user.
    if source.is_empty() || context.input.config.target.auth.mode == AuthMode::Iam {
        return;
    }
    let Some(target) = &target.scram_users else {
        findings.push(Finding::new(FindingCode::NotProbed, "target", "SCRAM users cannot be read there, so that it is not known who is missing"));
        return;
    };
    let there = |user: &ScramUser| target.iter().any(|t| t.user == user.user && t.mechanism == user.mechanism);
    let missing: Vec<String> = source.iter().filter(|user| !there(user)).map(|u| format!("{} ({}, {} iterations)", u.user, u.mechanism, u.iterations)).collect();
    if !missing.is_empty() {
        findings.push(Finding::new(FindingCode::ScramUsers, "target", format!("{}: {}", count(missing.len(), "credential"), names(&missing))));
    }
}
