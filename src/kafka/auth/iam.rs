//! Tokens of Amazon MSK's IAM authentication: a signed URL, made anew for each login. Source: aws/aws-msk-iam-sasl-signer.

use super::AuthProblem;
use crate::domain::msk::region_of_host;
use crate::config::model::{Auth, Secret};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Mutex, OnceCell};

/// How long a token is valid at most. Source: aws-msk-iam-sasl-signer, `DefaultExpirySeconds`.
const LIFETIME_MAX: Duration = Duration::from_secs(900);
/// Credentials are asked for again after this long, and sooner where they expire within it.
const CREDENTIALS_KEPT: Duration = Duration::from_secs(300);
/// The whole chain of providers, an instance's metadata and STS included.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(20);
/// A provider that is there and errs is asked so often.
const CREDENTIALS_ATTEMPTS: u32 = 3;
const CREDENTIALS_PAUSE: Duration = Duration::from_millis(500);

/// Signs tokens with the credentials of AWS's default chain, or of a profile.
pub struct Signer {
    region: Option<String>,
    profile: Option<String>,
    config: OnceCell<SdkConfig>,
    kept: Mutex<Option<(Instant, Credentials)>>,
}

/// A token and the time at which the cluster stops taking it.
pub struct Token {
    pub text: Secret,
    pub expires_at: SystemTime,
}

impl Signer {
    /// Nothing is looked for yet.
    pub fn new(auth: &Auth) -> Self {
        Self { region: auth.region.clone(), profile: auth.profile.clone(), config: OnceCell::new(), kept: Mutex::new(None) }
    }

    /// Signs a token for the cluster that a broker's host belongs to.
    ///
    /// Errors: where there are no usable credentials or no Region.
    pub async fn token(&self, host: &str) -> Result<Token, (AuthProblem, String)> {
        let known = self.region.clone().or_else(|| region_of_host(host));
        let config = self.config.get_or_init(|| crate::aws::token_config(known.clone(), self.profile.clone())).await;
        let Some(region) = known.or_else(|| config.region().map(ToString::to_string)) else {
            let seen = "the AWS Region is not known: auth.region is not set, the broker's name does not tell it, and neither does the environment";
            return Err((AuthProblem::AwsCredentials, seen.to_owned()));
        };
        let of_whom = self.profile.as_ref().map_or(String::new(), |profile| format!(" of profile {profile}"));
        let unusable = |seen: String| (AuthProblem::AwsCredentials, format!("AWS credentials{of_whom}: {seen}"));
        let credentials = self.credentials(config).await.map_err(unusable)?;
        token(&credentials, &region, SystemTime::now()).map_err(|seen| (AuthProblem::AwsCredentials, seen))
    }

    async fn credentials(&self, config: &SdkConfig) -> Result<Credentials, String> {
        let mut kept = self.kept.lock().await;
        if let Some((since, credentials)) = &*kept
            && since.elapsed() < CREDENTIALS_KEPT
            && remaining(credentials, SystemTime::now()).is_none_or(|left| left > CREDENTIALS_KEPT)
        {
            return Ok(credentials.clone());
        }
        match self.load(config).await {
            Ok(credentials) => {
                *kept = Some((Instant::now(), credentials.clone()));
                Ok(credentials)
            }
            // What is still valid serves while their provider is away.
            Err(seen) => match &*kept {
                Some((_, credentials)) if remaining(credentials, SystemTime::now()).is_none_or(|left| !left.is_zero()) => {
                    tracing::warn!(seen, "the AWS credentials cannot be renewed; those at hand are still valid");
                    Ok(credentials.clone())
                }
                _ => Err(seen),
            },
        }
    }

    async fn load(&self, config: &SdkConfig) -> Result<Credentials, String> {
        let Some(provider) = config.credentials_provider() else { return Err("no provider is configured".to_owned()) };
        let mut seen = String::new();
        for attempt in 0..CREDENTIALS_ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(CREDENTIALS_PAUSE).await;
            }
            match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
                Ok(Ok(credentials)) => return Ok(credentials),
                Ok(Err(error)) => {
                    seen = crate::aws::in_words(&error);
                    if matches!(error, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)) {
                        break;
                    }
                }
                Err(_) => seen = format!("none within {} s", CREDENTIALS_TIMEOUT.as_secs()),
            }
        }
        Err(seen)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How long credentials are still valid; None where they do not expire.
fn remaining(credentials: &Credentials, now: SystemTime) -> Option<Duration> {
    credentials.expiry().map(|expiry| expiry.duration_since(now).unwrap_or_default())
}

fn token(credentials: &Credentials, region: &str, now: SystemTime) -> Result<Token, String> {
    let lifetime = remaining(credentials, now).unwrap_or(LIFETIME_MAX).min(LIFETIME_MAX);
    if lifetime < Duration::from_secs(1) {
        return Err("the AWS credentials have expired".to_owned());
    }
    let lifetime = Duration::from_secs(lifetime.as_secs());
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(lifetime);
    let identity = credentials.clone().into();
    let signing = v4::SigningParams::builder().identity(&identity).region(region).name("kafka-cluster").time(now).settings(settings);
    let signing = signing.build().map_err(|e| e.to_string())?.into();
    let mut url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let request = SignableRequest::new("GET", url.as_str(), std::iter::empty(), SignableBody::Bytes(&[])).map_err(|e| e.to_string())?;
    let (signed, _) = sign(request, &signing).map_err(|e| e.to_string())?.into_parts();
    for (name, value) in signed.params() {
        url += &format!("&{name}={}", encoded(value));
    }
    url += &format!("&User-Agent={}", encoded(concat!("kferry/", env!("CARGO_PKG_VERSION"))));
    Ok(Token { text: Secret::new(URL_SAFE_NO_PAD.encode(url)), expires_at: now + lifetime })
}

/// A query's value, percent-encoded as RFC 3986 has it.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::with_capacity(value.len()), |mut text, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(byte as char),
            _ => text += &format!("%{byte:02X}"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(credentials: &Credentials, seconds: u64) -> String {
        let token = token(credentials, "eu-central-1", SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        String::from_utf8(URL_SAFE_NO_PAD.decode(token.text.reveal()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_a_signed_url_of_fifteen_minutes_or_as_long_as_the_credentials_last() {
        let credentials = Credentials::new("AKIDEXAMPLE", "hunter2", Some("sess/ion".into()), None, "test");
        let signed = url(&credentials, 1_700_000_000);
        let (before, signature) = signed.split_once("&X-Amz-Signature=").unwrap();
        assert!(before.starts_with("https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-"), "{signed}");
        for part in [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Feu-central-1%2Fkafka-cluster%2Faws4_request",
            "X-Amz-Date=20231114T221320Z",
            "X-Amz-Expires=900",
            "X-Amz-SignedHeaders=host",
            "X-Amz-Security-Token=sess%2Fion",
        ] {
            assert!(signed.contains(part), "no {part} in {signed}");
        }
        assert!(signature.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit) && signature[64..].contains("User-Agent=kferry"), "{signed}");
        assert!(!signed.contains("hunter2"));
        let short = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_012);
        let credentials = Credentials::new("AKIDEXAMPLE", "hunter2", None, Some(short), "test");
        assert!(url(&credentials, 1_700_000_000).contains("X-Amz-Expires=12&"));
        assert!(token(&credentials, "eu-central-1", short).is_err());
    }

    #[test]
    fn a_brokers_name_tells_its_region() {
        assert_eq!(region_of_host("b-1.old.x7k2.c2.kafka.eu-central-1.amazonaws.com").as_deref(), Some("eu-central-1"));
        assert_eq!(region_of_host("boot-abc.c1.kafka-serverless.us-east-1.amazonaws.com").as_deref(), Some("us-east-1"));
        assert_eq!(region_of_host("b-1.old.x7k2.c2.kafka.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region_of_host("kafka.example.com"), None);
        assert_eq!(region_of_host("127.0.0.1"), None);
    }
}
