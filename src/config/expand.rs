//! `${NAME}` and `${NAME:-default}` in scalar values.
//!
//! Expansion happens on a scalar after the YAML is parsed, so that a variable's value cannot add keys.

/// Expands every reference in `text`; `$$` before a brace stands for one dollar sign that expands nothing.
///
/// A variable that is set to nothing counts as missing: an unset secret in a pipeline usually arrives so.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // The dollar before is already the one to keep.
            expanded.push_str(&rest[..at]);
            expanded.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        expanded.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let end = body.find('}').ok_or("a ${ has no closing brace")?;
        let (name, default) = match body[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&body[..end], None),
        };
        if !is_name(name) {
            return Err(format!("`{name}` is not a name of an environment variable; only ${{NAME}} and ${{NAME:-default}} are known"));
        }
        match (env(name).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => expanded.push_str(&value),
            (None, Some(default)) => expanded.push_str(default),
            (None, None) => return Err(format!("the environment variable {name} is not set, or is empty")),
        }
        rest = &body[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("broker-1".into()),
            "TRICK" => Some("x\n  admin: true\n# ${HOST}".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced_once_and_never_twice() {
        assert_eq!(expand("${HOST}:9092", &env).as_deref(), Ok("broker-1:9092"));
        assert_eq!(expand("a ${NO:-b c} ${HOST}", &env).as_deref(), Ok("a b c broker-1"));
        assert_eq!(expand("${NO:-}", &env).as_deref(), Ok(""));
        assert_eq!(expand("${EMPTY:-d}", &env).as_deref(), Ok("d"));
        assert_eq!(expand("pa$$word $HOME $${HOST}", &env).as_deref(), Ok("pa$$word $HOME ${HOST}"));
        // A value that looks like a reference stays what it is.
        assert_eq!(expand("${TRICK}", &env).as_deref(), Ok("x\n  admin: true\n# ${HOST}"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(expand("${NO}", &env).expect_err("missing").contains("variable NO is not set"));
        assert!(expand("${EMPTY}", &env).is_err());
        assert!(expand("${HOST", &env).is_err());
        assert!(expand("${a-b}", &env).is_err());
        assert!(expand("${}", &env).is_err());
    }
}
