//! Which topics and groups a migration carries: globs, and what Kafka keeps for itself.

use crate::config::model::Selection;

/// Topics that brokers write themselves. Their content belongs to one cluster and is never copied, whatever the patterns say.
const KAFKA_OWN: [&str; 5] =
    ["__consumer_offsets", "__transaction_state", "__cluster_metadata", "__share_group_state", "__remote_log_metadata"];

/// Topics that Amazon MSK's own agents write; left out unless a pattern names them from their first letters on.
const SERVICE_OWN_PREFIX: &str = "__amazon_msk_";

/// Whether `pattern` (`*`: any run of characters, `?`: exactly one) covers the whole of `name`.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stood, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Why `name` is left out by the patterns; None where it is selected.
fn left_out_by_patterns(selection: &Selection, name: &str) -> Option<String> {
    if let Some(pattern) = selection.exclude.iter().find(|p| glob_matches(p, name)) {
        return Some(format!("excluded by `{pattern}`"));
    }
    if selection.include.is_empty() || selection.include.iter().any(|p| glob_matches(p, name)) {
        return None;
    }
    Some("no include pattern covers it".to_owned())
}

/// Why a topic is left out; None where it is selected.
pub fn topic_left_out(selection: &Selection, name: &str, internal: bool) -> Option<String> {
    if internal || KAFKA_OWN.contains(&name) {
        return Some("kept by Kafka itself".to_owned());
    }
    let named = |p: &String| p.starts_with(SERVICE_OWN_PREFIX) && glob_matches(p, name);
    if name.starts_with(SERVICE_OWN_PREFIX) && !selection.include.iter().any(named) {
        return Some("kept by Amazon MSK itself".to_owned());
    }
    left_out_by_patterns(selection, name)
}

/// Why a group is left out; None where it is selected.
pub fn group_left_out(selection: &Selection, group_id: &str) -> Option<String> {
    left_out_by_patterns(selection, group_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Selection { include: owned(include), exclude: owned(exclude) }
    }

    #[test]
    fn globs_cover_whole_names() {
        for (pattern, name) in [("*", ""), ("orders", "orders"), ("or*s", "orders"), ("o?ders", "orders"), ("*.dlq", "a.b.dlq"), ("a*b*c", "aXbYbc"), ("**", "x")] {
            assert!(glob_matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "x"), ("order", "orders"), ("o?ders", "oders"), ("*.dlq", "dlq"), ("a*b*c", "aXbYb"), ("?", "")] {
            assert!(!glob_matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_kafka_keeps_is_never_selected() {
        let all = selection(&["*", "__consumer_offsets"], &[]);
        for name in KAFKA_OWN {
            assert!(topic_left_out(&all, name, false).is_some(), "{name}");
        }
        assert!(topic_left_out(&all, "anything", true).is_some());
        assert_eq!(topic_left_out(&all, "__debezium-heartbeat", false), None);
        assert_eq!(topic_left_out(&all, "_schemas", false), None);
    }

    #[test]
    fn what_msk_keeps_is_selected_only_by_name() {
        assert!(topic_left_out(&selection(&[], &[]), "__amazon_msk_canary", false).is_some());
        assert!(topic_left_out(&selection(&["*"], &[]), "__amazon_msk_canary", false).is_some());
        assert_eq!(topic_left_out(&selection(&["__amazon_msk_connect_*"], &[]), "__amazon_msk_connect_offsets_x", false), None);
    }

    #[test]
    fn exclude_beats_include_and_the_reason_names_the_pattern() {
        let s = selection(&["or*"], &["*.tmp"]);
        assert_eq!(topic_left_out(&s, "orders", false), None);
        assert_eq!(topic_left_out(&s, "orders.tmp", false).as_deref(), Some("excluded by `*.tmp`"));
        assert_eq!(group_left_out(&s, "billing").as_deref(), Some("no include pattern covers it"));
    }
}
