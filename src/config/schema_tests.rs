//! The schema for editors says what the parser takes: the same sections, keys and words.

use super::tests::repository;
use regex_lite::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string(repository().join("config/schema.json")).expect("the schema exists")).expect("JSON")
}

/// Why a value is not what a schema asks for; knows the keywords that ours uses, and refuses any other.
fn refused(schema: &Value, root: &Value, value: &Value, place: &str) -> Option<String> {
    for (keyword, wanted) in schema.as_object().expect("a schema") {
        let refused = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => None,
            "$ref" => {
                let named = root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).expect("a definition");
                refused(named, root, value, place)
            }
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    other => panic!("type {other}"),
                };
                let fits = wanted.as_array().map_or_else(|| is(wanted), |names| names.iter().any(is));
                (!fits).then(|| format!("{place} is {value}, not {wanted}"))
            }
            "properties" => value.as_object().and_then(|object| {
                object.iter().filter_map(|(key, value)| Some((key, wanted.get(key)?, value))).find_map(|(key, schema, value)| refused(schema, root, value, &format!("{place}.{key}")))
            }),
            "additionalProperties" => {
                assert_eq!(wanted, false);
                let known = schema["properties"].as_object().unwrap();
                value.as_object().and_then(|object| object.keys().find(|key| !known.contains_key(*key))).map(|key| format!("{place}.{key} is unknown"))
            }
            "items" => value.as_array().and_then(|items| items.iter().find_map(|item| refused(wanted, root, item, place))),
            "anyOf" => {
                let all: Option<Vec<String>> = wanted.as_array().unwrap().iter().map(|schema| refused(schema, root, value, place)).collect();
                all.map(|reasons| reasons.join("; "))
            }
            "enum" => (!wanted.as_array().unwrap().contains(value)).then(|| format!("{place} is {value}, none of {wanted}")),
            "pattern" => value.as_str().filter(|text| !Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)).map(|text| format!("{place} is {text}")),
            "minimum" => value.as_i64().filter(|number| *number < wanted.as_i64().unwrap()).map(|number| format!("{place} is {number}")),
            other => panic!("keyword {other}"),
        };
        if refused.is_some() {
            return refused;
        }
    }
    None
}

fn judged(path: &std::path::Path) -> Option<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let schema = schema();
    refused(&schema, &schema, &value, "")
}

/// Every section of `raw.rs` and what its keys hold: another section, or a scalar or list.
fn sections() -> BTreeMap<String, BTreeMap<String, Option<String>>> {
    let mut sections = BTreeMap::new();
    let mut name = String::new();
    for line in include_str!("raw.rs").lines() {
        if let Some(rest) = line.strip_prefix("pub(super) struct ") {
            name = rest.trim_end_matches(" {").to_owned();
            sections.insert(name.clone(), BTreeMap::new());
        } else if let Some((key, kind)) = line.trim().strip_prefix("pub ").and_then(|field| field.split_once(": ")) {
            let section = kind.strip_prefix("Section<").map(|rest| rest.trim_end_matches(">,").to_owned());
            sections.get_mut(&name).expect("a field stands in a section").insert(key.to_owned(), section);
        }
    }
    sections
}

#[test]
fn it_has_the_parsers_sections_and_keys() {
    let (schema, sections) = (schema(), sections());
    assert!(sections.len() > 12, "{sections:?}");
    let defined: BTreeSet<&String> = schema["$defs"].as_object().unwrap().keys().filter(|name| *name != "FromEnvironment").collect();
    assert_eq!(defined, sections.keys().collect());
    for (name, fields) in &sections {
        let properties = schema["$defs"][name]["properties"].as_object().unwrap();
        assert_eq!(properties.keys().collect::<BTreeSet<_>>(), fields.keys().collect(), "{name}");
        for (key, section) in fields {
            let named = properties[key]["$ref"].as_str().map(|place| place.trim_start_matches("#/$defs/").to_owned());
            assert_eq!(&named, section, "{name}.{key}");
            assert!(section.is_some() || properties[key]["description"].is_string(), "{name}.{key} is not described");
        }
    }
}

#[test]
fn every_example_is_of_its_shape() {
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            assert_eq!(judged(&path), None, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn it_refuses_what_an_editor_can_know() {
    let invalid = repository().join("tests/fixtures/config/invalid");
    for name in [
        "auth-mode-unknown", "count-is-no-number", "drift-policy-unknown", "duration-misspelt", "duration-with-fraction", "freeze-mode-unknown",
        "lag-negative", "offsets-unknown", "price-unknown", "price-with-comma", "rate-without-time", "retention-without-unit", "root-misspelt", "scalar-is-a-section", "section-is-a-scalar",
        "security-protocol-unknown", "sentinel-unknown", "servers-are-a-section", "size-negative", "size-with-half-a-unit", "unknown-key-near-another", "unknown-section-key",
    ] {
        assert!(judged(&invalid.join(format!("{name}.yaml"))).is_some(), "{name}");
    }
}
