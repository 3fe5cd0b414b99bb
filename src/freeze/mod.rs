//! Stops the source's producers for the cutover, and lets them go again.
//!
//! Whether they have stopped is proven by the logs, not here. `acl`, the third way, has its place in `acl.rs` when it comes.

pub mod manual;
pub mod webhook;

use crate::config::model::{CutoverConfig, FreezeMode};
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use manual::{ManualFreeze, Terminal};
use webhook::WebhookFreeze;

/// One cutover attempt's freeze. The same value goes to all three calls, also when they are repeated after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeRequest {
    pub migration_id: String,
    pub attempt: u32,
    /// Topics whose producers have to stop.
    pub topics: Vec<String>,
    /// Producers go on at the source from here on, unless the cutover was committed before.
    pub expires_at: Timestamp,
}

/// Says that whoever stops producers says that they have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub confirmed_at: Timestamp,
}

/// A way to stop producers. Every call may be repeated, in any process, with the same request.
pub enum Freeze {
    Manual(ManualFreeze),
    Webhook(WebhookFreeze),
}

impl Freeze {
    /// Takes the configured way; `terminal` is used by `manual` only.
    ///
    /// **Errors**: KF-CONFIG-UNSUPPORTED for `acl`; KF-CONFIG-INVALID where `webhook` has no usable URL.
    pub fn open(config: &CutoverConfig, terminal: Terminal) -> Result<Self> {
        match config.freeze {
            FreezeMode::Manual => Ok(Self::Manual(ManualFreeze::new(terminal))),
            FreezeMode::Webhook => match &config.producer_freeze_webhook {
                Some(url) => Ok(Self::Webhook(WebhookFreeze::new(url)?)),
                None => Err(Error::new(Code::ConfigInvalid, "cutover.freeze is webhook and cutover.producer_freeze_webhook is not set")),
            },
            FreezeMode::Acl => Err(Error::new(
                Code::ConfigUnsupported,
                "cutover.freeze: acl is not in this version; set it to manual or webhook",
            )),
        }
    }

    /// Tells whether a freeze can be asked for at all, before the machine leaves TAIL for it.
    ///
    /// **Errors**: KF-FREEZE-NEEDS-TERMINAL.
    pub fn ready(&self) -> Result<()> {
        match self {
            Self::Manual(manual) => manual.ready(),
            Self::Webhook(_) => Ok(()),
        }
    }

    /// Has the producers stopped, and returns once somebody says that they have.
    ///
    /// After an error they may be stopped all the same: call `thaw`.
    /// **Errors**: KF-FREEZE-NEEDS-TERMINAL, KF-FREEZE-REFUSED, KF-FREEZE-DEADLINE, KF-WEBHOOK.
    pub async fn freeze(&self, request: &FreezeRequest) -> Result<Frozen> {
        match self {
            Self::Manual(manual) => manual.freeze(request).await,
            Self::Webhook(webhook) => webhook.freeze(request).await,
        }
    }

    /// Lets the producers go on at the source; `reason` says why, in one sentence.
    ///
    /// **Errors**: KF-WEBHOOK where the receiver cannot be told; it thaws by itself at `expires_at`.
    pub async fn thaw(&self, request: &FreezeRequest, reason: &str) -> Result<()> {
        match self {
            Self::Manual(manual) => manual.thaw(request, reason),
            Self::Webhook(webhook) => webhook.thaw(request, reason).await,
        }
    }

    /// Says that the cutover stands: producers may start at the target, and must not at the source.
    ///
    /// **Errors**: KF-WEBHOOK where the receiver cannot be told; at `expires_at` it lets producers write to the source.
    pub async fn committed(&self, request: &FreezeRequest) -> Result<()> {
        match self {
            Self::Manual(manual) => manual.committed(request),
            Self::Webhook(webhook) => webhook.committed(request).await,
        }
    }
}

#[cfg(test)]
pub(crate) fn request_for_tests(expires_in_ms: i64) -> FreezeRequest {
    FreezeRequest {
        migration_id: "orders-move".into(),
        attempt: 3,
        topics: vec!["orders".into(), "payments".into()],
        expires_at: Timestamp::now() + jiff::SignedDuration::from_millis(expires_in_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Secret;

    fn config(freeze: FreezeMode, url: Option<&str>) -> CutoverConfig {
        CutoverConfig {
            drain_timeout_ms: 1,
            drain_max_partition_lag: 1,
            drain_stable_window_ms: 1,
            freeze_settle_window_ms: 1,
            max_producer_freeze_ms: 1,
            freeze,
            producer_freeze_webhook: url.map(Secret::new),
            sentinel: crate::config::model::SentinelMode::Invisible,
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_when_opened() {
        let open = |mode, url| Freeze::open(&config(mode, url), Terminal::new(std::io::empty(), std::io::sink(), false));
        assert_eq!(open(FreezeMode::Acl, None).err().map(|e| e.code()), Some(Code::ConfigUnsupported));
        assert_eq!(open(FreezeMode::Webhook, None).err().map(|e| e.code()), Some(Code::ConfigInvalid));
        let odd = open(FreezeMode::Webhook, Some("ftp://user:pass@host/x?token=t")).err().expect("no web address");
        assert_eq!(odd.code(), Code::ConfigInvalid);
        assert!(!odd.to_string().contains("pass") && !odd.to_string().contains("token"), "{odd}");
        let manual = open(FreezeMode::Manual, None).expect("needs nothing yet");
        assert_eq!(manual.ready().err().map(|e| e.code()), Some(Code::FreezeNeedsTerminal));
    }
}
