//! The one place that knows the YAML crate: options, and its errors in our words.

use super::problem::{Problem, nearest};
use super::raw::Document;
use serde_saphyr::Error as YamlError;

/// Parses the file; the error is the first thing that is wrong with its structure.
pub(super) fn parse(text: &str) -> Result<Document, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| problem(text, e.without_snippet()))
}

fn problem(text: &str, error: &YamlError) -> Problem {
    let (message, hint) = explain(error);
    let mark = error.location().map(Into::into);
    let hint = hint.or_else(|| {
        let line = text.lines().nth(mark.map_or(1, |m: super::text::Mark| m.line) - 1).unwrap_or_default();
        line.contains('\t').then(|| "YAML is indented with spaces; this line holds a tab".to_owned())
    });
    Problem { mark, message, hint }
}

/// Message and hint; no message holds a value of the file.
fn explain(error: &YamlError) -> (String, Option<String>) {
    match error {
        YamlError::SerdeUnknownField { field, expected, .. } => {
            let home = HOMES.iter().find(|(_, keys)| keys.contains(&field.as_str())).map(|(home, _)| home);
            let hint = match (nearest(field, expected), home) {
                (Some(name), _) => format!("did you mean `{name}`?"),
                (None, Some(home)) => format!("`{field}` belongs below `{home}`; check the indentation"),
                (None, None) => format!("known here: {}", expected.join(", ")),
            };
            (format!("unknown key `{field}`"), Some(hint))
        }
        YamlError::DuplicateMappingKey { key, .. } => {
            let which = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("the key `{key}`"));
            (format!("{which} stands twice in one section"), Some("keep one of them; kferry does not guess which one is meant".into()))
        }
        YamlError::SerdeInvalidType { expected, .. } | YamlError::SerdeInvalidValue { expected, .. } => {
            (format!("a value of another kind is expected here: {}", in_our_words(expected)), None)
        }
        YamlError::Unexpected { expected, .. } => (format!("a value of another kind is expected here: {}", in_our_words(expected)), None),
        YamlError::NullIntoString { .. } => ("a value is expected here".into(), Some("put quotes around the word null or the sign ~ where they are meant as text".into())),
        YamlError::Eof { .. } => ("the file ends too early, or is empty".into(), Some("config/minimal.yaml is a complete example".into())),
        YamlError::MultipleDocuments { .. } => ("the file holds more than one YAML document".into(), Some("remove what follows the line `---`".into())),
        YamlError::UnknownAnchor { .. } => ("the alias names an anchor that is not defined above".into(), None),
        YamlError::AliasError { error, .. } => explain(error.without_snippet()),
        YamlError::ExternalMessage { msg, .. } => (format!("not valid YAML: {}", msg.trim_end_matches('.')), None),
        YamlError::Message { msg, .. } => (msg.clone(), None),
        // What remains is about YAML's rarer features; its own words follow, without the place, which we give.
        other => {
            let text = other.to_string();
            let words = text.split(" at line ").next().unwrap_or_default().to_owned();
            (format!("not a valid configuration: {words}"), None)
        }
    }
}

/// Keys that are likely to stand one level too high or too low, and where they belong.
const HOMES: [(&str, &[&str]); 8] = [
    ("enterprise:", &["msk_kraft_migration"]),
    ("kferry:` or `enterprise: msk_kraft_migration:", &["source", "target", "topics", "groups", "backup", "evidence", "seed", "cutover", "validation", "topology", "acl", "offsets", "cost"]),
    ("source:` or `target:", &["cluster_arn", "bootstrap_servers", "auth", "network"]),
    ("auth:", &["mode", "username", "password", "ca", "cert", "key"]),
    ("backup:` or `evidence:", &["s3_bucket", "s3_prefix", "endpoint_url", "kms_key_arn", "directory"]),
    ("evidence:", &["retention", "signing_key_path", "object_lock"]),
    ("seed:", &["rate_limit", "segment_max_bytes", "memory_max_bytes"]),
    ("cutover:", &["freeze", "producer_freeze_webhook", "max_producer_freeze", "drain_timeout"]),
];

/// The crate's and serde's names of what they expected, as a user would say it.
fn in_our_words(expected: &str) -> String {
    match expected {
        "string scalar" | "scalar" | "a string" => "a single value".into(),
        e if e.starts_with("struct ") || e.contains("mapping") => "a section of keys, each on its own line and indented".into(),
        e => e.into(),
    }
}
