//! `source` and `target`: how a cluster is reached and who we are there.

use super::model::{Auth, AuthMode, ClusterConfig, Network, ScramSecrets, Secret, SecurityProtocol};
use super::problem::Problem;
use super::raw;
use super::reader::{Reader, Value};
use super::store::endpoint;
use super::text::{Mark, Text, Texts};
use crate::domain::msk::ClusterArn;
use crate::domain::msk::bootstrap::WayIn;
use serde_saphyr::Spanned;

/// The names of `auth.mode`.
const AUTH_MODES: [(&str, AuthMode); 7] = [
    named(AuthMode::Iam),
    named(AuthMode::ScramSha512),
    named(AuthMode::ScramSha256),
    named(AuthMode::Plain),
    named(AuthMode::Mtls),
    named(AuthMode::Tls),
    named(AuthMode::Plaintext),
];

const fn named(mode: AuthMode) -> (&'static str, AuthMode) {
    (mode.as_str(), mode)
}

/// The names of `network`.
const NETWORKS: [(&str, Network); 4] = {
    const fn named(network: Network) -> (&'static str, Network) {
        (network.as_str(), network)
    }
    [named(Network::Private), named(Network::PrivateIpv6), named(Network::Public), named(Network::VpcConnectivity)]
};

/// Kafka's names of `auth.security_protocol`.
const SECURITY_PROTOCOLS: [(&str, SecurityProtocol); 4] = [
    ("SASL_SSL", SecurityProtocol::SaslSsl),
    ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext),
    ("SSL", SecurityProtocol::Ssl),
    ("PLAINTEXT", SecurityProtocol::Plaintext),
];

/// The protocols that a mode may speak, its default first.
fn protocols_of(mode: AuthMode) -> &'static [SecurityProtocol] {
    match mode {
        AuthMode::Plaintext => &[SecurityProtocol::Plaintext],
        AuthMode::Tls | AuthMode::Mtls => &[SecurityProtocol::Ssl],
        AuthMode::Plain | AuthMode::ScramSha256 | AuthMode::ScramSha512 => &[SecurityProtocol::SaslSsl, SecurityProtocol::SaslPlaintext],
        AuthMode::Iam => &[SecurityProtocol::SaslSsl],
    }
}

/// Most bootstrap servers; a client needs a few to find the rest.
const BOOTSTRAP_SERVERS_MAX: usize = 100;

pub(super) fn cluster(reader: &Reader<'_>, name: &str, section: &Spanned<raw::Cluster>) -> Option<ClusterConfig> {
    let mark = section.referenced.into();
    let raw = &section.value;
    let key = |leaf: &str| format!("{name}.{leaf}");
    let cluster_arn = reader.quantity(&key("cluster_arn"), raw.cluster_arn.as_ref(), |text| cluster_arn(text).map(|()| text.to_owned()));
    let bootstrap_servers = raw.bootstrap_servers.as_ref().map(|list| bootstrap_servers(reader, &key("bootstrap_servers"), list));

    match (&raw.cluster_arn, &raw.bootstrap_servers) {
        (Some(_), Some(servers)) => reader.note(
            Problem::at(servers.mark, format!("{name} has both cluster_arn and bootstrap_servers")).hint("keep the one by which the cluster is to be found"),
        ),
        (None, None) => reader.missing(mark, &key("bootstrap_servers"), "name the cluster by bootstrap_servers (host:9092, …) or by cluster_arn"),
        _ => {}
    }
    let arn = cluster_arn.as_deref().and_then(ClusterArn::parse);
    for (leaf, written) in [("network", &raw.network), ("endpoint_url", &raw.endpoint_url)] {
        if let (Some(text), None) = (written, &raw.cluster_arn) {
            let what = format!("{} has no meaning without {name}.cluster_arn", key(leaf));
            reader.note(Problem::at(text.mark, what).hint("it belongs to a cluster that is looked up by its ARN"));
        }
    }
    let network = reader.choice(&key("network"), raw.network.as_ref(), &NETWORKS).unwrap_or_default();
    let endpoint_url = reader.quantity(&key("endpoint_url"), raw.endpoint_url.as_ref(), endpoint);
    let mut auth = match &raw.auth {
        Some(section) => auth(reader, &key("auth"), section, raw.cluster_arn.is_some())?,
        None if raw.cluster_arn.is_some() => {
            reader.missing(mark, &key("auth.mode"), "write `auth:` and below it `mode: iam`, scram-sha-512, mtls, …");
            return None;
        }
        None => Auth::plaintext(),
    };
    if let (Some(arn), Some(Spanned { value: written, .. })) = (&arn, &raw.auth) {
        fits_msk(reader, &key("auth"), written, &mut auth, arn);
    }
    Some(ClusterConfig { cluster_arn, bootstrap_servers: bootstrap_servers.unwrap_or_default(), network, endpoint_url, auth })
}

/// Checks what is said of authentication against what MSK has; the Region is the ARN's.
fn fits_msk(reader: &Reader<'_>, name: &str, written: &raw::Auth, auth: &mut Auth, arn: &ClusterArn) {
    if let (Some(text), None) = (&written.mode, WayIn::of(auth.mode)) {
        let what = format!("{name}.mode is {}, which Amazon MSK does not have", auth.mode.as_str());
        reader.note(Problem::at(text.mark, what).hint("MSK has iam, scram-sha-512, mtls, tls and plaintext"));
    }
    match (&written.region, &auth.region) {
        (Some(text), Some(region)) if *region != arn.region => {
            let what = format!("{name}.region is {region}, but the cluster's ARN is of {}", arn.region);
            reader.note(Problem::at(text.mark, what).hint("leave the key out: the ARN tells the Region"));
        }
        _ if auth.mode == AuthMode::Iam => auth.region = Some(arn.region.clone()),
        _ => {}
    }
}

/// `target.scram_secrets`, for which both clusters have to be MSK's.
pub(super) fn scram_secrets(reader: &Reader<'_>, source: Option<&raw::Cluster>, target: Option<&raw::Cluster>) -> ScramSecrets {
    const NAMES: [(&str, ScramSecrets); 2] = [(ScramSecrets::List.as_str(), ScramSecrets::List), (ScramSecrets::Associate.as_str(), ScramSecrets::Associate)];
    if let Some(text) = source.and_then(|c| c.scram_secrets.as_ref()) {
        reader.note(Problem::at(text.mark, "source.scram_secrets has no meaning").hint("target.scram_secrets says what becomes of the source's secrets"));
    }
    let written = target.and_then(|c| c.scram_secrets.as_ref());
    let chosen = reader.choice("target.scram_secrets", written, &NAMES).unwrap_or_default();
    let both = source.is_some_and(|c| c.cluster_arn.is_some()) && target.is_some_and(|c| c.cluster_arn.is_some());
    if let (Some(text), ScramSecrets::Associate, false) = (written, chosen, both) {
        let what = "target.scram_secrets is associate, which needs cluster_arn for source and target";
        reader.note(Problem::at(text.mark, what).hint("Amazon MSK keeps SCRAM users in secrets; other clusters have none to associate"));
    }
    chosen
}

/// Checks the shape `arn:PARTITION:kafka:REGION:ACCOUNT:cluster/NAME/UUID`.
fn cluster_arn(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let shaped = matches!(parts.as_slice(), ["arn", _, "kafka", region, account, resource]
        if !region.is_empty() && !account.is_empty() && resource.starts_with("cluster/") && resource.split('/').filter(|p| !p.is_empty()).count() == 3);
    if shaped { Ok(()) } else { Err("a cluster's ARN looks like arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID".into()) }
}

/// Reads `[host:port, …]` or `host:port,host:port`.
fn bootstrap_servers(reader: &Reader<'_>, key: &str, list: &Texts) -> Vec<String> {
    let mut servers: Vec<String> = Vec::new();
    for item in &list.items {
        let Some(value) = reader.value(key, item) else { continue };
        for server in value.text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            match host_and_port(server) {
                Ok(()) if servers.iter().any(|s| s == server) => {}
                Ok(()) => servers.push(server.to_owned()),
                Err((why, hint)) => reader.refuse_with(&value, why, Some(hint)),
            }
        }
        if value.text.is_empty() {
            reader.refuse(&value, "it is empty");
        }
    }
    if list.items.is_empty() {
        reader.note(Problem::at(list.mark, format!("{key} is an empty list")).hint("name at least one broker as host:port"));
    }
    if servers.len() > BOOTSTRAP_SERVERS_MAX {
        reader.note(Problem::at(list.mark, format!("{key} names more than {BOOTSTRAP_SERVERS_MAX} servers")).hint("three are enough to find the rest"));
    }
    servers
}

fn host_and_port(server: &str) -> Result<(), (&'static str, String)> {
    if let Some((_, rest)) = server.split_once("://") {
        return Err(("a server is host:port without a protocol", format!("write `{rest}` and say the protocol by auth.mode")));
    }
    let hint = || "for example broker-1.example.com:9092, or [2001:db8::1]:9092".to_owned();
    let Some((host, port)) = server.rsplit_once(':') else { return Err(("the port is missing", hint())) };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_is_sound = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !host_is_sound {
        return Err(("the host is not a name or an address", hint()));
    }
    match port.parse::<u16>() {
        Ok(1..) if !port.starts_with('+') => Ok(()),
        _ => Err(("the port is a number from 1 to 65535", hint())),
    }
}

fn auth(reader: &Reader<'_>, name: &str, section: &Spanned<raw::Auth>, by_arn: bool) -> Option<Auth> {
    let mark: Mark = section.referenced.into();
    let raw = &section.value;
    let key = |leaf: &str| format!("{name}.{leaf}");
    let Some(mode_written) = &raw.mode else {
        reader.missing(mark, &key("mode"), "known are iam, scram-sha-512, scram-sha-256, plain, mtls, tls, plaintext");
        return None;
    };
    let mode = reader.choice(&key("mode"), Some(mode_written), &AUTH_MODES);
    let username = reader.string(&key("username"), raw.username.as_ref());
    let password = raw.password.as_ref().and_then(|written| password(reader, &key("password"), written));
    let path = |leaf: &str, written: Option<&Text>| reader.path(&key(leaf), written);
    let (ca, cert, private_key) = (path("ca", raw.ca.as_ref()), path("cert", raw.cert.as_ref()), path("key", raw.key.as_ref()));
    let (region, profile) = (reader.string(&key("region"), raw.region.as_ref()), reader.string(&key("profile"), raw.profile.as_ref()));
    let protocol = reader.choice(&key("security_protocol"), raw.security_protocol.as_ref(), &SECURITY_PROTOCOLS);
    let mode = mode?;

    let by_password = matches!(mode, AuthMode::Plain | AuthMode::ScramSha256 | AuthMode::ScramSha512);
    let by_certificate = mode == AuthMode::Mtls;
    let by_token = mode == AuthMode::Iam;
    // Brokers may ask for a certificate besides (KIP-684).
    let beside_sasl = (by_password || by_token) && protocol != Some(SecurityProtocol::SaslPlaintext);
    let mode_name = mode.as_str();
    const OF_PASSWORDS: &str = "username and password belong to the modes plain, scram-sha-256 and scram-sha-512";
    const OF_CERTIFICATES: &str = "a client certificate belongs to mode mtls, or to a password or token over SASL_SSL";
    const OF_TOKENS: &str = "region and profile belong to mode iam, a profile to cluster_arn too";
    for (leaf, written, used, needed, whose) in [
        ("username", &raw.username, by_password, true, OF_PASSWORDS),
        ("password", &raw.password, by_password, true, OF_PASSWORDS),
        ("cert", &raw.cert, by_certificate || beside_sasl, by_certificate || raw.key.is_some(), OF_CERTIFICATES),
        ("key", &raw.key, by_certificate || beside_sasl, by_certificate || raw.cert.is_some(), OF_CERTIFICATES),
        ("region", &raw.region, by_token, false, OF_TOKENS),
        ("profile", &raw.profile, by_token || by_arn, false, OF_TOKENS),
    ] {
        match (written, used) {
            (Some(text), false) => reader.note(Problem::at(text.mark, format!("{} has no meaning with mode {mode_name}", key(leaf))).hint(whose)),
            (None, true) if needed && beside_sasl && whose == OF_CERTIFICATES => reader.missing(mark, &key(leaf), "cert and key are given together, or neither"),
            (None, true) if needed => reader.missing(mark, &key(leaf), &format!("mode {mode_name} needs it{}", if leaf == "password" { "; ${NAME} keeps it out of the file" } else { "" })),
            _ => {}
        }
    }
    let allowed = protocols_of(mode);
    if let (Some(text), Some(protocol)) = (&raw.security_protocol, protocol)
        && !allowed.contains(&protocol)
    {
        let names: Vec<&str> = allowed.iter().map(|p| p.as_str()).collect();
        let what = format!("{} is {}, which mode {mode_name} does not speak", key("security_protocol"), protocol.as_str());
        reader.note(Problem::at(text.mark, what).hint(format!("mode {mode_name} speaks {}", names.join(" or "))));
    }
    let security_protocol = protocol.filter(|p| allowed.contains(p)).unwrap_or(allowed[0]);
    if let (Some(text), false) = (&raw.ca, security_protocol.has_tls()) {
        let (what, hint) = match security_protocol {
            SecurityProtocol::SaslPlaintext => ("security_protocol SASL_PLAINTEXT", "SASL_SSL checks the broker's certificate"),
            _ => ("mode plaintext", "mode tls checks the broker's certificate"),
        };
        reader.note(Problem::at(text.mark, format!("{} has no meaning with {what}", key("ca"))).hint(hint));
    }
    Some(Auth { mode, security_protocol, username, password, ca, cert, key: private_key, region, profile })
}

/// A password is taken as it is: no blanks are trimmed.
fn password(reader: &Reader<'_>, key: &str, written: &Text) -> Option<Secret> {
    let value: Value<'_> = reader.value(key, written)?;
    if value.text.is_empty() {
        reader.refuse_secret(&value, "it is empty");
        return None;
    }
    Some(Secret::new(value.untrimmed()))
}
