//! Logs on standard error: human lines, UTC, `KFERRY_LOG` as the filter.

use super::terminal;
use std::fmt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// What is logged without `KFERRY_LOG`.
const DEFAULT_FILTER: &str = "warn";

struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

/// Starts logging; a second call does nothing.
///
/// A bare level (`KFERRY_LOG=debug`) is kferry's own, because other crates' details may hold what belongs in no log;
/// theirs are asked for by name (`KFERRY_LOG=warn,rdkafka=debug`).
pub fn init() {
    let asked = std::env::var("KFERRY_LOG").unwrap_or_default();
    let filter = filter(&asked).unwrap_or_else(|why| {
        eprintln!("KFERRY_LOG is ignored: {why}");
        EnvFilter::new(DEFAULT_FILTER)
    });
    // An error means that a subscriber is there already, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Utc)
        .with_ansi(terminal::has_colour())
        .with_writer(|| terminal::Stderr)
        .try_init();
}

fn filter(asked: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let asked = asked.trim();
    let directives = match asked {
        "" => DEFAULT_FILTER.to_owned(),
        level if level.parse::<tracing::Level>().is_ok() => format!("{DEFAULT_FILTER},kferry={level}"),
        other => other.to_owned(),
    };
    EnvFilter::builder().parse(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_ours_alone() {
        assert_eq!(filter("").expect("valid").to_string(), "warn");
        let ours = filter("debug").expect("valid").to_string();
        assert!(ours.contains("kferry=debug") && ours.contains("warn"), "{ours}");
        assert_eq!(filter("rdkafka=debug").expect("valid").to_string(), "rdkafka=debug");
        assert!(filter("kferry=loud").is_err());
    }
}
