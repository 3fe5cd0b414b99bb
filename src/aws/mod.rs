//! AWS's side of the edge: Region, credentials and the clients made from them.

pub mod msk;

use crate::error::{Code, Error, Result};
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use std::error::Error as StdError;
use std::time::Duration;

/// Attempts that the SDK makes by itself: one repetition covers a kept-alive connection that the server has just closed,
/// and a clock that is found to be off. Everything longer is `store::patient`'s to decide.
const SDK_ATTEMPTS_MAX: u32 = 2;
/// Wait before that repetition at most.
const SDK_BACKOFF_MAX_MS: u64 = 500;
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// A body that moves not a byte for so long fails its attempt, in either direction.
const STALLED_BODY_MS: u64 = 20_000;
/// The Region to sign for where a server of one's own is named, which does not care.
const REGION_OF_OWN_ENDPOINT: &str = "us-east-1";

/// Loads Region and credentials as every AWS tool finds them: environment, profile, SSO, web identity, container, instance.
///
/// `region` and `endpoint_url` come from the configuration and go first.
/// **Errors**: KF-CONFIG-INVALID where no Region is to be found.
pub async fn sdk_config(region: Option<&str>, endpoint_url: Option<&str>) -> Result<SdkConfig> {
    let configured = RegionProviderChain::first_try(region.map(|r| Region::new(r.to_owned())));
    let regions = match endpoint_url {
        // The instance's metadata is not asked: elsewhere it only costs the wait for its silence.
        Some(_) => configured
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::from_static(REGION_OF_OWN_ENDPOINT)),
        None => configured.or_default_provider(),
    };
    let stalled = StalledStreamProtectionConfig::enabled().grace_period(Duration::from_millis(STALLED_BODY_MS)).build();
    let retries = RetryConfig::standard()
        .with_max_attempts(SDK_ATTEMPTS_MAX)
        .with_max_backoff(Duration::from_millis(SDK_BACKOFF_MAX_MS));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(regions)
        .retry_config(retries)
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS)).build())
        .stalled_stream_protection(stalled);
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Ok(name) = AppName::new("kferry") {
        loader = loader.app_name(name);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Error::new(Code::ConfigInvalid, "no AWS Region is configured, in the environment, or in the profile"));
    }
    Ok(config)
}

/// Makes an S3 client; a server of one's own is addressed by path, AWS by virtual host.
///
/// Checksums stay as the SDK sets them: what the caller has not hashed is hashed by the SDK.
/// **Errors**: as `sdk_config`.
pub async fn s3_client(region: Option<&str>, endpoint_url: Option<&str>) -> Result<aws_sdk_s3::Client> {
    let shared = sdk_config(region, endpoint_url).await?;
    let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(endpoint_url.is_some()).build();
    Ok(aws_sdk_s3::Client::from_conf(config))
}

/// Loads the credentials' provider for tokens: AWS's default chain, or one profile.
pub async fn token_config(region: Option<String>, profile: Option<String>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS)).build());
    if let Some(region) = &region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = profile {
        // A profile that assumes a role asks STS, which needs a Region.
        let of_profile = ProfileFileRegionProvider::builder().profile_name(&profile).build();
        let region = RegionProviderChain::first_try(region.map(Region::new)).or_else(of_profile).or_default_provider().region().await;
        // The chain would ask the environment first, which may hold the other cluster's credentials.
        let of_profile = ProfileFileCredentialsProvider::builder().configure(&ProviderConfig::default().with_region(region)).profile_name(&profile).build();
        loader = loader.profile_name(profile).credentials_provider(of_profile);
    }
    loader.load().await
}

/// An error and what it was caused by, in their own words; only the first line: what a program of the operator's has printed may be a secret.
pub fn in_words(error: &(dyn StdError + 'static)) -> String {
    let mut seen = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !seen.ends_with(&words) {
            seen = format!("{seen}: {words}");
        }
        cause = error.source();
    }
    seen.lines().next().unwrap_or_default().trim().to_owned()
}
