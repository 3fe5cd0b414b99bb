//! The table that a run prints.

use std::time::Duration;

/// One way to copy, measured.
pub struct Row {
    pub what: String,
    /// Bytes of the source's logs that it copied.
    pub bytes: u64,
    pub wall: Duration,
    /// The plan's estimate of it, where there was a plan.
    pub predicted: Option<Duration>,
    pub cpu: Duration,
    pub peak_rss_bytes: u64,
}

/// Prints the rows; ratios are of the time per byte to the first one's.
pub fn print(rows: &[Row]) {
    println!("{:<52} {:>8} {:>9} {:>13} {:>7} {:>9} {:>9} {:>10}", "", "wall", "predicted", "of the actual", "MB/s", "× first", "CPU-s/GB", "peak RSS");
    let per_byte = |row: &Row| row.wall.as_secs_f64() / row.bytes.max(1) as f64;
    let first = rows.first().map_or(1.0, per_byte);
    for row in rows {
        let wall = row.wall.as_secs_f64();
        let predicted = row.predicted.map_or(String::new(), |p| format!("{} s", p.as_secs()));
        let ratio = row.predicted.map_or(String::new(), |p| format!("{:.1}", p.as_secs_f64() / wall));
        println!(
            "{:<52} {:>6.2} s {predicted:>9} {ratio:>13} {:>7.0} {:>9.2} {:>9.2} {:>6} MiB",
            row.what,
            wall,
            row.bytes as f64 / 1e6 / wall,
            per_byte(row) / first,
            row.cpu.as_secs_f64() / (row.bytes as f64 / 1e9),
            row.peak_rss_bytes >> 20
        );
    }
}

/// The time between two facts of a journal.
pub fn between(journal: &str, from: &str, to: &str) -> Duration {
    let at = |fact: &str| -> f64 {
        let line = journal.lines().find(|l| l.contains(&format!("\"fact\":\"{fact}\""))).unwrap_or_else(|| panic!("no {fact} in the journal"));
        let entry: serde_json::Value = serde_json::from_str(line).expect("a journal line is JSON");
        let at: jiff::Timestamp = entry["at"].as_str().and_then(|at| at.parse().ok()).expect("an entry has its time");
        at.as_millisecond() as f64 / 1000.0
    };
    Duration::from_secs_f64(at(to) - at(from))
}

/// What the journaled plan says that the seed will take.
pub fn predicted(journal: &str) -> Duration {
    let line = journal.lines().find(|l| l.contains("\"fact\":\"migration_planned\"")).expect("a journal begins with its plan");
    let entry: serde_json::Value = serde_json::from_str(line).expect("a journal line is JSON");
    Duration::from_secs(entry.pointer("/fact/plan/estimate/seed_seconds").and_then(serde_json::Value::as_u64).expect("a plan has an estimate"))
}
