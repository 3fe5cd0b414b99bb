//! As much of JSON Schema (2020-12) as kferry's own schemas use; a keyword that it does not know is a panic, so that nothing passes unlooked at.

use serde_json::Value;

/// What of a document does not hold to its schema, one line each.
pub fn violations(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, document, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let members = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return found.push(format!("{} is not in the schema", name(at))),
        Value::Object(members) => members,
        other => panic!("no schema: {other}"),
    };
    for (keyword, wanted) in members {
        match keyword.as_str() {
            "$schema" | "$defs" | "$id" | "title" | "description" | "format" | "default" => {}
            "$ref" => {
                let path = wanted.as_str().and_then(|r| r.strip_prefix('#')).unwrap_or_else(|| panic!("a reference within the schema: {wanted}"));
                check(root, root.pointer(path).unwrap_or_else(|| panic!("nothing at {path}")), value, at, found);
            }
            "type" => {
                let types: Vec<&str> = wanted.as_array().map_or_else(|| vec![wanted], |all| all.iter().collect()).into_iter().filter_map(Value::as_str).collect();
                if !types.iter().any(|t| is(t, value)) {
                    found.push(format!("{} is no {}: {value}", name(at), types.join(" or ")));
                }
            }
            "const" if wanted != value => found.push(format!("{} is {value}, not {wanted}", name(at))),
            "enum" if !wanted.as_array().is_some_and(|all| all.contains(value)) => found.push(format!("{} is {value}, none of {wanted}", name(at))),
            "const" | "enum" => {}
            "minimum" if value.is_number() && value.as_f64() < wanted.as_f64() => found.push(format!("{} is {value}, below {wanted}", name(at))),
            "maximum" if value.is_number() && value.as_f64() > wanted.as_f64() => found.push(format!("{} is {value}, above {wanted}", name(at))),
            "minimum" | "maximum" => {}
            "required" => {
                let (Some(object), Some(all)) = (value.as_object(), wanted.as_array()) else { continue };
                let missing = all.iter().filter_map(Value::as_str).filter(|key| !object.contains_key(*key));
                found.extend(missing.map(|key| format!("{} has no {key}", name(at))));
            }
            "properties" => {
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = wanted.get(key) {
                        check(root, schema, inner, &below(at, key), found);
                    }
                }
            }
            "additionalProperties" | "unevaluatedProperties" => {
                let known = if keyword == "additionalProperties" { own_properties(members) } else { all_properties(root, schema) };
                for (key, inner) in value.as_object().into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str())) {
                    check(root, wanted, inner, &below(at, key), found);
                }
            }
            "items" => {
                for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, inner, &format!("{at}[{index}]"), found);
                }
            }
            "allOf" => wanted.as_array().into_iter().flatten().for_each(|part| check(root, part, value, at, found)),
            "anyOf" | "oneOf" => {
                let alternatives: Vec<Vec<String>> = wanted.as_array().into_iter().flatten().map(|part| of_alternative(root, part, value, at)).collect();
                let holding = alternatives.iter().filter(|found| found.is_empty()).count();
                if holding == 0 || (keyword == "oneOf" && holding > 1) {
                    found.push(format!("{} holds to {holding} of {} alternatives: {alternatives:?}", name(at), alternatives.len()));
                }
            }
            other => panic!("the keyword {other} is not known to this checker"),
        }
    }
}

fn of_alternative(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    check(root, schema, value, at, &mut found);
    found
}

fn own_properties(members: &serde_json::Map<String, Value>) -> Vec<&str> {
    members.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Those of the alternatives too; which of them holds, `oneOf` says.
fn all_properties<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let Some(members) = schema.as_object() else { return Vec::new() };
    let mut known = own_properties(members);
    for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| members.get(*key)?.as_array()).flatten() {
        known.extend(all_properties(root, part));
    }
    if let Some(path) = members.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) {
        known.extend(root.pointer(path).map_or(Vec::new(), |schema| all_properties(root, schema)));
    }
    known
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not known to this checker"),
    }
}

fn below(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn name(at: &str) -> &str {
    if at.is_empty() { "the document" } else { at }
}
