//! `aws-cli.sh`: makes on AWS what this migration needs and does not have: buckets, the policy of kferry's role, and the target cluster.
//!
//! The script is assembled of this plan's values and fixed parts (`aws_cli/*.sh`). Nothing is run here.

mod settings;

#[cfg(all(test, feature = "kafka"))]
pub(crate) use settings::CARRIED;

use super::limits::NAMES_SHOWN_MAX;
use super::msk::{self, ClusterArn};
use super::plan::Plan;
use super::planning::replicated_bytes;
use super::topology::ClusterSnapshot;
use super::{cost, segment};
use crate::config::model::{AuthMode, ClusterConfig, Config, StoreConfig};
use std::fmt::Write as _;

const COMMON: &str = include_str!("aws_cli/common.sh");
const BUCKETS: &str = include_str!("aws_cli/buckets.sh");
const POLICIES: &str = include_str!("aws_cli/policies.sh");
const CLUSTER: &str = include_str!("aws_cli/cluster.sh");

/// GiB of volume that MSK gives a broker at least to be of use; the smallest it takes is 1.
const VOLUME_GIB_MIN: i64 = 100;
/// Room on the volumes beyond the data that is there, in percent of it.
const VOLUME_HEADROOM_PERCENT: i64 = 50;
/// KRaft on MSK begins with 3.7; the version that a new cluster gets where the plan names no newer one.
const KAFKA_VERSION: &str = "3.9.x.kraft";

/// What is to be done about a target cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClusterStep {
    Create,
    /// It was read for this plan.
    Exists,
    /// It is not Amazon MSK's.
    SelfManaged,
    /// MSK has no such way in.
    NoSuchAuth(AuthMode),
}

/// A store that is a bucket.
struct Bucket<'a> {
    /// `BACKUP` or `EVIDENCE`.
    name: &'static str,
    bucket: &'a str,
    prefix: &'a str,
    region: Option<&'a str>,
    endpoint_url: Option<&'a str>,
    kms_key_arn: Option<&'a str>,
}

/// Renders the script.
pub fn render(plan: &Plan, config: &Config) -> String {
    let buckets: Vec<Bucket> = [
        ("BACKUP", &config.backup),
        ("EVIDENCE", &config.evidence.store),
    ]
    .into_iter()
    .filter_map(|(name, store)| bucket(name, store))
    .collect();
    let step = cluster_step(plan, config);
    let mut out = head(plan, step);
    out.push_str(&values(plan, config, &buckets, step));
    out.push_str(COMMON);
    if !buckets.is_empty() {
        out.push_str(BUCKETS);
    }
    out.push_str(&buckets_step(config, &buckets));
    out.push_str(POLICIES);
    match step {
        ClusterStep::Create => {
            out.push_str(&settings::functions(plan, config));
            out.push_str(CLUSTER);
        }
        ClusterStep::Exists | ClusterStep::SelfManaged | ClusterStep::NoSuchAuth(_) => {
            out.push_str(&no_cluster(step))
        }
    }
    out.push_str(&scram(plan, config, step));
    out.push_str(MAIN);
    out
}

fn bucket<'a>(name: &'static str, store: &'a StoreConfig) -> Option<Bucket<'a>> {
    let StoreConfig::S3 {
        bucket,
        prefix,
        region,
        endpoint_url,
        kms_key_arn,
    } = store
    else {
        return None;
    };
    let (region, endpoint_url, kms_key_arn) = (
        region.as_deref(),
        endpoint_url.as_deref(),
        kms_key_arn.as_deref(),
    );
    Some(Bucket {
        name,
        bucket,
        prefix,
        region,
        endpoint_url,
        kms_key_arn,
    })
}

fn is_msk(config: &ClusterConfig, snapshot: Option<&ClusterSnapshot>) -> bool {
    let hosts = snapshot
        .into_iter()
        .flat_map(|s| s.brokers.iter().map(|b| b.host.as_str()));
    msk::is_msk(
        config.cluster_arn.as_deref(),
        config.bootstrap_servers.iter().map(String::as_str),
        hosts,
    )
}

fn cluster_step(plan: &Plan, config: &Config) -> ClusterStep {
    let target_is_msk = is_msk(&config.target, plan.target.as_ref());
    match (&plan.target, config.target.auth.mode) {
        // MSK knows a cluster before its brokers answer.
        _ if plan.target_msk.is_some() => ClusterStep::Exists,
        (Some(_), _) if target_is_msk => ClusterStep::Exists,
        // A target that could not be read and has no name of MSK's may still be wanted there, if the source is there.
        (None, AuthMode::Plain | AuthMode::ScramSha256)
            if target_is_msk || is_msk(&config.source, Some(&plan.source)) =>
        {
            ClusterStep::NoSuchAuth(config.target.auth.mode)
        }
        (None, _) if target_is_msk || is_msk(&config.source, Some(&plan.source)) => {
            ClusterStep::Create
        }
        _ => ClusterStep::SelfManaged,
    }
}

/// Text as bash takes it, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Text within a JSON string.
fn in_json(text: &str) -> String {
    let json = serde_json::Value::String(text.to_owned()).to_string();
    json[1..json.len() - 1].to_owned()
}

/// One line of a comment, whatever is in the text.
fn in_comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn head(plan: &Plan, step: ClusterStep) -> String {
    let cluster = match step {
        ClusterStep::Create => "the target cluster on Amazon MSK with the source's settings",
        ClusterStep::Exists => "no cluster: the target was there when the plan was made",
        ClusterStep::SelfManaged => {
            "no cluster: the target is not Amazon MSK's, and is yours to make"
        }
        ClusterStep::NoSuchAuth(_) => {
            "no cluster: MSK does not have target.auth.mode as it is configured"
        }
    };
    format!(
        "#!/usr/bin/env bash\n\
         #\n\
         # Makes on AWS what migration {id} needs and does not have:\n\
         #   buckets   the buckets for segments and evidence, private, with lifecycle, versions and locks as configured\n\
         #   policies  the policy of the role that kferry runs under (iam-policy-concrete.json, beside this script)\n\
         #   cluster   {cluster}\n\
         #\n\
         # Written by kferry {version} from the plan of {at}. Read it before you run it; run it as somebody who may do all this.\n\
         # It looks before it makes anything, asks before each step, and can be run again. It deletes nothing.\n\
         # It was tried on an S3 server of another make and a double of MSK's control plane, not on AWS.\n\
         # --dry-run shows what it would do.\n\
         set -euo pipefail\n\
         # bash 4.4 and later; for an earlier one the functions look at what they substitute themselves.\n\
         shopt -s inherit_errexit 2>/dev/null || true\n",
        id = in_comment(&plan.migration_id),
        version = plan.kferry_version,
        at = in_comment(&plan.created_at),
    )
}

fn values(plan: &Plan, config: &Config, buckets: &[Bucket], step: ClusterStep) -> String {
    let mut out = String::from(
        "\n# --- To be filled in, here or in the environment. A step that needs what is empty refuses to begin. ------------------------\n\n",
    );
    // Writing to a String cannot err.
    let _ = writeln!(
        out,
        "# The IAM role that kferry runs under: its name, not its ARN.\nKFERRY_ROLE_NAME=\"${{KFERRY_ROLE_NAME:-}}\""
    );
    if step == ClusterStep::Create {
        out.push_str(&cluster_values(plan, config));
    }
    out.push_str("\n# --- From the plan and the configuration -----------------------------------------------------------------------------------\n\n");
    let _ = writeln!(
        out,
        "readonly POLICY_NAME={}",
        quoted(&format!("kferry-{}", named(&plan.migration_id, "._-")))
    );
    for b in buckets {
        let region = match (b.region, b.endpoint_url) {
            (Some(region), _) => quoted(region),
            // As kferry itself does where a server of one's own is named.
            (None, Some(_)) => "\"${AWS_REGION:-us-east-1}\"".to_owned(),
            (None, None) => "\"${AWS_REGION:-${AWS_DEFAULT_REGION:-}}\"".to_owned(),
        };
        let n = b.name;
        let _ = writeln!(out, "readonly {n}_BUCKET={}", quoted(b.bucket));
        let _ = writeln!(out, "readonly {n}_REGION={region}");
        let _ = writeln!(
            out,
            "readonly {n}_ENDPOINT={}",
            quoted(b.endpoint_url.unwrap_or_default())
        );
        let _ = writeln!(
            out,
            "readonly {n}_KMS_KEY_ARN={}",
            quoted(b.kms_key_arn.unwrap_or_default())
        );
        if n == "BACKUP" {
            // Within a JSON string.
            let folder = segment::all_segments(b.prefix, &plan.migration_id);
            let own = format!("{}{}/", b.prefix, plan.migration_id);
            let _ = writeln!(out, "readonly UPLOADS_PREFIX={}", quoted(&in_json(&own)));
            let _ = writeln!(
                out,
                "readonly LIFECYCLE_RULES={}",
                quoted(&named(&plan.migration_id, "._-"))
            );
            let _ = writeln!(
                out,
                "readonly SEGMENTS_PREFIX={}",
                quoted(&in_json(&folder))
            );
            let _ = writeln!(
                out,
                "readonly SEGMENTS_KEPT_DAYS={}",
                config.cost.segments_kept_days
            );
        }
    }
    out
}

/// Letters and digits, and what else is allowed; anything else becomes a hyphen.
fn named(text: &str, allowed: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || allowed.contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

fn cluster_values(plan: &Plan, config: &Config) -> String {
    let arn = config
        .target
        .cluster_arn
        .as_deref()
        .and_then(ClusterArn::parse);
    let name = arn.as_ref().map_or_else(
        || format!("{}-kraft", named(&plan.migration_id, "-")),
        |arn| arn.name.clone(),
    );
    let region = arn
        .map(|arn| arn.region)
        .or_else(|| cost::region_of(&config.source, Some(&plan.source)));
    let brokers = plan.source.brokers.len().max(1) as i64;
    let bytes = replicated_bytes(&plan.topics);
    let per_broker = bytes / brokers * (100 + VOLUME_HEADROOM_PERCENT) / 100;
    let msk = plan.source_msk.as_ref();
    let at_source = msk.and_then(|msk| msk.volume_gib).map_or(0, i64::from);
    let volume = per_broker
        .div_euclid(1 << 30)
        .saturating_add(1)
        .max(VOLUME_GIB_MIN)
        .max(at_source);
    let instance = config
        .cost
        .target_broker_type
        .as_deref()
        .or_else(|| msk?.instance_type.as_deref());
    let set = |name: &str, default: &str| format!("{name}=\"${{{name}:-{default}}}\"\n");
    let mut out = String::new();
    let mut say = |comment: &str, line: String| {
        let _ = write!(out, "\n# {comment}\n{line}");
    };
    say(
        "One subnet in each zone, by commas: subnet-…,subnet-…,subnet-…",
        set("CLIENT_SUBNETS", ""),
    );
    say(
        "The brokers' security groups, by commas: sg-…; kferry's host and the clients have to be let in.",
        set("SECURITY_GROUPS", ""),
    );
    say(
        "cost.target_broker_type, or the source's where MSK was asked. kafka.m7g.large, for instance.",
        set("BROKER_INSTANCE_TYPE", &plain(instance.unwrap_or_default())),
    );
    say(
        "As many as the source has; a multiple of the number of subnets.",
        set("BROKER_COUNT", &brokers.to_string()),
    );
    say(
        &format!(
            "What the selected topics take with their replicas, and {VOLUME_HEADROOM_PERCENT} % more; at least {VOLUME_GIB_MIN}, and the source's volumes where MSK was asked. It can grow later, never shrink."
        ),
        set("EBS_GIB_PER_BROKER", &volume.to_string()),
    );
    say(
        "A version in KRaft mode: aws kafka list-kafka-versions.",
        set("KAFKA_VERSION", KAFKA_VERSION),
    );
    say(
        "The cluster's name; kferry's configuration names the cluster by the ARN that comes of it.",
        set("TARGET_CLUSTER_NAME", &plain(&name)),
    );
    say(
        "The cluster's configuration, made if it is not there.",
        set("CONFIGURATION_NAME", "$TARGET_CLUSTER_NAME-settings"),
    );
    say(
        "A KMS key for the volumes; empty: AWS's own.",
        set("CLUSTER_KMS_KEY_ARN", ""),
    );
    say(
        "The Region of the cluster.",
        set(
            "CLUSTER_REGION",
            &region.as_deref().map_or_else(
                || "${AWS_REGION:-${AWS_DEFAULT_REGION:-}}".to_owned(),
                plain,
            ),
        ),
    );
    if config.target.auth.mode == AuthMode::Mtls {
        say(
            "The private CAs whose clients are let in, by commas: arn:aws:acm-pca:…",
            set("CERTIFICATE_AUTHORITY_ARNS", ""),
        );
    }
    out
}

/// A default within double quotes and braces; what could end either is left out.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "-_./:".contains(*c))
        .collect()
}

/// Whether both stores are one bucket. On AWS its name alone says so, whichever way in is named; two servers of one's own may have a bucket
/// of one name each. In doubt it is one: then nothing is locked by default.
fn is_same(a: &Bucket, b: &Bucket) -> bool {
    let apart = match (a.endpoint_url, b.endpoint_url) {
        (Some(x), Some(y)) => {
            let plain = |url: &str| url.trim_end_matches('/').to_ascii_lowercase();
            plain(x) != plain(y) && !(is_aws(x) && is_aws(y))
        }
        _ => false,
    };
    a.bucket == b.bucket && !apart
}

fn is_aws(endpoint_url: &str) -> bool {
    let url = endpoint_url.to_ascii_lowercase();
    let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn"]
        .iter()
        .any(|domain| host.ends_with(domain))
}

fn buckets_step(config: &Config, buckets: &[Bucket]) -> String {
    if buckets.is_empty() {
        return "\nbuckets() { say \"both stores are directories: there is no bucket to make\"; }\n".to_owned();
    }
    let same = matches!(buckets, [a, b] if is_same(a, b));
    let locked = config.evidence.object_lock;
    let mut out = String::from("\nbuckets() {\n");
    for b in buckets {
        let n = b.name;
        let what = if n == "BACKUP" {
            "segments"
        } else {
            "evidence"
        };
        let _ = writeln!(out, "  say \"{what}: bucket ${n}_BUCKET in ${n}_REGION\"");
    }
    if locked && !same {
        let _ = writeln!(
            out,
            "  say \"evidence is locked for {} days (COMPLIANCE): nobody can delete a bundle before, not even the account's root\"",
            config.evidence.retention_days
        );
    }
    out.push_str("  confirmed \"Buckets that are missing are made, whole. One that is there keeps its key, versions and locks; its public access is blocked, and lifecycle rules are added.\" || return 0\n");
    for b in buckets {
        let n = b.name;
        let evidence = n == "EVIDENCE" || same;
        let lock = if evidence && locked { "yes" } else { "no" };
        let _ = writeln!(out, "\n  use_store \"${n}_REGION\" \"${n}_ENDPOINT\"");
        let _ = writeln!(
            out,
            "  ensure_bucket \"${n}_BUCKET\" \"${n}_REGION\" {lock}"
        );
        let _ = writeln!(out, "  ensure_private \"${n}_BUCKET\"");
        let _ = writeln!(
            out,
            "  ensure_encrypted \"${n}_BUCKET\" \"${n}_KMS_KEY_ARN\""
        );
        if n == "BACKUP" {
            let _ = writeln!(
                out,
                "  ensure_lifecycle \"$BACKUP_BUCKET\" \"$UPLOADS_PREFIX\" \"$SEGMENTS_PREFIX\" \"$SEGMENTS_KEPT_DAYS\" \"$LIFECYCLE_RULES\""
            );
        }
        if n == "EVIDENCE" {
            let _ = writeln!(out, "  ensure_versions \"$EVIDENCE_BUCKET\"");
            if locked && same {
                out.push_str("  # Segments lie in the same bucket, so that no default retention is set; kferry locks each bundle by itself.\n  ensure_locked \"$EVIDENCE_BUCKET\" ''\n");
            } else if locked {
                let _ = writeln!(
                    out,
                    "  ensure_locked \"$EVIDENCE_BUCKET\" {}",
                    config.evidence.retention_days
                );
            } else {
                out.push_str("  # evidence.object_lock is false: nothing is locked.\n");
            }
        }
    }
    out.push_str("}\n");
    out
}

fn no_cluster(step: ClusterStep) -> String {
    let why = match step {
        ClusterStep::Create => unreachable!("it is rendered elsewhere"),
        ClusterStep::Exists => "the target was there when the plan was made: no cluster is created".to_owned(),
        ClusterStep::SelfManaged => "the target is not a cluster of Amazon MSK: none is created; the runbook lists what kferry has to be permitted there".to_owned(),
        ClusterStep::NoSuchAuth(mode) => {
            format!("Amazon MSK has no way in by {}: no cluster is created; set target.auth.mode to iam, scram-sha-512, mtls, tls or plaintext, and plan again", mode.as_str())
        }
    };
    format!("\ncluster() {{ say {}; }}\n", quoted(&why))
}

/// The steps that need what no plan knows: the passwords of SCRAM users.
fn scram(plan: &Plan, config: &Config, step: ClusterStep) -> String {
    if !matches!(step, ClusterStep::Create | ClusterStep::Exists)
        || config.target.auth.mode != AuthMode::ScramSha512
    {
        return String::new();
    }
    let mut out = String::from(
        "\n# SCRAM users: no cluster gives their passwords away. For each, a secret whose name begins with AmazonMSK_, encrypted with a key of your own\n\
         # (not AWS's), holding {\"username\":\"…\",\"password\":\"…\"}; then, with the cluster's ARN:\n\
         #   aws secretsmanager create-secret --name AmazonMSK_USER --kms-key-id KEY --secret-string file://USER.json\n\
         #   aws kafka batch-associate-scram-secret --cluster-arn ARN --secret-arn-list SECRET_ARN…\n\
         # and look whether the answer has UnprocessedScramSecrets.\n",
    );
    let users: Vec<String> = plan
        .source
        .scram_users
        .iter()
        .flatten()
        .map(|user| in_comment(&user.user))
        .collect();
    if !users.is_empty() {
        let more = users.len().saturating_sub(NAMES_SHOWN_MAX);
        let shown = users[..users.len() - more].join(", ");
        let _ = writeln!(
            out,
            "# The source's users: {shown}{}",
            if more > 0 {
                format!(" and {more} more, in plan.json")
            } else {
                String::new()
            }
        );
    }
    out
}

const MAIN: &str = "
# ---------------------------------------------------------------------------------------------------------------------------

if wanted buckets; then buckets; fi
if wanted policies; then policies; fi
if wanted cluster; then cluster; fi
say \"done; next: kferry precheck\"
";

#[cfg(test)]
mod tests;
