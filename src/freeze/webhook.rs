//! A receiver of the operator's stops the producers; `runbooks/freeze-webhook.md` is its contract.

use super::{FreezeRequest, Frozen};
use crate::config::model::Secret;
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::error::Error as _;
use std::time::{Duration, Instant};

/// Bounds of the calls; one place, so that a test can be quick.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For one call, its answer included.
    call_timeout_ms: u64,
    /// Wait after the first failure; doubled with each further one.
    wait_first_ms: u64,
    wait_max_ms: u64,
    /// For all calls that tell `thaw`, or `committed`.
    tell_ms: u64,
    /// `freeze` must be answered within this part of the time that is left until `expires_at`: the rest is for the cutover.
    freeze_share_percent: u64,
}

const LIMITS: Limits = Limits { call_timeout_ms: 10_000, wait_first_ms: 250, wait_max_ms: 5_000, tell_ms: 120_000, freeze_share_percent: 50 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Freeze,
    Thaw,
    Committed,
}

impl Event {
    fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Committed => "committed",
        }
    }
}

/// The body of a call.
#[derive(Serialize)]
struct Message<'a> {
    event: &'static str,
    /// The same for every repetition of one event of one attempt.
    idempotency_id: &'a str,
    migration_id: &'a str,
    attempt: u32,
    /// RFC 3339, UTC.
    expires_at: String,
    topics: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Calls a webhook.
pub struct WebhookFreeze {
    client: Client,
    url: Url,
    limits: Limits,
}

impl WebhookFreeze {
    /// Takes the receiver's address, `http` or `https`; a user and password in it become basic authentication.
    ///
    /// **Errors**: KF-CONFIG-INVALID, without the address.
    pub fn new(url: &Secret) -> Result<Self> {
        let invalid = |seen: &str| Error::new(Code::ConfigInvalid, format!("cutover.producer_freeze_webhook {seen}"));
        let url = Url::parse(url.reveal()).map_err(|_| invalid("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid("is no http or https URL"));
        }
        let client = Client::builder()
            .user_agent(concat!("kferry/", env!("CARGO_PKG_VERSION")))
            // What a redirect leads to has not been asked to stop anything.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|_| invalid("cannot be called: no HTTP client"))?;
        Ok(Self { client, url, limits: LIMITS })
    }

    pub(super) async fn freeze(&self, request: &FreezeRequest) -> Result<Frozen> {
        let left = Duration::try_from(request.expires_at.duration_since(Timestamp::now())).unwrap_or_default();
        let budget = left * self.limits.freeze_share_percent as u32 / 100;
        self.tell(Event::Freeze, request, None, budget).await?;
        Ok(Frozen { confirmed_at: Timestamp::now() })
    }

    pub(super) async fn thaw(&self, request: &FreezeRequest, reason: &str) -> Result<()> {
        self.tell(Event::Thaw, request, Some(reason), Duration::from_millis(self.limits.tell_ms)).await
    }

    pub(super) async fn committed(&self, request: &FreezeRequest) -> Result<()> {
        self.tell(Event::Committed, request, None, Duration::from_millis(self.limits.tell_ms)).await
    }

    /// Calls until the answer is 2xx, cannot become so, or the time is up.
    async fn tell(&self, event: Event, request: &FreezeRequest, reason: Option<&str>, budget: Duration) -> Result<()> {
        let id = idempotency_id(event, request);
        let message = Message {
            event: event.as_str(),
            idempotency_id: &id,
            migration_id: &request.migration_id,
            attempt: request.attempt,
            expires_at: request.expires_at.to_string(),
            topics: &request.topics,
            reason,
        };
        let started = Instant::now();
        let mut wait = Duration::from_millis(self.limits.wait_first_ms);
        let mut seen = "there is no time left to call".to_owned();
        for call in 1u32.. {
            let left = budget.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            match self.call(event, &message, left.min(Duration::from_millis(self.limits.call_timeout_ms))).await {
                Ok(()) => return Ok(()),
                Err(Failed { again: false, seen }) => return Err(self.error(event, request, &seen)),
                Err(failed) => seen = failed.seen,
            }
            tracing::warn!(event = event.as_str(), call, %seen, "the freeze webhook is called again");
            tokio::time::sleep(wait.min(budget.saturating_sub(started.elapsed()))).await;
            wait = (wait * 2).min(Duration::from_millis(self.limits.wait_max_ms));
        }
        Err(self.error(event, request, &format!("{seen}; given up after {:.1} s", started.elapsed().as_secs_f32())))
    }

    async fn call(&self, event: Event, message: &Message<'_>, timeout: Duration) -> std::result::Result<(), Failed> {
        let sent = self
            .client
            .post(self.url.clone())
            .header("X-Kferry-Event", event.as_str())
            .header("Idempotency-Key", message.idempotency_id)
            .timeout(timeout)
            .json(message)
            .send()
            .await;
        match sent {
            // The answer's body is not read: it is not ours to show.
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                let status = answer.status();
                let again = status.is_server_error()
                    || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
                Err(Failed { again, seen: format!("answers {}", status.as_u16()) })
            }
            Err(e) if e.is_timeout() => Err(Failed { again: true, seen: format!("does not answer within {:.1} s", timeout.as_secs_f32()) }),
            Err(e) => {
                // The error's own text names the URL; its causes do not.
                let e = e.without_url();
                let mut cause = e.source();
                while let Some(deeper) = cause.and_then(|c| c.source()) {
                    cause = Some(deeper);
                }
                let seen = cause.map_or_else(|| e.to_string(), |c| c.to_string());
                Err(Failed { again: !e.is_builder(), seen: format!("cannot be reached: {seen}") })
            }
        }
    }

    /// Names the receiver by host and port only: path, query and user may be secret.
    fn error(&self, event: Event, request: &FreezeRequest, seen: &str) -> Error {
        let host = self.url.host_str().unwrap_or("?");
        let port = self.url.port_or_known_default().unwrap_or(0);
        // A receiver that has not heard of the commit lets producers go on at the source.
        let urgent = match event {
            Event::Committed => format!("; unless its timer is stopped, it lets producers go on at the source at {}", request.expires_at),
            Event::Freeze | Event::Thaw => String::new(),
        };
        Error::new(Code::WebhookUnreachable, format!("the freeze webhook at {host}:{port} {seen} (event {}){urgent}", event.as_str()))
    }
}

struct Failed {
    /// Whether calling again may help.
    again: bool,
    seen: String,
}

/// Names one event of one attempt of one migration, the same in every process.
fn idempotency_id(event: Event, request: &FreezeRequest) -> String {
    let named = format!("kferry freeze webhook\0{}\0{}\0{}", request.migration_id, request.attempt, event.as_str());
    Sha256::digest(named).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
