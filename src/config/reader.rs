//! Reads one value at a time: expands it, checks it, notes what is wrong with it and goes on, so that one run shows every problem.

use super::expand::expand;
use super::problem::{Problem, nearest};
use super::quantity;
use super::text::{Mark, Text};
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A value after expansion, with what is needed to complain about it.
pub(super) struct Value<'a> {
    /// Without blanks at either end.
    pub text: String,
    whole: String,
    key: String,
    written: &'a Text,
}

impl Value<'_> {
    /// The value with its blanks, which may belong to a password.
    pub fn untrimmed(self) -> String {
        self.whole
    }
}

pub(super) struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Relative paths begin here: the directory of the configuration file.
    base: &'a Path,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>, base: &'a Path) -> Self {
        Self { env, base, problems: RefCell::default() }
    }

    pub fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The value with `${ENV}` expanded and blanks trimmed; None where it cannot be expanded, which is noted.
    pub fn value<'t>(&self, key: &str, written: &'t Text) -> Option<Value<'t>> {
        match expand(&written.written, self.env) {
            Ok(whole) => Some(Value { text: whole.trim().to_owned(), whole, key: key.to_owned(), written }),
            Err(why) => {
                self.note(Problem::at(written.mark, format!("{key}: {why}")).hint("${NAME:-default} gives a default; $${ stands for the characters ${"));
                None
            }
        }
    }

    /// Notes `why` against a value; the value is quoted as it is written, never as it expands.
    pub fn refuse(&self, value: &Value<'_>, why: &str) {
        self.refuse_with(value, why, None);
    }

    pub fn refuse_with(&self, value: &Value<'_>, why: &str, hint: Option<String>) {
        let written = value.written.written.trim();
        let expanded = if written.contains("${") { " after expansion" } else { "" };
        // User information in a URL is a secret wherever it stands.
        let shown = if written.contains("://") && written.contains('@') { "***" } else { written };
        let mut problem = Problem::at(value.written.mark, format!("{} is `{shown}`{expanded}: {why}", value.key));
        problem.hint = hint;
        self.note(problem);
    }

    /// Like `refuse`, for a value that is never shown.
    pub fn refuse_secret(&self, value: &Value<'_>, why: &str) {
        self.note(Problem::at(value.written.mark, format!("{}: {why}", value.key)));
    }

    /// A required key is not there; `section` is where it belongs.
    pub fn missing(&self, section: Mark, key: &str, hint: &str) {
        self.note(Problem::at(section, format!("{key} is missing")).hint(hint));
    }

    /// A string that is not empty.
    pub fn string(&self, key: &str, written: Option<&Text>) -> Option<String> {
        let value = self.value(key, written?)?;
        if value.text.is_empty() {
            self.refuse(&value, "it is empty");
            return None;
        }
        Some(value.text)
    }

    /// A path; a relative one begins at the configuration file's directory, so that a run from elsewhere finds the same files.
    pub fn path(&self, key: &str, written: Option<&Text>) -> Option<PathBuf> {
        let text = self.string(key, written)?;
        let path = match text.strip_prefix("~/") {
            Some(rest) => match (self.env)("HOME") {
                Some(home) => PathBuf::from(home).join(rest),
                None => PathBuf::from(&text),
            },
            None => PathBuf::from(&text),
        };
        // `./x` and `x` are one path.
        Some(self.base.join(path).components().collect())
    }

    /// One of `known`, by its name.
    pub fn choice<T: Copy>(&self, key: &str, written: Option<&Text>, known: &[(&str, T)]) -> Option<T> {
        let value = self.value(key, written?)?;
        if let Some((_, choice)) = known.iter().find(|(name, _)| *name == value.text) {
            return Some(*choice);
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let hint = nearest(&value.text, &names).map(|name| format!("did you mean `{name}`?"));
        self.refuse_with(&value, &format!("known are {}", names.join(", ")), hint);
        None
    }

    pub fn boolean(&self, key: &str, written: Option<&Text>, default: bool) -> bool {
        self.quantity(key, written, quantity::boolean).unwrap_or(default)
    }

    pub fn duration_ms(&self, key: &str, written: Option<&Text>, default_ms: u64, allowed_ms: RangeInclusive<u64>) -> u64 {
        self.within(key, written, quantity::duration_ms, allowed_ms, &show_duration).unwrap_or(default_ms)
    }

    pub fn size_bytes(&self, key: &str, written: Option<&Text>, default_bytes: u64, allowed_bytes: RangeInclusive<u64>) -> u64 {
        self.within(key, written, quantity::size_bytes, allowed_bytes, &show_size).unwrap_or(default_bytes)
    }

    pub fn count(&self, key: &str, written: Option<&Text>, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        self.within(key, written, quantity::count, allowed, &|n| n.to_string()).unwrap_or(default)
    }

    /// Parses a value and notes why it cannot be parsed.
    pub fn quantity<T>(&self, key: &str, written: Option<&Text>, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.value(key, written?)?;
        parse(&value.text).map_err(|why| self.refuse(&value, &why)).ok()
    }

    fn within(
        &self,
        key: &str,
        written: Option<&Text>,
        parse: impl Fn(&str) -> Result<u64, String>,
        allowed: RangeInclusive<u64>,
        show: &dyn Fn(u64) -> String,
    ) -> Option<u64> {
        let value = self.value(key, written?)?;
        match parse(&value.text) {
            Err(why) => self.refuse(&value, &why),
            Ok(number) if number < *allowed.start() => self.refuse(&value, &format!("at least {} is needed", show(*allowed.start()))),
            Ok(number) if number > *allowed.end() => self.refuse(&value, &format!("at most {} is allowed", show(*allowed.end()))),
            Ok(number) => return Some(number),
        }
        None
    }
}

/// A duration in the largest unit that gives a whole number.
pub(super) fn show_duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(365 * 86_400_000, "y"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match UNITS.iter().find(|(unit_ms, _)| ms > 0 && ms.is_multiple_of(*unit_ms)) {
        Some((unit_ms, name)) => format!("{}{name}", ms / unit_ms),
        None => format!("{ms}ms"),
    }
}

fn show_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit_bytes, _)| bytes > 0 && bytes.is_multiple_of(*unit_bytes)) {
        Some((unit_bytes, name)) => format!("{}{name}", bytes / unit_bytes),
        None => format!("{bytes} bytes"),
    }
}
