//! What is wrong with a configuration, and where: message, place, snippet and hint.

use super::snippet;
use super::text::Mark;
use crate::error::{Code, Error};
use std::fmt::Write;

/// Most problems that one message lists; the rest is counted.
const PROBLEMS_MAX: usize = 10;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub mark: Option<Mark>,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn at(mark: Mark, message: impl Into<String>) -> Self {
        Self { mark: Some(mark), message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The file that is being judged.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    /// As the user gave it.
    pub name: &'a str,
    pub text: &'a str,
}

impl File<'_> {
    /// Makes one error of all `problems`, in the order of their lines.
    pub fn error(&self, mut problems: Vec<Problem>) -> Error {
        problems.sort_by_key(|p| p.mark);
        let mut seen = String::new();
        for problem in problems.iter().take(PROBLEMS_MAX) {
            if !seen.is_empty() {
                seen.push('\n');
            }
            self.render(problem, &mut seen);
        }
        if problems.len() > PROBLEMS_MAX {
            let _ = write!(seen, "\n… and {} more", problems.len() - PROBLEMS_MAX);
        }
        Error::new(Code::ConfigInvalid, seen)
    }

    fn render(&self, problem: &Problem, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match problem.mark {
            Some(mark) => write!(out, "{}:{}:{}: {}", self.name, mark.line, mark.column, problem.message),
            None => write!(out, "{}: {}", self.name, problem.message),
        };
        if let Some(mark) = problem.mark {
            snippet::render(self.text, mark, out);
        }
        if let Some(hint) = &problem.hint {
            let _ = write!(out, "\n  = hint: {hint}");
        }
    }
}

/// The name among `known` that `given` was probably meant to be.
///
/// Case, `-` and `_` do not count; of the rest, one letter in three may differ.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |s: &str| s.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let given = plain(given);
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let known = ["source", "target", "bootstrap_servers", "scram-sha-512"];
        assert_eq!(nearest("soruce", &known), Some("source"));
        assert_eq!(nearest("bootstrapServers", &known), Some("bootstrap_servers"));
        assert_eq!(nearest("SCRAM_SHA_512", &known), Some("scram-sha-512"));
        assert_eq!(nearest("colour", &known), None);
    }
}
