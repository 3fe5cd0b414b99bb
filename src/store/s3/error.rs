//! Tells from the SDK's errors what would help.

use super::super::{StoreError, StoreErrorKind};
use crate::domain::store_cause::StoreCause;
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
    let (kind, cause, seen) = match error {
        SdkError::ServiceError(answer) => of_answer(answer.err(), answer.raw()),
        SdkError::TimeoutError(_) => (Transient, StoreCause::Network, "no answer in time".to_owned()),
        // No answer, or half of one.
        SdkError::ResponseError(_) => (Transient, StoreCause::Network, chain(error)),
        SdkError::DispatchFailure(failure) if failure.is_timeout() || failure.is_io() => of_connection(Transient, chain(error)),
        SdkError::DispatchFailure(failure) if failure.is_user() => of_connection(Permanent, chain(error)),
        other => {
            let seen = chain(other);
            // The credentials' chain reports through these variants too.
            if seen.contains("credential") {
                let kind = if seen.contains("timed out") || seen.contains("timeout") { Transient } else { Permission };
                let cause = if seen.to_lowercase().contains("expired") { StoreCause::CredentialsExpired } else { StoreCause::CredentialsMissing };
                (kind, cause, seen)
            } else if matches!(other, SdkError::DispatchFailure(_)) {
                of_connection(Transient, seen)
            } else {
                (Permanent, StoreCause::Other, seen)
            }
        }
    };
    StoreError::new(kind, format!("{what}: {seen}")).with_cause(cause)
}

/// What kept a connection from coming about, as the layers below the SDK word it: the system's resolver, and rustls.
fn of_connection(kind: StoreErrorKind, seen: String) -> (StoreErrorKind, StoreCause, String) {
    let lower = seen.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let cause = if says(&["dns error", "lookup address", "name resolution", "resolving host"]) {
        StoreCause::HostName
    } else if says(&["certificate", "invalidcontenttype", "corrupt message", "handshake", "tls", "fatal alert"]) {
        StoreCause::Tls
    } else {
        StoreCause::Network
    };
    (kind, cause, seen)
}

fn of_answer<E: ProvideErrorMetadata>(error: &E, raw: &HttpResponse) -> (StoreErrorKind, StoreCause, String) {
    use StoreErrorKind::{AlreadyExists, NotFound, Permanent, Permission, Transient};
    let status = raw.status().as_u16();
    let code = error.code().unwrap_or("");
    let message = error.message().unwrap_or("no message");
    let lower = message.to_lowercase();
    let (kind, cause) = match (code, status) {
        ("PermanentRedirect" | "IllegalLocationConstraintException", _) | (_, 301 | 307) => return other_region(raw, code, message),
        // "the region 'us-east-1' is wrong; expecting 'eu-west-1'"; the same code stands for a mangled access key.
        ("AuthorizationHeaderMalformed", _) if lower.contains("region") => return other_region(raw, code, message),
        ("AuthorizationHeaderMalformed" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken", _) => (Permission, StoreCause::CredentialsRefused),
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => (Transient, StoreCause::CredentialsExpired),
        ("RequestTimeTooSkewed", _) => (Transient, StoreCause::Clock),
        // Source: S3's list of error codes; it hands KMS's own on under this prefix.
        ("KMS.DisabledException" | "KMS.KMSInvalidStateException" | "KMS.InvalidStateException" | "KMS.KeyUnavailableException", _) => (Permission, StoreCause::KeyDisabled),
        ("KMS.NotFoundException", _) => (Permission, StoreCause::KeyMissing),
        ("KMS.AccessDeniedException", _) => (Permission, StoreCause::KeyDenied),
        ("AccessDenied", _) if lower.contains("kms:") => (Permission, StoreCause::KeyDenied),
        ("InvalidRequest", _) if lower.contains("object lock") || lower.contains("objectlock") => (Permanent, StoreCause::ObjectLockMissing),
        // Another conditional write to the key is under way.
        ("ConditionalRequestConflict", _) => (Transient, StoreCause::Other),
        ("PreconditionFailed", _) | (_, 412) => (AlreadyExists, StoreCause::Other),
        // The upload was completed or aborted meanwhile: begun anew, it tells which.
        ("NoSuchUpload", _) => (Transient, StoreCause::Other),
        ("RequestTimeout" | "IncompleteBody", _) => (Transient, StoreCause::Other),
        // Sent again it would be refused again: the caller's digest is wrong, or its memory is.
        ("BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch", _) => (StoreErrorKind::Corrupt, StoreCause::Other),
        ("SlowDown" | "ServiceUnavailable" | "InternalError" | "Throttling" | "ThrottlingException" | "OperationAborted", _) => (Transient, StoreCause::Other),
        ("NoSuchBucket", _) => (NotFound, StoreCause::BucketMissing),
        ("NoSuchKey" | "NotFound", _) | (_, 404) => (NotFound, StoreCause::Other),
        (BEYOND_END, _) | (_, 416) => return (Permanent, StoreCause::Other, format!("{BEYOND_END} ({status})")),
        (_, 401 | 403) => (Permission, StoreCause::Denied),
        // The server says that it will never do this, unlike its neighbours in number.
        (_, 501) => (Permanent, StoreCause::Other),
        (_, 408 | 429 | 500..=599) => (Transient, StoreCause::Other),
        _ => (Permanent, StoreCause::Other),
    };
    let code = if code.is_empty() { "no code" } else { code };
    (kind, cause, clipped(&format!("{status} {code}: {message}")))
}

/// S3 names the bucket's Region in a header, and in the text of the one answer that has none.
fn other_region(raw: &HttpResponse, code: &str, message: &str) -> (StoreErrorKind, StoreCause, String) {
    let in_text = || message.split("expecting '").nth(1)?.split('\'').next();
    let region = raw.headers().get("x-amz-bucket-region").or_else(in_text);
    let region = region.map_or("another Region".to_owned(), |r| format!("Region {}", clipped(r)));
    let seen = format!("the bucket lies in {region}, not in the configured one ({} {code})", raw.status().as_u16());
    (StoreErrorKind::Permanent, StoreCause::Region, seen)
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
