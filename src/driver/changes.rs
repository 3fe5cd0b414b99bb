//! What has changed in the configuration since the plan that the journal began with.

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::machine::fold::Migration;
use serde_json::Value;

/// Keys that the plan has used up, and whatever lies below them: another value could have no effect, or would look for what is stored where it is not.
const SETTLED_BY_THE_PLAN: [&str; 6] = ["topics", "offsets", "topology.replication_factor", "backup.s3_bucket", "backup.s3_prefix", "backup.directory"];

/// One key of the effective configuration.
struct Change {
    key: String,
    was: Value,
    is: Value,
}

impl Change {
    fn is_settled(&self) -> bool {
        SETTLED_BY_THE_PLAN.iter().any(|key| self.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    fn in_words(&self) -> String {
        format!("{} was {} and is {}", self.key, self.was, self.is)
    }
}

/// Tells what was changed and takes effect.
pub fn tell(config: &Config, migration: &Migration) {
    let free = since(&migration.config, &config.effective()).into_iter().filter(|change| !change.is_settled()).collect::<Vec<_>>();
    if !free.is_empty() {
        eprintln!("note: the configuration is not that of the plan: {}; what is still to be done goes by it", words(&free));
    }
}

/// Refuses what was changed and can have no effect any more. Nobody asks who only undoes, or goes on behind a commit: both go by the journal alone, and clients may be waiting.
///
/// **Errors**: KF-CONFIG-CHANGED.
pub fn refuse(config: &Config, migration: &Migration) -> Result<()> {
    let settled = since(&migration.config, &config.effective()).into_iter().filter(Change::is_settled).collect::<Vec<_>>();
    if settled.is_empty() { Ok(()) } else { Err(Error::new(Code::ConfigChanged, format!("since the plan was made: {}", words(&settled)))) }
}

fn words(changes: &[Change]) -> String {
    changes.iter().map(Change::in_words).collect::<Vec<_>>().join("; ")
}

/// Keys whose values differ. Those that the plan's version of kferry did not have, or did not journal, are not compared.
fn since(planned: &Value, now: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(String::new(), planned, Some(now), &mut changes);
    // The journal's own is compared by itself.
    changes.retain(|change| change.key != "migration_id");
    changes
}

fn compare(key: String, planned: &Value, now: Option<&Value>, changes: &mut Vec<Change>) {
    if let Value::Object(members) = planned {
        for (name, value) in members {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            compare(key, value, now.and_then(|now| now.get(name)), changes);
        }
    } else if !key.is_empty() && now.unwrap_or(&Value::Null) != planned {
        changes.push(Change { key, was: planned.clone(), is: now.cloned().unwrap_or(Value::Null) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::sample;
    use serde_json::json;

    fn config(text: &str) -> Config {
        crate::config::parse("migration.yaml", text, std::path::Path::new("."), &|_| None).unwrap()
    }

    #[test]
    fn what_the_plan_has_used_up_is_refused_and_the_rest_is_told() {
        let minimal = include_str!("../../config/minimal.yaml");
        let planned = config(minimal);
        let mut migration = Migration::fold(&sample::entries([sample::planned()])).unwrap();
        migration.config = planned.effective();
        assert!(since(&migration.config, &planned.effective()).is_empty());
        refuse(&planned, &migration).unwrap();

        let slower = config(&format!("{minimal}\n  seed:\n    rate_limit: 3MB/s\n"));
        let told: Vec<String> = since(&migration.config, &slower.effective()).iter().map(Change::in_words).collect();
        assert_eq!(told, ["seed.rate_limit_bytes_per_s was null and is 3000000"]);
        refuse(&slower, &migration).unwrap();

        let fewer = config(&format!("{minimal}\n  topics:\n    include: [\"orders.*\"]\n"));
        let refused = refuse(&fewer, &migration).unwrap_err();
        assert_eq!(refused.code(), Code::ConfigChanged);
        assert!(refused.seen().contains("topics.include was ") && refused.seen().ends_with("and is [\"orders.*\"]"), "{refused}");
        migration.config = Value::Null;
        refuse(&fewer, &migration).expect("a journal that does not tell");
    }

    #[test]
    fn another_store_is_another_place_and_a_newer_key_is_none() {
        let planned = json!({ "backup": { "s3_bucket": "a", "region": "x" }, "migration_id": null });
        let change = |now: Value| since(&planned, &now).iter().map(|c| (c.key.clone(), c.is_settled())).collect::<Vec<_>>();
        assert_eq!(change(json!({ "backup": { "s3_bucket": "b", "region": "y" } })), [("backup.s3_bucket".to_owned(), true), ("backup.region".to_owned(), false)]);
        assert_eq!(change(json!({ "backup": { "directory": "/d" } })).len(), 2);
        assert!(change(json!({ "backup": { "s3_bucket": "a", "region": "x", "newer": 1 }, "migration_id": "m" })).is_empty());
    }
}
