//! What a store's failure means for the one who asked.

use crate::domain::store_cause::{StoreCause, StoreFailure};
use crate::error::{Code, Error};
use std::fmt;

/// What helps against a store's failure, and so what the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Trying again may succeed: no network, a timeout, throttling, a server's own fault.
    Transient,
    /// The store knows us and says no, or we have nothing to show it.
    Permission,
    /// No such bucket, or no such object.
    NotFound,
    /// `if_absent` was asked for and something lies there.
    AlreadyExists,
    /// Trying again cannot help: a wrong Region, a key that no object can have.
    Permanent,
    /// A content, as sent or as read, differs from its checksum.
    Corrupt,
    /// The caller cancelled while waiting.
    Cancelled,
}

/// A store's failure: its kind and what was seen, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    cause: StoreCause,
    seen: String,
}

/// The result of an operation on a store.
pub type StoreResult<T> = Result<T, StoreError>;

impl StoreError {
    /// Makes an error; `seen` is lowercase, in the present tense, and holds no secret.
    pub fn new(kind: StoreErrorKind, seen: impl Into<String>) -> Self {
        Self { kind, cause: StoreCause::Other, seen: seen.into() }
    }

    /// Says why, where that is known.
    pub fn with_cause(self, cause: StoreCause) -> Self {
        Self { cause, ..self }
    }

    pub fn cause(&self) -> StoreCause {
        self.cause
    }

    /// What was seen and, where the cause is known, what helps against it.
    pub fn told(&self) -> String {
        match self.cause.remedy() {
            Some(remedy) => format!("{}; {remedy}", self.seen),
            None => self.seen.clone(),
        }
    }

    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seen)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match error.kind {
            StoreErrorKind::Transient | StoreErrorKind::Permission | StoreErrorKind::NotFound | StoreErrorKind::Permanent => {
                Code::StoreUnavailable
            }
            // Keys are chosen so that each is written once; another object under one is a damaged store.
            StoreErrorKind::AlreadyExists | StoreErrorKind::Corrupt => Code::StoreCorrupt,
            StoreErrorKind::Cancelled => Code::Interrupted,
        };
        Error::new(code, error.told())
    }
}

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        Self { cause: error.cause, seen: error.seen }
    }
}
