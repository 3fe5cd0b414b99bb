//! Colours and live lines are for terminals alone, and `NO_COLOR` takes the colours away.

use crate::lab::{Agent, Load, Topic};
use crate::migration::Lab;

const ESCAPE: char = '\u{1b}';
/// How every colour begins; a live line moves the cursor by other sequences.
const COLOURED: [&str; 2] = ["\u{1b}[1;3", "\u{1b}[3"];

fn has_colour(seen: &str) -> bool {
    COLOURED.iter().any(|c| seen.contains(c))
}

#[test]
fn colours_and_live_lines_are_for_terminals_alone() {
    let (lab, agent) = (Lab::shared(), Agent::shared());
    let source = lab.source.bootstrap();
    agent.create_topics(&source, &[Topic::new("terminal-orders", 1)]);
    // A record from the future is a warning, which is set off by a colour.
    agent.produce(&source, "terminal-orders", &Load::records(5).timestamps(4_000_000_000_000, 1));
    let migration = lab.setup("terminal").begin();
    let kferry = migration.another_kferry().env("TERM", "xterm-256color").env("KFERRY_LOG", "info");
    let commands: [&[&str]; 2] = [&["precheck", "--config", "kferry.yaml"], &["plan", "--config", "kferry.yaml", "--out-dir", "shown", "--force"]];

    for command in commands {
        let seen = kferry.run_on_terminal(command);
        assert!(has_colour(&seen) && seen.contains("KF-PRE-FUTURE-TIMESTAMPS"), "{seen:?}");
        // Which step it is at, while it is.
        assert!(seen.contains("sampling the source's logs") || seen.contains("reading the source's topics"), "no step was shown: {seen:?}");

        let plain = migration.another_kferry().env("TERM", "xterm-256color").env("NO_COLOR", "1").env("KFERRY_LOG", "info").run_on_terminal(command);
        assert!(!has_colour(&plain) && plain.contains("KF-PRE-FUTURE-TIMESTAMPS"), "{plain:?}");

        let dumb = migration.another_kferry().env("TERM", "dumb").env("KFERRY_LOG", "info").run_on_terminal(command);
        assert!(!dumb.contains(ESCAPE), "{dumb:?}");

        let piped = kferry.run(command);
        assert!(!piped.stdout.contains(ESCAPE) && !piped.stderr.contains(ESCAPE), "{piped}");
        assert!(!piped.stderr.contains("sampling the source's logs"), "{piped}");
    }
    // Help and usage, which are clap's.
    let help = &["plan", "--help"];
    assert!(kferry.run_on_terminal(help).contains(ESCAPE));
    assert!(!migration.another_kferry().env("TERM", "xterm").env("NO_COLOR", "1").run_on_terminal(help).contains(ESCAPE));
    assert!(!kferry.run(help).stdout.contains(ESCAPE) && !kferry.run(&["plan"]).stderr.contains(ESCAPE));
}
