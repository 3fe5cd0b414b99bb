//! The target cluster's settings and its way in, as functions of the script.

use crate::config::model::{AuthMode, Config};
use crate::domain::acl::ALLOW_EVERYONE;
use crate::domain::plan::Plan;
use crate::domain::topology::HIDDEN;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Settings of brokers that an MSK configuration takes and that are worth carrying over; of those in a plan.
///
/// Source: "Custom Amazon MSK configurations". Versions of protocols and formats, authorizers and listeners are MSK's own.
pub(crate) const CARRIED: [&str; 23] = [
    "auto.create.topics.enable",
    "compression.type",
    "default.replication.factor",
    "group.max.session.timeout.ms",
    "group.min.session.timeout.ms",
    "log.cleanup.policy",
    "log.message.timestamp.type",
    "log.retention.bytes",
    "log.retention.hours",
    "log.retention.minutes",
    "log.retention.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "num.partitions",
    "offsets.retention.minutes",
    "offsets.topic.replication.factor",
    "socket.request.max.bytes",
    "transaction.max.timeout.ms",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
    "transactional.id.expiration.ms",
    "unclean.leader.election.enable",
];

/// Settings of an MSK configuration that a cluster in KRaft mode, or of a later version, refuses.
const BOUND: [&str; 4] = [
    "zookeeper.",
    "inter.broker.protocol.version",
    "log.message.format.version",
    "log.message.timestamp.difference.max.ms",
];

/// `server_properties`, `client_authentication` and the values that go with them.
pub(super) fn functions(plan: &Plan, config: &Config) -> String {
    let mut out = String::from(
        "\n# The source's effective settings of those that MSK lets be set; topics bring their own besides.\n\
         # allow.everyone.if.no.acl.found is not among them: set it to false in the cluster's configuration once the ACLs are there.\n\
         server_properties() {\n  cat <<'PROPERTIES'\n",
    );
    for (name, value) in settings(plan) {
        // Writing to a String cannot err.
        let _ = writeln!(out, "{name}={value}");
    }
    out.push_str("PROPERTIES\n}\n");
    let _ = write!(
        out,
        "\n# {}\n{}",
        way_in(config.target.auth.mode),
        client_authentication(config.target.auth.mode)
    );
    out.push_str("readonly KAFKA=(aws kafka --region \"$CLUSTER_REGION\")\n");
    out
}

/// What the brokers say, and what the source's own MSK configuration has besides, which MSK takes again.
fn settings(plan: &Plan) -> BTreeMap<&str, &str> {
    let configuration = plan
        .source_msk
        .as_ref()
        .and_then(|msk| msk.configuration.as_ref());
    let own = configuration
        .into_iter()
        .flat_map(|configuration| &configuration.server_properties);
    let own = own
        // While the ACLs are not there yet, `false` locks everybody out, kferry too; `true` is MSK's default.
        .filter(|(name, _)| name.as_str() != ALLOW_EVERYONE)
        .filter(|(name, _)| !BOUND.iter().any(|bound| name.starts_with(bound)))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let told = CARRIED
        .iter()
        .filter_map(|name| Some((*name, plan.source.broker_configs.get(*name)?.as_str())));
    let sound = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    own.chain(told)
        .filter(|(name, value)| *value != HIDDEN && sound(name) && sound(value))
        .collect()
}

fn way_in(mode: AuthMode) -> String {
    format!("The way in of target.auth.mode, {}.", mode.as_str())
}

fn client_authentication(mode: AuthMode) -> String {
    let (json, in_transit) = match mode {
        AuthMode::Iam => (r#"{"Sasl":{"Iam":{"Enabled":true}}}"#, "TLS"),
        AuthMode::ScramSha512 => (r#"{"Sasl":{"Scram":{"Enabled":true}}}"#, "TLS"),
        AuthMode::Tls => (r#"{"Unauthenticated":{"Enabled":true}}"#, "TLS"),
        AuthMode::Plaintext => (r#"{"Unauthenticated":{"Enabled":true}}"#, "TLS_PLAINTEXT"),
        AuthMode::Mtls => {
            return "client_authentication() {\n  \
                    [[ -n \"$CERTIFICATE_AUTHORITY_ARNS\" ]] || die \"CERTIFICATE_AUTHORITY_ARNS is not set; see the top of this script\"\n  \
                    local authorities\n  \
                    authorities=\"$(json_list CERTIFICATE_AUTHORITY_ARNS \"$CERTIFICATE_AUTHORITY_ARNS\" '^arn:[a-z-]+:acm-pca:')\" || return 1\n  \
                    printf '{\"Tls\":{\"Enabled\":true,\"CertificateAuthorityArnList\":%s}}' \"$authorities\"\n}\nreadonly CLIENT_BROKER=TLS\n"
                .to_owned();
        }
        AuthMode::Plain | AuthMode::ScramSha256 => {
            unreachable!("MSK has no such way in, and no cluster is rendered for it")
        }
    };
    format!(
        "client_authentication() {{ printf '%s' '{json}'; }}\nreadonly CLIENT_BROKER={in_transit}\n"
    )
}
