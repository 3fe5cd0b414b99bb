//! Tells from the SDK's errors what would help.

use super::super::{StoreError, StoreErrorKind};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use std::error::Error as StdError;

/// Says in every such message that the range lies behind the object's end; `beyond_end` looks for it.
const BEYOND_END: &str = "InvalidRange";
/// An answer's text is cut here, in characters: it comes from outside.
const SEEN_CHARS_MAX: usize = 400;

/// Whether a range was asked for that begins at or behind the object's end.
pub(super) fn beyond_end(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Permanent && error.seen().contains(BEYOND_END)
}

/// Classifies a failed call; `what` says what was being done, as in `writing s3://bucket/key`.
pub(super) fn classify<E>(what: impl Into<String>, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    use StoreErrorKind::{Permanent, Permission, Transient};
    let what = what.into();
    let (kind, seen) = match error {
        SdkError::ServiceError(answer) => of_answer(answer.err(), answer.raw()),
        SdkError::TimeoutError(_) => (Transient, "no answer in time".to_owned()),
        // No answer, or half of one.
        SdkError::ResponseError(_) => (Transient, chain(error)),
        SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => (Transient, chain(error)),
        SdkError::DispatchFailure(failure) if failure.is_user() => (Permanent, chain(error)),
        other => {
            let seen = chain(other);
            // The credentials' chain reports through these variants too.
            let kind = if seen.contains("credential") {
                if seen.contains("timed out") || seen.contains("timeout") { Transient } else { Permission }
            } else if matches!(other, SdkError::DispatchFailure(_)) {
                Transient
            } else {
                Permanent
            };
            (kind, seen)
        }
    };
    StoreError::new(kind, format!("{what}: {seen}"))
}

fn of_answer<E: ProvideErrorMetadata>(error: &E, raw: &HttpResponse) -> (StoreErrorKind, String) {
    use StoreErrorKind::{AlreadyExists, NotFound, Permanent, Permission, Transient};
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or("");
    let kind = match (code, status) {
        ("PermanentRedirect" | "IllegalLocationConstraintException", _) | (_, 301 | 307) => return other_region(raw, code),
        // "the region 'us-east-1' is wrong; expecting 'eu-west-1'"; the same code stands for a mangled access key.
        ("AuthorizationHeaderMalformed", _) if error.message().is_some_and(|m| m.to_lowercase().contains("region")) => {
            return other_region(raw, code);
        }
        ("AuthorizationHeaderMalformed", _) => Permission,
        // Another conditional write to the key is under way.
        ("ConditionalRequestConflict", _) => Transient,
        ("PreconditionFailed", _) | (_, 412) => AlreadyExists,
        // The upload was completed or aborted meanwhile: begun anew, it tells which.
        ("NoSuchUpload", _) => Transient,
        ("RequestTimeTooSkewed" | "RequestTimeout" | "ExpiredToken" | "TokenRefreshRequired" | "IncompleteBody", _) => Transient,
        // Sent again it would be refused again: the caller's digest is wrong, or its memory is.
        ("BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch", _) => StoreErrorKind::Corrupt,
        ("SlowDown" | "ServiceUnavailable" | "InternalError" | "Throttling" | "ThrottlingException" | "OperationAborted", _) => Transient,
        ("NoSuchBucket" | "NoSuchKey" | "NotFound", _) | (_, 404) => NotFound,
        (BEYOND_END, _) | (_, 416) => return (Permanent, format!("{BEYOND_END} ({status})")),
        (_, 401 | 403) => Permission,
        // The server says that it will never do this, unlike its neighbours in number.
        (_, 501) => Permanent,
        (_, 408 | 429 | 500..=599) => Transient,
        _ => Permanent,
    };
    let message = error.message().unwrap_or("no message");
    let code = if code.is_empty() { "no code" } else { code };
    (kind, clipped(&format!("{status} {code}: {message}")))
}

fn other_region(raw: &HttpResponse, code: &str) -> (StoreErrorKind, String) {
    let region = raw.headers().get("x-amz-bucket-region").map_or("another Region".to_owned(), |r| format!("Region {}", clipped(r)));
    let seen = format!("the bucket lies in {region}, not in the configured one ({} {code})", raw.status().as_u16());
    (StoreErrorKind::Permanent, seen)
}

/// Classifies a body that ended early or differs from its checksum.
pub(super) fn classify_body(what: impl Into<String>, error: &ByteStreamError) -> StoreError {
    let seen = chain(error);
    let kind = if seen.to_lowercase().contains("checksum mismatch") { StoreErrorKind::Corrupt } else { StoreErrorKind::Transient };
    StoreError::new(kind, format!("{}: {seen}", what.into()))
}

/// An error and its causes in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut seen = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !seen.contains(&text) {
            seen = format!("{seen}: {text}");
        }
        cause = error.source();
    }
    // What the SDK's and the HTTP client's own layers are called helps nobody.
    let layers = ["dispatch failure: ", "response error: ", "io error: ", "other: ", "client error (SendRequest): ", "client error (Connect): "];
    clipped(layers.iter().fold(seen.as_str(), |text, layer| text.strip_prefix(layer).unwrap_or(text)))
}

fn clipped(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SEEN_CHARS_MAX).collect()
}
