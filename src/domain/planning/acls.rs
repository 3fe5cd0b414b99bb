//! The ACL bindings' part of the plan.

use super::report::{count, names};
use super::Context;
use crate::config::model::{Auth, AuthMode};
use crate::domain::acl::{AclBinding, AclDiff, DriftPolicy};
use crate::domain::finding::{Finding, FindingCode};

/// The principal that brokers see for these credentials; None where only the broker knows (certificates, IAM roles).
fn own_principal(auth: &Auth) -> Option<String> {
    match auth.mode {
        AuthMode::Plaintext | AuthMode::Tls => Some("User:ANONYMOUS".to_owned()),
        AuthMode::Plain | AuthMode::ScramSha256 | AuthMode::ScramSha512 => auth.username.as_ref().map(|name| format!("User:{name}")),
        AuthMode::Mtls | AuthMode::Iam => None,
    }
}

fn shown(binding: &AclBinding) -> String {
    format!(
        "{} {:?} {:?} on {:?} `{}` ({:?}) from {}",
        binding.principal, binding.permission, binding.operation, binding.resource_type, binding.resource_name, binding.pattern_type, binding.host
    )
}

/// Compares both clusters' bindings; None where one of them has no authorizer, so that none can be carried.
pub(super) fn plan(context: &Context, findings: &mut Vec<Finding>) -> Option<AclDiff> {
    let source = context.input.source.acls.as_deref()?;
    let target = match &context.input.target {
        None => &[],
        Some(cluster) => match cluster.acls.as_deref() {
            Some(bindings) => bindings,
            None => {
                if !source.is_empty() {
                    let seen = format!("{} on the source cannot be created", count(source.len(), "binding"));
                    findings.push(Finding::new(FindingCode::AuthorizerMissing, "target", seen));
                }
                return None;
            }
        },
    };
    let mut diff = AclDiff::between(source, target);
    // kferry's own binding is there before it begins and goes last: neither drift nor ever removed by it.
    if let Some(own) = own_principal(&context.input.config.target.auth) {
        diff.target_only.retain(|b| b.principal != own);
    }
    if !diff.target_only.is_empty() {
        let code = match context.input.config.on_acl_drift {
            DriftPolicy::Refuse => FindingCode::AclDriftRefused,
            DriftPolicy::Merge | DriftPolicy::Replace => FindingCode::AclDrift,
        };
        let list: Vec<String> = diff.target_only.iter().map(shown).collect();
        findings.push(Finding::new(code, "target", format!("{}: {}", count(list.len(), "binding"), names(&list))));
    }
    Some(diff)
}

/// Why others than kferry may be able to write to the target before the commit.
pub(super) fn who_may_write(context: &Context) -> Vec<String> {
    let Some(target) = &context.input.target else { return Vec::new() };
    let Some(bindings) = &target.acls else {
        return vec!["the target has no authorizer, so that everyone who reaches it may write".to_owned()];
    };
    let mut reasons = Vec::new();
    if target.broker_configs.get("allow.everyone.if.no.acl.found").is_some_and(|v| v == "true") {
        reasons.push("allow.everyone.if.no.acl.found is true on the target, and a topic without ACLs is open to everyone".to_owned());
    }
    let own = own_principal(&context.input.config.target.auth);
    let mut writers: Vec<&str> = bindings.iter().filter(|b| b.lets_write() && Some(&b.principal) != own.as_ref()).map(|b| b.principal.as_str()).collect();
    writers.sort_unstable();
    writers.dedup();
    if !writers.is_empty() {
        reasons.push(format!("the target has bindings already that let these write to topics: {}", names(&writers)));
    }
    reasons
}
