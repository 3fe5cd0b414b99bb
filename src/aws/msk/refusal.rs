//! What a call of the control plane that failed comes to.

use crate::aws::in_words;
use crate::error::{Code, Error};
use crate::kafka::cluster::Side;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kafka::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;

/// A call, as it is named where it fails.
pub struct Asked<'a> {
    pub side: Side,
    /// The IAM action that permits it.
    pub action: &'static str,
    pub resource: &'a str,
    pub region: &'a str,
}

/// The error with its own code, in words that hold no secret: the service's messages name identities and resources, and what
/// signs a request is in none of them.
pub fn told<E>(asked: &Asked<'_>, error: &SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let Asked { side, action, resource, region } = asked;
    let (code, why) = match error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code().unwrap_or_default(), answer.err().message().unwrap_or_default());
            let status = answer.raw().status().as_u16();
            let why = match (code.is_empty(), message.is_empty()) {
                (true, _) => format!("HTTP status {status}"),
                (false, true) => code.to_owned(),
                (false, false) => format!("{code}: {message}"),
            };
            (of_answer(status, code, message), why)
        }
        SdkError::TimeoutError(_) => (Code::MskUnreachable, "no answer in time".to_owned()),
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => of_chain(error),
        other => (Code::MskRefused, in_words(other)),
    };
    let seen = match code {
        Code::MskAccessDenied => format!("{side}: {action} on {resource} is not permitted: {why}"),
        Code::MskCredentials => format!("{side}: {action}: AWS credentials: {why}"),
        Code::MskUnreachable => format!("{side}: the MSK control plane of {region} does not answer {action}: {why}"),
        Code::MskThrottled => format!("{side}: {action} is throttled after {} attempts: {why}", super::ATTEMPTS_MAX),
        _ => format!("{side}: {action} on {resource}: {why}"),
    };
    Error::new(code, seen)
}

/// By the service's error code, then by the status.
fn of_answer(status: u16, code: &str, message: &str) -> Code {
    let says = |words: &[&str]| words.iter().any(|word| message.to_ascii_lowercase().contains(word));
    match code {
        "NotFoundException" => Code::MskNoSuchCluster,
        "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "RequestLimitExceeded" => Code::MskThrottled,
        // Of a Region that the account has not switched on, too.
        "UnrecognizedClientException" | "InvalidClientTokenId" | "ExpiredTokenException" | "ExpiredToken" | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken" | "IncompleteSignatureException" => Code::MskCredentials,
        "InvalidSignatureException" | "SignatureDoesNotMatch" if says(&["region"]) => Code::MskWrongRegion,
        "InvalidSignatureException" | "SignatureDoesNotMatch" => Code::MskCredentials,
        "AccessDeniedException" | "AccessDenied" | "ForbiddenException" => Code::MskAccessDenied,
        // As the service's 401 says: "The provided credentials couldn't be validated."
        "UnauthorizedException" => Code::MskCredentials,
        "BadRequestException" if says(&["region"]) => Code::MskWrongRegion,
        "ServiceUnavailableException" | "InternalServerErrorException" => Code::MskUnreachable,
        _ => match status {
            401 => Code::MskCredentials,
            403 => Code::MskAccessDenied,
            404 => Code::MskNoSuchCluster,
            429 => Code::MskThrottled,
            500..=599 => Code::MskUnreachable,
            _ => Code::MskRefused,
        },
    }
}

/// By what it was caused by: credentials that could not be had, or no connection.
fn of_chain(error: &(dyn StdError + 'static)) -> (Code, String) {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if let Some(credentials) = at.downcast_ref::<CredentialsError>() {
            return (Code::MskCredentials, in_words(credentials));
        }
        cause = at.source();
    }
    let words = in_words(error);
    // Said where no provider is configured at all.
    let code = if words.contains("identity") || words.contains("auth scheme") { Code::MskCredentials } else { Code::MskUnreachable };
    (code, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_says_has_a_code_of_its_own() {
        for (status, code, message, expected) in [
            (404, "NotFoundException", "The requested resource does not exist.", Code::MskNoSuchCluster),
            (403, "ForbiddenException", "not allowed", Code::MskAccessDenied),
            (403, "AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized to perform: kafka:DescribeClusterV2", Code::MskAccessDenied),
            (429, "TooManyRequestsException", "Too Many Requests", Code::MskThrottled),
            (403, "UnrecognizedClientException", "The security token included in the request is invalid.", Code::MskCredentials),
            (403, "ExpiredTokenException", "The security token included in the request is expired", Code::MskCredentials),
            (403, "InvalidSignatureException", "Credential should be scoped to a valid region.", Code::MskWrongRegion),
            (403, "InvalidSignatureException", "The request signature we calculated does not match", Code::MskCredentials),
            (400, "BadRequestException", "The Region in the ARN does not match", Code::MskWrongRegion),
            (400, "BadRequestException", "One or more of the parameters are not valid.", Code::MskRefused),
            (503, "ServiceUnavailableException", "", Code::MskUnreachable),
            (500, "", "", Code::MskUnreachable),
            (409, "ConflictException", "", Code::MskRefused),
        ] {
            assert_eq!(of_answer(status, code, message), expected, "{code} {message}");
        }
    }

    #[test]
    fn credentials_are_found_among_causes_and_only_first_lines_are_told() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to construct request")]
        struct Outer(#[source] CredentialsError);
        let (code, words) = of_chain(&Outer(CredentialsError::not_loaded("no providers in chain provided credentials\nsecret: hunter2")));
        assert_eq!(code, Code::MskCredentials);
        assert!(!words.contains("hunter2"), "{words}");
        assert_eq!(of_chain(&std::io::Error::other("connection refused")).0, Code::MskUnreachable);
    }
}
