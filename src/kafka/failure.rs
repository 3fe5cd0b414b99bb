//! Why one attempt at a call failed, and how long attempts are repeated.

use super::auth::AuthProblem;
use super::cluster::{Cluster, Side};
use super::connection::CallError;
use super::limits::{BACKOFF_MAX, BACKOFF_MIN};
use crate::error::{Code, Error, Result};
use kafka_protocol::ResponseError;
use std::fmt;
use std::time::{Duration, Instant};

/// Why one attempt failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// There is no answer.
    Call(CallError),
    /// The broker answered with an error.
    Kafka { error: ResponseError, message: Option<String> },
    /// Something that passes by itself, such as a partition without a leader.
    NotYet(String),
    /// No broker version that this program speaks offers the request.
    NotOffered(&'static str),
}

impl Failure {
    /// The failure that an error code and its message stand for; none for code 0.
    pub fn from_code(code: i16, message: Option<impl fmt::Display>) -> Option<Self> {
        let error = ResponseError::try_from_code(code)?;
        let message = message.map(|m| m.to_string()).filter(|m| !m.is_empty());
        Some(Failure::Kafka { error, message })
    }

    /// Fails unless the error code is 0.
    pub fn check(code: i16, message: Option<impl fmt::Display>) -> std::result::Result<(), Self> {
        Self::from_code(code, message).map_or(Ok(()), Err)
    }

    /// The same where the protocol gives no message.
    pub fn check_code(code: i16) -> std::result::Result<(), Self> {
        Self::check(code, None::<&str>)
    }

    /// The broker's error, if it is one.
    pub fn kafka_error(&self) -> Option<ResponseError> {
        match self {
            Failure::Kafka { error, .. } => Some(*error),
            Failure::Call(_) | Failure::NotYet(_) | Failure::NotOffered(_) => None,
        }
    }

    /// What stands between kferry and the broker, if it is that.
    pub fn auth_problem(&self) -> Option<AuthProblem> {
        match self {
            Failure::Call(CallError::Auth(problem, _)) => Some(*problem),
            Failure::Call(_) | Failure::Kafka { .. } | Failure::NotYet(_) | Failure::NotOffered(_) => None,
        }
    }

    /// Whether the request may have taken effect although there is no answer.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Failure::Call(CallError::Lost(_) | CallError::Timeout(_)))
    }

    /// Whether another attempt may go better, perhaps at another broker.
    pub fn is_transient(&self) -> bool {
        match self {
            Failure::Call(CallError::Protocol(_)) | Failure::NotOffered(_) => false,
            Failure::Call(CallError::Auth(problem, _)) => problem.may_pass(),
            Failure::Call(_) | Failure::NotYet(_) => true,
            Failure::Kafka { error, .. } => is_transient(*error),
        }
    }

    /// The error that a user meets; `asked` says what was asked of the cluster.
    pub fn into_error(self, side: Side, asked: &str) -> Error {
        let code = match &self {
            Failure::Call(CallError::Protocol(_)) => Code::KafkaProtocol,
            Failure::Call(CallError::Auth(problem, _)) => problem.code(),
            Failure::Kafka { error, .. } if !is_transient(*error) => Code::KafkaRefused,
            Failure::NotOffered(_) => Code::KafkaRefused,
            Failure::Call(_) | Failure::Kafka { .. } | Failure::NotYet(_) => side.unavailable(),
        };
        Error::new(code, format!("{side}: {asked}: {self}"))
    }
}

/// Whether an error passes by itself: Kafka's own retriable ones, and those that a coordinator or a dying broker gives.
fn is_transient(error: ResponseError) -> bool {
    error.is_retriable() || matches!(error, ResponseError::ConcurrentTransactions | ResponseError::BrokerNotAvailable | ResponseError::StaleControllerEpoch)
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Failure::Call(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Call(error) => error.fmt(f),
            Failure::Kafka { error, message: None } => write!(f, "the broker answers {}", KafkaName(*error)),
            Failure::Kafka { error, message: Some(message) } => {
                write!(f, "the broker answers {}, \"{message}\"", KafkaName(*error))
            }
            Failure::NotYet(seen) => f.write_str(seen),
            Failure::NotOffered(request) => write!(f, "the broker does not offer {request} in a version that kferry speaks"),
        }
    }
}

/// An error as Kafka names it, with its number: `NOT_CONTROLLER (41)`.
pub struct KafkaName(pub ResponseError);

impl fmt::Display for KafkaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ResponseError::Unknown(code) = self.0 {
            return write!(f, "error {code}");
        }
        for (index, letter) in format!("{:?}", self.0).char_indices() {
            if letter.is_uppercase() && index > 0 {
                f.write_str("_")?;
            }
            write!(f, "{}", letter.to_ascii_uppercase())?;
        }
        write!(f, " ({})", self.0.code())
    }
}

/// Repeats a call against what passes by itself, with growing pauses, until a deadline.
///
/// ```ignore
/// let mut patience = cluster.patience("describe the ACLs");
/// loop {
///     match self.attempt().await {
///         Ok(answer) => return Ok(answer),
///         Err(failure) => patience.wait(failure).await?,
///     }
/// }
/// ```
pub struct Patience<'a> {
    cluster: &'a Cluster,
    asked: String,
    started: Instant,
    limit: Duration,
    pause: Duration,
    in_doubt: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(cluster: &'a Cluster, asked: String, limit: Duration) -> Self {
        Self { cluster, asked, started: Instant::now(), limit, pause: BACKOFF_MIN, in_doubt: false }
    }

    /// Whether an earlier attempt may have taken effect although it had no answer.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Pauses and looks at the cluster's metadata again, so that the next attempt may be made.
    ///
    /// Errors: the failure's own where it is final or the time is over, saying what was asked and answered.
    pub async fn wait(&mut self, failure: Failure) -> Result<()> {
        self.in_doubt |= failure.is_in_doubt();
        if !failure.is_transient() {
            return Err(self.error(failure, &""));
        }
        if self.is_over() {
            return Err(self.give_up(failure, &""));
        }
        tracing::debug!(cluster = %self.cluster.side(), asked = self.asked, %failure, "trying again");
        self.pause().await;
        Ok(())
    }

    /// Whether another pause would go beyond the limit.
    pub(super) fn is_over(&self) -> bool {
        self.started.elapsed() + self.pause > self.limit
    }

    pub(super) async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
        // Leaders, coordinators and controllers move; whether this succeeds shows in the next attempt.
        let _ = self.cluster.refresh().await;
    }

    /// The error that a final failure becomes; `place` narrows down what was asked, and may be empty.
    pub(super) fn error(&self, failure: Failure, place: &dyn fmt::Display) -> Error {
        let place = place.to_string();
        let asked = if place.is_empty() { self.asked.clone() } else { format!("{}, {place}", self.asked) };
        failure.into_error(self.cluster.side(), &asked)
    }

    /// The error that a passing failure becomes once the time is over.
    pub(super) fn give_up(&self, failure: Failure, place: &dyn fmt::Display) -> Error {
        let error = self.error(failure, place);
        let elapsed = self.started.elapsed();
        if elapsed < BACKOFF_MAX { error } else { Error::new(error.code(), format!("{} (tried for {} s)", error.seen(), elapsed.as_secs())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_named_as_kafka_names_them() {
        assert_eq!(KafkaName(ResponseError::NotController).to_string(), "NOT_CONTROLLER (41)");
        assert_eq!(KafkaName(ResponseError::Unknown(999)).to_string(), "error 999");
    }

    #[test]
    fn the_code_tells_the_refusal_from_the_outage() {
        let code = |failure: Failure| failure.into_error(Side::Source, "x").code();
        assert_eq!(code(Failure::from_code(29, None::<&str>).unwrap()), Code::KafkaRefused);
        assert_eq!(code(Failure::from_code(41, None::<&str>).unwrap()), Code::SourceUnavailable);
        assert_eq!(code(Failure::Call(CallError::Timeout("".into()))), Code::SourceUnavailable);
        assert_eq!(code(Failure::Call(CallError::Protocol("".into()))), Code::KafkaProtocol);
        assert!(Failure::from_code(0, None::<&str>).is_none());
    }
}
