//! TLS: whom we trust, our own certificate, and what a failed handshake means.

use super::AuthProblem;
use crate::config::model::Auth;
use crate::error::{Code, Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Makes the client's side of TLS: versions 1.2 and 1.3, the host's name always verified.
///
/// Errors: `KF-AUTH-FILE` for a file that cannot be read or is not what it should be; `KF-AUTH-UNKNOWN-CA` where `auth.ca` is
/// not given and the system has no roots.
pub fn client_config(auth: &Auth) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| Error::new(Code::AuthTls, e.to_string()))?;
    let builder = builder.with_root_certificates(roots(auth.ca.as_deref())?);
    let config = match (&auth.cert, &auth.key) {
        (Some(cert), Some(key)) => {
            let (chain, private_key) = (certificates("auth.cert", cert)?, private_key(key)?);
            builder.with_client_auth_cert(chain, private_key).map_err(|e| file("auth.key", key, &format!("it does not fit auth.cert: {e}")))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates("auth.ca", path)? {
                roots.add(certificate).map_err(|e| file("auth.ca", path, &e.to_string()))?;
            }
        }
        None => {
            let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if added == 0 {
                return Err(Error::new(Code::AuthUnknownCa, "auth.ca is not set, and this system has no root certificates"));
            }
        }
    }
    Ok(roots)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(key, path)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(file(key, path, "it holds no certificate in PEM form")),
        Ok(found) => Ok(found),
        Err(e) => Err(file(key, path, &format!("it is not PEM: {e}"))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read("auth.key", path)?;
    if text.windows(9).any(|w| w == b"ENCRYPTED") {
        return Err(file("auth.key", path, "the key is encrypted; `openssl pkey` writes it without a passphrase"));
    }
    // The parser's own words could quote what lies in the file.
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| file("auth.key", path, "it holds no private key in PEM form"))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| file(key, path, &e.to_string()))
}

fn file(key: &str, path: &Path, why: &str) -> Error {
    Error::new(Code::AuthFile, format!("{key} {}: {why}", path.display()))
}

/// The name that a broker's certificate has to bear: the host of `host:port`, a name or an address.
pub fn server_name(address: &str) -> std::result::Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is not a host's name that a certificate can bear"))
}

/// What an error that came up through a TLS stream means, where it is TLS's own.
pub fn problem(error: &io::Error) -> Option<(AuthProblem, String)> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let found = match inner {
        rustls::Error::InvalidCertificate(why) => certificate(why),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => AuthProblem::ClientCertificate,
        rustls::Error::InvalidMessage(_) => AuthProblem::NotTls,
        _ => AuthProblem::Tls,
    };
    let words = match found {
        AuthProblem::ClientCertificate => format!("the broker refuses our certificate, or misses one: {inner}"),
        AuthProblem::NotTls => format!("the answer is not TLS: {inner}"),
        _ => inner.to_string(),
    };
    Some((found, words))
}

fn certificate(why: &CertificateError) -> AuthProblem {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } | CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            AuthProblem::CertificateExpired
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => AuthProblem::HostName,
        // A root that is not ours, a signature that is not its, a self-signed one that calls itself a CA.
        CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_) => AuthProblem::UnknownCa,
        _ => AuthProblem::Tls,
    }
}

/// What an end of the TLS handshake without a word means.
pub fn ended(error: &io::Error) -> Option<(AuthProblem, String)> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
        .then(|| (AuthProblem::NotTls, format!("the listener ends the connection in the TLS handshake ({error}); it may not speak TLS")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_a_certificate_has_to_bear() {
        let name = |address: &str| server_name(address).map(|n| n.to_str().into_owned());
        assert_eq!(name("b-1.example.com:9094").unwrap(), "b-1.example.com");
        assert_eq!(name("127.0.0.1:9094").unwrap(), "127.0.0.1");
        assert_eq!(name("[::1]:9094").unwrap(), "::1");
        assert!(name(":9094").is_err());
    }

    #[test]
    fn files_that_are_no_certificates_are_named_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let refused = |text: &str| {
            fs::write(&path, text).unwrap();
            let error = client_config(&Auth { ca: Some(path.clone()), ..Auth::plaintext() }).unwrap_err();
            assert_eq!(error.code(), Code::AuthFile);
            error.seen().to_owned()
        };
        let seen = refused("hunter2");
        assert!(seen.contains("auth.ca") && seen.contains("no certificate") && !seen.contains("hunter2"), "{seen}");
        let seen = refused("-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n");
        assert!(seen.contains("not PEM") && !seen.contains("hunter2"), "{seen}");
        let error = private_key(&path).unwrap_err();
        assert!(error.code() == Code::AuthFile && !error.seen().contains("hunter2"), "{error}");
        let error = certificates("auth.cert", &dir.path().join("none.pem")).unwrap_err();
        assert_eq!(error.code(), Code::AuthFile);
    }
}
