//! The transition table of `src/ARCHITECTURE.md`, generated from the transition function.

use super::sample;
use super::state::State;
use std::collections::BTreeSet;
use std::fmt::Write;

const BEGIN: &str = "<!-- transition table: generated, begin -->\n";
const END: &str = "<!-- transition table: end -->\n";

/// Every legal pair of state and fact, as a Markdown table, and the facts that move nothing.
fn transition_table() -> String {
    let facts = sample::facts();
    let mut text = String::from("| state | fact | next state |\n|---|---|---|\n");
    let mut moving = BTreeSet::new();
    for state in State::ALL {
        for fact in &facts {
            if let Ok(Some(next)) = state.after(fact) {
                let _ = writeln!(text, "| `{state}` | `{}` | `{next}` |", fact.name());
                moving.insert(fact.name());
            }
        }
    }
    let still: BTreeSet<String> = facts.iter().map(|f| f.name()).filter(|name| !moving.contains(name)).collect();
    let still: Vec<String> = still.iter().filter(|name| *name != "migration_planned").map(|name| format!("`{name}`")).collect();
    let _ = writeln!(text, "\n`migration_planned` begins a journal in `planned` and stands nowhere else. In every state, and moving nothing: {}.", still.join(", "));
    text
}

#[test]
fn the_architecture_page_holds_the_table() {
    let page = include_str!("../ARCHITECTURE.md");
    let table = page.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).expect("the page has the section's markers").0;
    let expected = transition_table();
    assert!(table == expected, "src/ARCHITECTURE.md differs; the section between its markers should be:\n{expected}");
}
