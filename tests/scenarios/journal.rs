//! The journal as an outsider reads it: JSON lines and the chain of their hashes, computed here by the published rule.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The whole lines of a journal; what is being written at this moment is left out.
pub fn lines(dir: &Path) -> Vec<String> {
    let text = String::from_utf8(std::fs::read(dir.join("journal.jsonl")).unwrap_or_default()).expect("a journal is UTF-8");
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole].lines().map(String::from).collect()
}

/// Every fact, with its `fact` member as the name.
pub fn facts(dir: &Path) -> Vec<Value> {
    lines(dir).iter().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("journal line {line:?}: {e}"))["fact"].take()).collect()
}

/// The state that the facts lead to; nothing before the first.
pub fn state(facts: &[Value]) -> Option<&'static str> {
    facts.iter().fold(None, |state, fact| {
        let next = match fact["fact"].as_str().unwrap_or_default() {
            "migration_planned" => "planned",
            "precheck_started" => "precheck",
            "topology_copy_started" => "topology_copy",
            "seed_started" => "seed",
            "tail_started" | "drain_ready_lost" | "cutover_abandoned" => "tail",
            "drain_ready_reached" => "drain_ready",
            "cutover_started" => "cutover",
            "cutover_committed" => "awaiting_client_switch",
            "client_switch_acknowledged" => "validating",
            "finalized" => "finalized",
            "rolled_back" => "rolled_back",
            _ => return state,
        };
        Some(next)
    })
}

/// What kind of step an entry is: the fact, and the effect where it is one.
pub fn kind(facts: &[Value], index: usize) -> String {
    let fact = &facts[index];
    let name = fact["fact"].as_str().unwrap_or_default();
    let effect = |fact: &Value| fact["effect"]["effect"].as_str().unwrap_or_default().to_owned();
    match name {
        "effect_intended" => format!("{name}:{}", effect(fact)),
        "effect_completed" => {
            let intended = facts[..index].iter().rev().find(|f| f["fact"] == "effect_intended" && f["id"] == fact["id"]);
            format!("{name}:{}", intended.map(effect).unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

/// Panics unless every line hashes to what it says and names the line before it.
#[track_caller]
pub fn check_chain(dir: &Path) -> usize {
    let mut prev = "0".repeat(64);
    let lines = lines(dir);
    for (index, line) in lines.iter().enumerate() {
        let at = line.rfind(",\"hash\":\"").unwrap_or_else(|| panic!("journal line {} has no hash", index + 1));
        let written = line[at + 9..].trim_end_matches("\"}");
        let computed: String = Sha256::digest(format!("{}}}", &line[..at])).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(written, computed, "journal line {} does not hash to what it says", index + 1);
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["prev"], prev.as_str(), "journal line {} does not follow the one before", index + 1);
        assert_eq!(entry["seq"], index + 1);
        prev = computed;
    }
    lines.len()
}
