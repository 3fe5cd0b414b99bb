//! `source` and `target`: how a cluster is reached and who we are there.

use super::model::{Auth, AuthMode, ClusterConfig, Secret};
use super::problem::Problem;
use super::raw;
use super::reader::{Reader, Value};
use super::text::{Mark, Text, Texts};
use serde_saphyr::Spanned;

/// The names of `auth.mode`.
pub(super) const AUTH_MODES: [(&str, AuthMode); 7] = [
    ("iam", AuthMode::Iam),
    ("scram-sha-512", AuthMode::ScramSha512),
    ("scram-sha-256", AuthMode::ScramSha256),
    ("plain", AuthMode::Plain),
    ("mtls", AuthMode::Mtls),
    ("tls", AuthMode::Tls),
    ("plaintext", AuthMode::Plaintext),
];

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
    let auth = match &raw.auth {
        Some(section) => auth(reader, &key("auth"), section)?,
        None if raw.cluster_arn.is_some() => {
            reader.missing(mark, &key("auth.mode"), "write `auth:` and below it `mode: iam`, scram-sha-512, mtls, …");
            return None;
        }
        None => Auth { mode: AuthMode::Plaintext, username: None, password: None, ca: None, cert: None, key: None },
    };
    Some(ClusterConfig { cluster_arn, bootstrap_servers: bootstrap_servers.unwrap_or_default(), auth })
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

fn auth(reader: &Reader<'_>, name: &str, section: &Spanned<raw::Auth>) -> Option<Auth> {
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
    let mode = mode?;

    let by_password = matches!(mode, AuthMode::Plain | AuthMode::ScramSha256 | AuthMode::ScramSha512);
    let by_certificate = mode == AuthMode::Mtls;
    let mode_name = AUTH_MODES.iter().find(|(_, m)| *m == mode).map_or("", |(n, _)| *n);
    for (leaf, written, used) in [
        ("username", &raw.username, by_password),
        ("password", &raw.password, by_password),
        ("cert", &raw.cert, by_certificate),
        ("key", &raw.key, by_certificate),
    ] {
        match (written, used) {
            (Some(text), false) => reader.note(
                Problem::at(text.mark, format!("{} has no meaning with mode {mode_name}", key(leaf))).hint(if leaf == "cert" || leaf == "key" {
                    "a client certificate belongs to mode mtls".to_owned()
                } else {
                    "username and password belong to the modes plain, scram-sha-256 and scram-sha-512".to_owned()
                }),
            ),
            (None, true) => reader.missing(mark, &key(leaf), &format!("mode {mode_name} needs it{}", if leaf == "password" { "; ${NAME} keeps it out of the file" } else { "" })),
            _ => {}
        }
    }
    if let (Some(text), AuthMode::Plaintext) = (&raw.ca, mode) {
        reader.note(Problem::at(text.mark, format!("{} has no meaning with mode plaintext", key("ca"))).hint("mode tls checks the broker's certificate"));
    }
    Some(Auth { mode, username, password, ca, cert, key: private_key })
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
