//! One line of the configuration file below a message, with a caret, and without any secret on it.

use super::text::Mark;
use std::fmt::Write;

/// Widest piece of a line that is shown.
///
/// **Units**: characters.
const WIDTH_MAX: usize = 100;

/// Appends the line at `mark` and a caret; nothing where the file has no such line.
pub(super) fn render(text: &str, mark: Mark, out: &mut String) {
    let Some(line) = text.lines().nth(mark.line - 1) else { return };
    let (shown, hidden_from) = redact(text, mark.line - 1, line);
    // The caret never tells how long a hidden value is.
    let column = mark.column.min(hidden_from.map_or(usize::MAX, |at| at + 1)).min(line.chars().count() + 1);
    let skip = column.saturating_sub(WIDTH_MAX);
    let shown: String = shown.chars().skip(skip).take(WIDTH_MAX + 20).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let gutter = mark.line.to_string();
    let margin = " ".repeat(gutter.len());
    // Writing to a String cannot fail.
    let _ = write!(out, "\n{margin} |\n{gutter} | {}\n{margin} | {}^", shown.trim_end(), " ".repeat(column - skip - 1));
}

/// The line with what looks like a secret's value replaced, and the character at which the replacement begins.
fn redact(text: &str, index: usize, line: &str) -> (String, Option<usize>) {
    if let Some(at) = secret_value_start(line) {
        return hide_from(line, at);
    }
    if continues_a_secret(text, index, line) {
        let indent = line.len() - line.trim_start().len();
        return hide_from(line, indent);
    }
    // User information in a URL.
    if let Some(scheme) = line.find("://")
        && line[scheme..].contains('@')
    {
        return hide_from(line, scheme + 3);
    }
    (line.to_owned(), None)
}

fn hide_from(line: &str, at: usize) -> (String, Option<usize>) {
    (format!("{}***", &line[..at]), Some(line[..at].chars().count()))
}

/// Where the value of the first secret key on the line begins (in bytes); None without one, or without a value.
fn secret_value_start(line: &str) -> Option<usize> {
    let mut start = 0;
    while let Some(colon) = line[start..].find(':') {
        let colon = start + colon;
        let key_start = line[start..colon].rfind([' ', '{', ',', '\t']).map_or(start, |i| start + i + 1);
        if is_secret_key(&line[key_start..colon]) {
            let value = line[colon + 1..].trim_start();
            return (!value.is_empty()).then(|| line.len() - value.len());
        }
        start = colon + 1;
    }
    None
}

/// Whether the line belongs to the value of a secret key above it: a block scalar, or a quoted string over several lines.
fn continues_a_secret(text: &str, index: usize, line: &str) -> bool {
    let indent = |l: &str| l.len() - l.trim_start().len();
    let before: Vec<&str> = text.lines().take(index).filter(|l| !l.trim().is_empty()).collect();
    let parent_is_secret = before
        .iter()
        .rev()
        .find(|l| indent(l) < indent(line))
        .is_some_and(|l| secret_value_start(l).is_some() || l.trim_end().strip_suffix(':').is_some_and(|key| is_secret_key(key.trim())));
    parent_is_secret || before.last().is_some_and(|l| secret_value_start(l).is_some_and(|at| goes_on(&l[at..])))
}

/// Whether a value is not complete on its line, so that the next one belongs to it however it is indented.
fn goes_on(value: &str) -> bool {
    let quote_is_open = |quote: char| value.starts_with(quote) && value.matches(quote).count() % 2 == 1;
    value.starts_with(['|', '>']) || quote_is_open('"') || quote_is_open('\'')
}

fn is_secret_key(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'', ' ', '-']).to_ascii_lowercase();
    // A choice of two words, and no secret.
    key != "scram_secrets" && (["pass", "secret", "token", "webhook", "pwd", "credential"].iter().any(|word| key.contains(word)) || strsim::levenshtein(&key, "password") <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        let mut out = String::new();
        render(text, Mark { line, column }, &mut out);
        out
    }

    #[test]
    fn the_line_and_a_caret_are_shown() {
        assert_eq!(shown("a: 1\nseed:\n  rate: x\n", 3, 9), "\n  |\n3 |   rate: x\n  |         ^");
        assert_eq!(shown("a: 1\n", 7, 1), "");
    }

    #[test]
    fn a_secret_never_shows() {
        for (text, line) in [
            ("password: hunter2", 1),
            ("  pasword: hunter2", 1),
            ("\"password\": hunter2", 1),
            ("auth: {mode: plain, password: hunter2}", 1),
            ("producer_freeze_webhook: https://x/hunter2", 1),
            ("endpoint_url: https://u:hunter2@host", 1),
            ("password: |\n  hunter2\n", 2),
            ("password: \"a\n  hunter2", 2),
            ("password:\n  hunter2", 2),
            ("  password: \"a\nhunter2\"", 2),
            ("  password: |\nhunter2", 2),
            ("- password: 'hunter2", 1),
        ] {
            for column in 1..30 {
                let out = shown(text, line, column);
                assert!(!out.contains("hunter2") && out.contains("***"), "{text}: {out}");
            }
        }
        // The caret says nothing about the length of what is hidden.
        assert_eq!(shown("password: hunter2", 1, 40), shown("password: hunter2", 1, 17));
    }

    #[test]
    fn an_ordinary_line_after_a_secret_shows() {
        assert!(shown("password: x\nmode: plane", 2, 7).contains("plane"));
    }
}
