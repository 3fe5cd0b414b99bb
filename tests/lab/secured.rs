//! What makes a cluster a secured one: certificates made when they are needed, and a listener per way in.
//!
//! ACLs are enforced and nobody is a super user but who comes by the inner, unsecured listener, which the lab's own Java
//! clients use. On every other listener a client is who it proves to be, or nobody (`User:ANONYMOUS`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::s3::S3;
use super::workdir::WorkDir;

/// The user that migrates, by the modes that have users.
pub const USER: &str = "kferry";
/// How long a broker lets a session last before it wants another login.
///
/// **Units**: milliseconds. Short, so that every migration through these listeners logs in again in between.
pub const SESSION_MS: u64 = 4_000;

/// A way into a secured cluster: one listener each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// PLAINTEXT, where one is `User:ANONYMOUS` and may what that one may.
    Open,
    Tls,
    /// A client certificate is required.
    Mtls,
    Plain,
    /// PLAIN without TLS.
    PlainClear,
    Scram256,
    Scram512,
    /// SCRAM-SHA-512 where a client certificate is required besides (KIP-684).
    ScramBesideMtls,
    Iam,
    /// TLS with a certificate that has expired.
    Expired,
    /// TLS with a certificate for another host.
    Elsewhere,
}

impl Door {
    pub const ALL: [Door; 11] = [
        Door::Open,
        Door::Tls,
        Door::Mtls,
        Door::Plain,
        Door::PlainClear,
        Door::Scram256,
        Door::Scram512,
        Door::ScramBesideMtls,
        Door::Iam,
        Door::Expired,
        Door::Elsewhere,
    ];

    /// The listener's name.
    pub fn listener(self) -> &'static str {
        match self {
            Door::Open => "OPEN",
            Door::Tls => "TLS",
            Door::Mtls => "MTLS",
            Door::Plain => "PLAIN",
            Door::PlainClear => "CLEAR",
            Door::Scram256 => "SCRAM256",
            Door::Scram512 => "SCRAM512",
            Door::ScramBesideMtls => "SCRAMMTLS",
            Door::Iam => "IAM",
            Door::Expired => "EXPIRED",
            Door::Elsewhere => "ELSEWHERE",
        }
    }

    pub fn protocol(self) -> &'static str {
        match self {
            Door::Open => "PLAINTEXT",
            Door::Tls | Door::Mtls | Door::Expired | Door::Elsewhere => "SSL",
            Door::Plain | Door::Scram256 | Door::Scram512 | Door::ScramBesideMtls | Door::Iam => "SASL_SSL",
            Door::PlainClear => "SASL_PLAINTEXT",
        }
    }

    /// Whom kferry is when it comes in here as it should.
    pub fn principal(self) -> String {
        match self {
            Door::Open | Door::Tls | Door::Expired | Door::Elsewhere => "User:ANONYMOUS".into(),
            Door::Mtls => format!("User:CN={USER}"),
            Door::Plain | Door::PlainClear | Door::Scram256 | Door::Scram512 | Door::ScramBesideMtls => format!("User:{USER}"),
            Door::Iam => format!("User:{}", S3::ACCESS_KEY),
        }
    }

    /// The lines below `auth:` for somebody who comes in here as he should.
    pub fn auth(self) -> Vec<(&'static str, String)> {
        let papers = papers();
        let ca = ("ca", papers.ca.display().to_string());
        let user = |mode: &str| vec![("mode", mode.to_owned()), ("username", USER.to_owned()), ("password", format!("${{{}}}", PASSWORD_VARIABLE))];
        let with_ca = |mut lines: Vec<(&'static str, String)>| {
            lines.push(ca.clone());
            lines
        };
        let certificate = || vec![("cert", papers.client_cert.display().to_string()), ("key", papers.client_key.display().to_string())];
        match self {
            Door::Open => vec![("mode", "plaintext".into())],
            Door::Tls | Door::Expired | Door::Elsewhere => with_ca(vec![("mode", "tls".into())]),
            Door::Mtls => with_ca([vec![("mode", "mtls".into())], certificate()].concat()),
            Door::Plain => with_ca(user("plain")),
            Door::PlainClear => [user("plain"), vec![("security_protocol", "SASL_PLAINTEXT".into())]].concat(),
            Door::Scram256 => with_ca(user("scram-sha-256")),
            Door::Scram512 => with_ca(user("scram-sha-512")),
            Door::ScramBesideMtls => with_ca([user("scram-sha-512"), certificate()].concat()),
            Door::Iam => with_ca(vec![("mode", "iam".into()), ("region", S3::REGION.into())]),
        }
    }

    /// What a broker is told of this listener.
    pub(super) fn props(self) -> Vec<(String, String)> {
        let papers = papers();
        let prefix = format!("listener.name.{}.", self.listener().to_lowercase());
        let mut props: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| props.push((format!("{prefix}{name}"), value));
        if self.protocol().ends_with("SSL") {
            let certificate = match self {
                Door::Expired => &papers.expired,
                Door::Elsewhere => &papers.elsewhere,
                _ => &papers.broker,
            };
            set("ssl.keystore.type", "PEM".into());
            set("ssl.keystore.location", certificate.display().to_string());
            set("ssl.truststore.type", "PEM".into());
            set("ssl.truststore.location", papers.ca.display().to_string());
            set("ssl.client.auth", if matches!(self, Door::Mtls | Door::ScramBesideMtls) { "required" } else { "none" }.into());
        }
        let mechanism = match self {
            Door::Plain | Door::PlainClear => "PLAIN",
            Door::Scram256 => "SCRAM-SHA-256",
            Door::Scram512 | Door::ScramBesideMtls => "SCRAM-SHA-512",
            Door::Iam => "OAUTHBEARER",
            Door::Open | Door::Tls | Door::Mtls | Door::Expired | Door::Elsewhere => return props,
        };
        let own = mechanism.to_lowercase();
        let module = "org.apache.kafka.common.security";
        set("sasl.enabled.mechanisms", mechanism.into());
        set(&format!("{own}.connections.max.reauth.ms"), SESSION_MS.to_string());
        set(
            &format!("{own}.sasl.jaas.config"),
            match self {
                Door::Iam => {
                    let (key, secret, region) = (S3::ACCESS_KEY, S3::SECRET_KEY, S3::REGION);
                    format!("{module}.oauthbearer.OAuthBearerLoginModule required region=\"{region}\" key_{key}=\"{secret}\";")
                }
                Door::Scram256 | Door::Scram512 | Door::ScramBesideMtls => format!("{module}.scram.ScramLoginModule required;"),
                _ => format!("{module}.plain.PlainLoginModule required user_{USER}=\"{}\";", password()),
            },
        );
        if self == Door::Iam {
            set(&format!("{own}.sasl.server.callback.handler.class"), "IamCallbackHandler".into());
            // Otherwise it would take the options above for claims of a token of its own.
            set(&format!("{own}.sasl.login.callback.handler.class"), "NoLogin".into());
        }
        props
    }
}

/// The environment's variable that holds the user's password.
pub const PASSWORD_VARIABLE: &str = "KFERRY_LAB_PASSWORD";

/// The user's password: another one in each process, so that it is nowhere by chance.
pub fn password() -> &'static str {
    static PASSWORD: OnceLock<String> = OnceLock::new();
    PASSWORD.get_or_init(|| format!("pw-{}", KeyPair::generate().expect("a key pair").public_key_raw().iter().skip(1).take(12).map(|b| format!("{b:02x}")).collect::<String>()))
}

/// Certificates and keys, in PEM files.
pub struct Papers {
    pub ca: PathBuf,
    /// A CA that has signed nothing here.
    pub other_ca: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    /// A client certificate by the other CA, and its key.
    pub stranger_cert: PathBuf,
    pub stranger_key: PathBuf,
    /// A client certificate that has expired, with the client's key.
    pub expired_client_cert: PathBuf,
    broker: PathBuf,
    expired: PathBuf,
    elsewhere: PathBuf,
    _dir: WorkDir,
}

/// The papers of this process.
pub fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(Papers::make)
}

impl Papers {
    fn make() -> Self {
        let dir = WorkDir::new("papers");
        let place = |name: &str| -> PathBuf { dir.path().join(name) };
        let write = |path: &Path, text: String| std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let authority = |name: &str, path: &Path| {
            let key = KeyPair::generate().expect("a key pair");
            let mut params = named(name, &[]);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            write(path, params.self_signed(&key).expect("a certificate").pem());
            Issuer::new(params, key)
        };
        let (ca, other_ca) = (place("ca.pem"), place("other-ca.pem"));
        let (ours, other) = (authority("kferry lab", &ca), authority("another lab", &other_ca));
        let key = KeyPair::generate().expect("a key pair");
        let broker = |file: &str, hosts: &[&str], expired: bool| {
            let mut params = named("broker", hosts);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            expire(&mut params, expired);
            let path = place(file);
            write(&path, key.serialize_pem() + &params.signed_by(&key, &ours).expect("a certificate").pem());
            path
        };
        let here = ["127.0.0.1", "localhost"];
        let client = |file: &str, issuer: &Issuer<'_, KeyPair>, name: &str, key: &KeyPair, expired: bool| {
            let mut params = named(name, &[]);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            expire(&mut params, expired);
            let path = place(file);
            write(&path, params.signed_by(key, issuer).expect("a certificate").pem());
            path
        };
        let (client_key, stranger_key) = (KeyPair::generate().expect("a key pair"), KeyPair::generate().expect("a key pair"));
        write(&place("client.key"), client_key.serialize_pem());
        write(&place("stranger.key"), stranger_key.serialize_pem());
        Self {
            client_cert: client("client.pem", &ours, USER, &client_key, false),
            client_key: place("client.key"),
            stranger_cert: client("stranger.pem", &other, USER, &stranger_key, false),
            stranger_key: place("stranger.key"),
            expired_client_cert: client("expired-client.pem", &ours, USER, &client_key, true),
            broker: broker("broker.pem", &here, false),
            expired: broker("expired.pem", &here, true),
            elsewhere: broker("elsewhere.pem", &["kafka.elsewhere.example"], false),
            ca,
            other_ca,
            _dir: dir,
        }
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(hosts.iter().map(|h| h.to_string()).collect::<Vec<_>>()).expect("host names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn expire(params: &mut CertificateParams, expired: bool) {
    if expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
}
