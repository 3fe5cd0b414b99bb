//! librdkafka's settings, made of the same configuration as the raw client's.

use super::super::cluster::Side;
use super::super::limits::{FRAME_BYTES_MAX, WITNESS_FETCH_BYTES_MAX, WITNESS_PARTITION_BYTES_MAX};
use crate::config::model::{Auth, AuthMode, ClusterConfig};
use crate::error::{Code, Error, Result};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;

pub(super) fn client_config(side: Side, config: &ClusterConfig) -> Result<ClientConfig> {
    if config.bootstrap_servers.is_empty() {
        return Err(Error::new(Code::Bug, format!("{side}: the bootstrap servers were not looked up")));
    }
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.bootstrap_servers.join(","))
        .set("client.id", "kferry-witness")
        .set("check.crcs", "true")
        .set("isolation.level", "read_uncommitted")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        // The same for the simple consumer, which has a name of its own for it.
        .set("auto.commit.enable", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        // Nothing is read ahead: one record is wanted from here, one from there.
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", (WITNESS_FETCH_BYTES_MAX / 1024).to_string())
        .set("fetch.message.max.bytes", WITNESS_PARTITION_BYTES_MAX.to_string())
        .set("fetch.max.bytes", WITNESS_FETCH_BYTES_MAX.to_string())
        .set("receive.message.max.bytes", FRAME_BYTES_MAX.to_string())
        .set("fetch.wait.max.ms", "20")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "2")
        .set("reconnect.backoff.max.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    authenticate(&mut client, side, &config.auth)?;
    Ok(client)
}

fn authenticate(client: &mut ClientConfig, side: Side, auth: &Auth) -> Result<()> {
    client.set("security.protocol", auth.security_protocol.as_str().to_ascii_lowercase());
    if auth.security_protocol.has_tls() {
        client.set("ssl.endpoint.identification.algorithm", "https");
    }
    for (name, path) in [("ssl.ca.location", &auth.ca), ("ssl.certificate.location", &auth.cert), ("ssl.key.location", &auth.key)] {
        if let Some(path) = path {
            let path = path.to_str().ok_or_else(|| Error::new(Code::AuthFile, format!("{side}: {} is not UTF-8", path.display())))?;
            client.set(name, path);
        }
    }
    let mechanism = match auth.mode {
        AuthMode::Plaintext | AuthMode::Tls | AuthMode::Mtls => return Ok(()),
        AuthMode::Plain => "PLAIN",
        AuthMode::ScramSha256 => "SCRAM-SHA-256",
        AuthMode::ScramSha512 => "SCRAM-SHA-512",
        AuthMode::Iam => "OAUTHBEARER",
    };
    client.set("sasl.mechanisms", mechanism);
    if let (Some(username), Some(password)) = (&auth.username, &auth.password) {
        client.set("sasl.username", username).set("sasl.password", password.reveal());
    }
    Ok(())
}

/// The error of a client that cannot be made: librdkafka reads certificates and keys at once.
pub(super) fn refused(side: Side, config: &ClusterConfig, error: &KafkaError) -> Error {
    let code = if config.auth.security_protocol.has_tls() { Code::AuthFile } else { Code::ConfigInvalid };
    let why = match error {
        // The value that is refused may be a password.
        KafkaError::ClientConfig(_, why, name, _) => format!("{name}: {why}"),
        error => error.to_string(),
    };
    Error::new(code, format!("{side}: librdkafka refuses its settings: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Secret, SecurityProtocol};

    #[test]
    fn every_mode_is_said_in_librdkafkas_words() {
        let settings = |auth: Auth| {
            let config = ClusterConfig::at(vec!["a:1".into()], auth);
            let client = client_config(Side::Source, &config).unwrap();
            ["security.protocol", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location", "ssl.endpoint.identification.algorithm"]
                .map(|name| client.get(name).unwrap_or("-").to_owned())
        };
        let sasl = |mode, security_protocol| Auth {
            mode,
            security_protocol,
            username: Some("alice".into()),
            password: Some(Secret::new("hunter2")),
            ca: Some("ca.pem".into()),
            ..Auth::plaintext()
        };
        assert_eq!(settings(Auth::plaintext()), ["plaintext", "-", "-", "-", "-", "-"]);
        assert_eq!(settings(Auth { mode: AuthMode::Tls, security_protocol: SecurityProtocol::Ssl, ..Auth::plaintext() }), ["ssl", "-", "-", "-", "-", "https"]);
        for (mode, mechanism) in [(AuthMode::Plain, "PLAIN"), (AuthMode::ScramSha256, "SCRAM-SHA-256"), (AuthMode::ScramSha512, "SCRAM-SHA-512")] {
            assert_eq!(settings(sasl(mode, SecurityProtocol::SaslSsl)), ["sasl_ssl", mechanism, "alice", "hunter2", "ca.pem", "https"]);
        }
        let plaintext = Auth { ca: None, ..sasl(AuthMode::Plain, SecurityProtocol::SaslPlaintext) };
        assert_eq!(settings(plaintext), ["sasl_plaintext", "PLAIN", "alice", "hunter2", "-", "-"]);
        let iam = Auth { mode: AuthMode::Iam, security_protocol: SecurityProtocol::SaslSsl, ..Auth::plaintext() };
        assert_eq!(settings(iam)[..2], ["sasl_ssl", "OAUTHBEARER"]);
    }

    #[test]
    fn a_settings_error_does_not_show_the_value() {
        let mut auth = Auth::plaintext();
        (auth.mode, auth.security_protocol) = (AuthMode::Mtls, SecurityProtocol::Ssl);
        let config = ClusterConfig::at(vec!["a:1".into()], auth);
        let error = KafkaError::ClientConfig(rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID, "no good".into(), "sasl.password".into(), "hunter2".into());
        let error = refused(Side::Target, &config, &error);
        assert_eq!(error.code(), Code::AuthFile);
        assert!(error.seen().contains("sasl.password") && !error.seen().contains("hunter2"), "{error}");
    }
}
