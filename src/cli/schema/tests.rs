//! The published schemas are those of the types, and what is printed holds to them.

use super::*;
use crate::cli::{precheck, render, verify};
use crate::domain::plan::{PLAN_VERSION, Plan};
use crate::domain::planning::fixture;
use crate::driver::status::Status;
use crate::validation::report::ValidationReport;
use clap::ValueEnum as _;
use regex_lite::Regex;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::path::PathBuf;

#[path = "../../../tests/lab/json_schema.rs"]
mod json_schema;

fn generated<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    schema["title"] = json!(title);
    close(&mut schema);
    schema
}

/// Closes every object to members that it does not name, and says `null` where Rust says None.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let alternatives = ["oneOf", "anyOf", "allOf"].iter().any(|key| members.contains_key(*key));
            let has_members = members.contains_key("properties");
            if has_members {
                members.insert(if alternatives { "unevaluatedProperties" } else { "additionalProperties" }.to_owned(), json!(false));
            }
            if let Some(Value::String(words)) = members.get_mut("description") {
                *words = Regex::new(r"\bNone\b").unwrap().replace_all(&words.replace('\n', " "), "null").into_owned();
            }
            members.values_mut().for_each(close);
            // An alternative of an object with members of its own does not know those: the object as a whole is closed.
            if has_members && alternatives {
                for (_, branches) in members.iter_mut().filter(|(key, _)| ["oneOf", "anyOf", "allOf"].contains(&key.as_str())) {
                    branches.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).for_each(|branch| drop(branch.remove("additionalProperties")));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn of(document: Document) -> Value {
    match document {
        Document::Plan => {
            let mut schema = generated::<Plan>("plan.json");
            schema["properties"]["version"] = json!({ "const": PLAN_VERSION, "description": "The version of this shape; a member that is added does not change it." });
            schema
        }
        Document::Precheck => generated::<precheck::PrecheckOutput>("kferry precheck --output json"),
        Document::Status => generated::<Status>("kferry status --output json; with --watch, one such object a line"),
        Document::Validate => generated::<ValidationReport>("kferry validate --output json"),
        Document::Verify => generated::<verify::VerifyOutput>("kferry verify --output json, of a bundle that verifies"),
        Document::Error => generated::<render::ErrorOutput>("any command that fails under --output json"),
    }
}

/// `KFERRY_WRITE_SCHEMAS=1` writes them.
#[test]
fn the_published_schemas_are_those_of_the_types() {
    for document in Document::value_variants() {
        let name = document.to_possible_value().unwrap().get_name().to_owned();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("config/schemas/{name}.json"));
        let text = serde_json::to_string_pretty(&of(*document)).unwrap() + "\n";
        if std::env::var_os("KFERRY_WRITE_SCHEMAS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}: KFERRY_WRITE_SCHEMAS=1 cargo test --lib published_schemas");
    }
}

#[test]
fn a_plan_holds_to_its_schema_and_an_altered_one_does_not() {
    let schema = of(Document::Plan);
    let plan = serde_json::to_value(fixture::plan()).unwrap();
    assert_eq!(json_schema::violations(&schema, &plan), [""; 0]);
    let altered = |change: fn(&mut Value)| {
        let mut plan = plan.clone();
        change(&mut plan);
        json_schema::violations(&schema, &plan)
    };
    assert_eq!(altered(|p| p["surprise"] = json!(1)), ["surprise is not in the schema"]);
    assert_eq!(altered(|p| p["version"] = json!(2)), ["version is 2, not 1"]);
    assert_eq!(altered(|p| p["topics"][0]["mode"] = json!("exact")).len(), 1);
    assert_eq!(altered(|p| p["topics"][0]["partitions"][1]["log_start"] = json!("0")), ["topics[0].partitions[1].log_start is no integer: \"0\""]);
    assert_eq!(altered(|p| drop(p["estimate"].as_object_mut().unwrap().remove("basis"))), ["estimate has no basis"]);
}

#[test]
fn an_error_holds_to_its_schema() {
    let error = crate::error::Error::new(crate::error::Code::JournalLocked, "held");
    let object = serde_json::to_value(render::object(&error)).unwrap();
    assert_eq!(json_schema::violations(&of(Document::Error), &object), [""; 0]);
}
