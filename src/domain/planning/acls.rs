//! The ACL bindings' part of the plan.

use super::report::{count, names};
use super::Context;
use crate::config::model::{AuthMode, ClusterConfig};
use crate::domain::acl::{ALLOW_EVERYONE, AclBinding, AclDiff, DriftPolicy, Operation, PatternType, Permission, ResourceType, WILDCARD};
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::msk::{self, MskCluster};
use crate::domain::permissions;
use crate::domain::topology::{ClusterSnapshot, HIDDEN};

/// Whether resources without bindings are open to everyone, and who says so.
pub(super) struct AllowEveryone {
    pub value: String,
    /// Empty where the brokers themselves show it.
    from: &'static str,
}

impl AllowEveryone {
    /// None where nobody tells: brokers hide settings whose type they do not know, and then it is MSK's control plane alone that can.
    pub fn of(cluster: &ClusterSnapshot, msk: Option<&MskCluster>) -> Option<Self> {
        match cluster.broker_configs.get(ALLOW_EVERYONE).filter(|value| *value != HIDDEN) {
            Some(value) => Some(Self { value: value.clone(), from: "" }),
            None => msk.and_then(MskCluster::allow_everyone).map(|(value, from)| Self { value, from }),
        }
    }

    /// `true on the target (by its MSK configuration)`.
    pub fn told(&self, side: &str) -> String {
        let from = if self.from.is_empty() { String::new() } else { format!(" ({})", self.from) };
        format!("{} on the {side}{from}", self.value)
    }
}

/// Whether what has no binding is open to everybody; None where nobody tells.
pub fn open_without_bindings(cluster: &ClusterSnapshot, msk: Option<&MskCluster>) -> Option<bool> {
    AllowEveryone::of(cluster, msk).map(|told| told.value.eq_ignore_ascii_case("true"))
}

/// Whether the cluster is MSK's, and its clients authenticate: then it has principals that are nobody's (`domain/msk.rs`).
fn has_internal_principals(cluster: &ClusterSnapshot, config: &ClusterConfig) -> bool {
    let authenticated = !matches!(config.auth.mode, AuthMode::Plaintext | AuthMode::Tls);
    let servers = config.bootstrap_servers.iter().map(String::as_str);
    authenticated && msk::is_msk(config.cluster_arn.as_deref(), servers, cluster.brokers.iter().map(|b| b.host.as_str()))
}

/// Compares both clusters' bindings; None where one of them has no authorizer, or the target goes by IAM, so that none can be carried.
pub(super) fn plan(context: &Context, findings: &mut Vec<Finding>) -> Option<AclDiff> {
    let config = context.input.config;
    let source = context.input.source.acls.as_deref()?;
    if config.target.auth.mode == AuthMode::Iam {
        if !source.is_empty() {
            let seen = format!("{} on the source; `plan` writes access-map.json, with what IAM cannot say", count(source.len(), "binding"));
            findings.push(Finding::new(FindingCode::AccessMap, "target", seen));
        }
        return None;
    }
    let target: &[AclBinding] = match &context.input.target {
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
    let internal = has_internal_principals(&context.input.source, &config.source);
    let (internal, carried): (Vec<AclBinding>, Vec<AclBinding>) = source.iter().cloned().partition(|b| internal && msk::is_internal(b));
    let mut diff = AclDiff::between(&carried, target);
    if context.input.target.as_ref().is_some_and(|t| has_internal_principals(t, &config.target)) {
        diff.target_only.retain(|b| !msk::is_internal(b));
    }
    if !internal.is_empty() {
        let list: Vec<String> = internal.iter().map(ToString::to_string).collect();
        findings.push(Finding::new(FindingCode::AclInternal, "source", format!("{}: {}", count(list.len(), "binding"), names(&list))));
        diff.internal = internal;
    }
    let own = config.principal_on_target();
    // kferry's own binding is there before it begins and goes last: neither drift nor ever removed by it.
    if let Some(own) = &own {
        diff.target_only.retain(|b| b.principal != *own);
    } else if config.on_acl_drift == DriftPolicy::Replace && !diff.target_only.is_empty() {
        let seen = format!("acl.on_drift is replace, and which of the {} are kferry's own cannot be told", count(diff.target_only.len(), "binding"));
        findings.push(Finding::new(FindingCode::PrincipalUnknown, "target", seen));
    } else if may_be_open(context) && !(diff.create.is_empty() && diff.withheld.is_empty()) {
        let seen = format!(
            "{} are to be created where resources without any may be open to everyone ({ALLOW_EVERYONE}): the first one would shut kferry out, whose own cannot be created before",
            count(diff.create.len() + diff.withheld.len(), "binding")
        );
        findings.push(Finding::new(FindingCode::PrincipalUnknown, "target", seen));
    }
    if !diff.target_only.is_empty() {
        let code = match config.on_acl_drift {
            DriftPolicy::Refuse => FindingCode::AclDriftRefused,
            DriftPolicy::Merge | DriftPolicy::Replace => FindingCode::AclDrift,
        };
        let list: Vec<String> = diff.target_only.iter().map(ToString::to_string).collect();
        findings.push(Finding::new(code, "target", format!("{}: {}", count(list.len(), "binding"), names(&list))));
    }
    Some(diff)
}

/// kferry's own bindings that have to be there before anybody else's: where a resource is open to everyone as long as it has
/// no bindings, the first one that is created for somebody shuts kferry out.
pub(super) fn own_bindings(context: &Context, diff: &AclDiff, needed: &[permissions::Permission]) -> Vec<AclBinding> {
    let (Some(own), Some(target)) = (context.input.config.principal_on_target(), &context.input.target) else { return Vec::new() };
    if !may_be_open(context) || is_super_user(target, &own) || (diff.create.is_empty() && diff.withheld.is_empty()) {
        return Vec::new();
    }
    let present = target.acls.as_deref().unwrap_or_default();
    let granted = |wanted: &AclBinding| {
        let grants = |b: &AclBinding| {
            b.permission == Permission::Allow && b.host == WILDCARD && b.concerns(&own) && b.operation.implies(wanted.operation) && b.is_about(wanted.resource_type, &wanted.resource_name, wanted.pattern_type)
        };
        present.iter().any(grants)
    };
    let all = needed.iter().filter(|p| p.side == permissions::ClusterSide::Target).flat_map(|p| p.bindings(&own));
    let mut missing: Vec<AclBinding> = all.filter(|b| !granted(b)).collect();
    // The right to create bindings first: from the first one on the cluster is not open any more.
    missing.sort_by_key(|b| (b.resource_type != ResourceType::Cluster, b.operation != Operation::Alter));
    missing
}

/// Whether the target's resources without bindings may be open to everyone: they may where the setting is there and nobody tells its value.
fn may_be_open(context: &Context) -> bool {
    let Some(target) = &context.input.target else { return false };
    match AllowEveryone::of(target, context.input.target_msk.as_ref()) {
        Some(told) => !told.value.eq_ignore_ascii_case("false"),
        None => target.broker_configs.contains_key(ALLOW_EVERYONE),
    }
}

/// Whether the brokers show the principal among `super.users`, which no binding shuts out.
fn is_super_user(cluster: &ClusterSnapshot, principal: &str) -> bool {
    cluster.broker_configs.get("super.users").is_some_and(|users| users.split(';').any(|user| user.trim() == principal))
}

/// Names the DENY bindings that the target has or will have and that deny kferry what it needs there.
pub(super) fn lockouts(context: &Context, diff: &AclDiff, needed: &[permissions::Permission], findings: &mut Vec<Finding>) {
    let Some(target) = &context.input.target else { return };
    // Where the principal is not known, what concerns everybody still concerns it.
    let own = context.input.config.principal_on_target().unwrap_or_default();
    if is_super_user(target, &own) || passes_everything(context, target, &own) {
        return;
    }
    let kept = if context.input.config.on_acl_drift == DriftPolicy::Replace { &[][..] } else { &diff.target_only[..] };
    let own_on_target = target.acls.iter().flatten().filter(|b| b.principal == own);
    let (mut certain, mut by_host) = (Vec::new(), Vec::new());
    for binding in diff.create.iter().chain(&diff.equal).chain(kept).chain(own_on_target).filter(|b| b.concerns(&own)) {
        if let Some(needed) = needed.iter().find(|p| p.side == permissions::ClusterSide::Target && denies(binding, p)) {
            let seen = format!("{binding}, which kferry needs to {}", needed.why);
            let list = if binding.host == WILDCARD { &mut certain } else { &mut by_host };
            if !list.contains(&seen) {
                list.push(seen);
            }
        }
    }
    for (code, list) in [(FindingCode::AclLockout, certain), (FindingCode::AclMayLockOut, by_host)] {
        if !list.is_empty() {
            findings.push(Finding::new(code, "target", names(&list)));
        }
    }
}

/// Whether the cluster permits kferry even what no binding gives it and nobody is given by default: then it is a super user.
fn passes_everything(context: &Context, target: &ClusterSnapshot, own: &str) -> bool {
    let Some(permitted) = &context.input.target_operations else { return false };
    let given = |b: &AclBinding| b.resource_type == ResourceType::Cluster && b.permission == Permission::Allow && b.concerns(own);
    permitted.contains(&Operation::ClusterAction) && !may_be_open(context) && !target.acls.iter().flatten().any(given)
}

/// Whether a DENY takes away something of a permission: its operation, or what comes along with it, on any of its resources.
pub(super) fn denies(binding: &AclBinding, needed: &permissions::Permission) -> bool {
    let about = |name: &String| {
        let within = needed.pattern_type == PatternType::Prefixed && binding.resource_type == needed.resource_type && binding.resource_name.starts_with(name.as_str());
        // A wildcard stands for many resources, of which the binding names one or some.
        let among = name == WILDCARD && binding.resource_type == needed.resource_type;
        within || among || binding.is_about(needed.resource_type, name, needed.pattern_type)
    };
    binding.permission == Permission::Deny && (binding.operation == Operation::All || needed.operation.implies(binding.operation)) && needed.names.iter().any(about)
}

/// Why others than kferry may be able to write to the target before the commit.
pub(super) fn who_may_write(context: &Context) -> Vec<String> {
    let Some(target) = &context.input.target else { return Vec::new() };
    let Some(bindings) = &target.acls else {
        return vec!["the target has no authorizer, so that everyone who reaches it may write".to_owned()];
    };
    let mut reasons = Vec::new();
    // Whom IAM lets in does what its policies say, whatever bindings there are.
    if let Some(told) = AllowEveryone::of(target, context.input.target_msk.as_ref()).filter(|told| told.value == "true" && context.input.config.target.auth.mode != AuthMode::Iam) {
        reasons.push(format!("{ALLOW_EVERYONE} is {}, and a topic without ACLs is open to everyone", told.told("target")));
    }
    let own = context.input.config.principal_on_target();
    let mut writers: Vec<&str> = bindings.iter().filter(|b| b.lets_write() && Some(&b.principal) != own.as_ref()).map(|b| b.principal.as_str()).collect();
    writers.sort_unstable();
    writers.dedup();
    if !writers.is_empty() {
        reasons.push(format!("the target has bindings already that let these write to topics: {}", names(&writers)));
    }
    reasons
}
