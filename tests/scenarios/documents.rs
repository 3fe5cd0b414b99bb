//! What kferry writes for other programs holds to the schemas that it publishes, in every scenario.

use std::path::Path;

use serde_json::Value;

use crate::lab::{Outcome, json_schema};

/// The schema of this name, as it is published.
fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/schemas/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

#[track_caller]
pub fn expect_schema(name: &str, document: &Value) {
    let violations = json_schema::violations(&schema(name), document);
    assert!(violations.is_empty(), "{name} does not hold to config/schemas/{name}.json: {violations:#?}");
}

/// Checks what a command that was run with its JSON output has printed, or written to `plan`.
#[track_caller]
pub fn expect_published(command: &str, outcome: &Outcome, plan: &Path) {
    match (command, outcome.code) {
        // Killed, or interrupted: there may be nothing, or a part.
        (_, None | Some(130)) => {}
        ("plan", Some(0)) => expect_schema("plan", &serde_json::from_str(&std::fs::read_to_string(plan).unwrap()).unwrap()),
        ("precheck", Some(0 | 3 | 4)) | ("status", Some(0)) => expect_schema(command, &outcome.json()),
        ("plan", _) => {}
        _ => expect_schema("error", &outcome.json()),
    }
}
