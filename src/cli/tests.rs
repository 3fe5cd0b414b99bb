use super::*;
use clap::CommandFactory;

/// The help of a command and of all below it.
fn help_of(command: &mut clap::Command, out: &mut String) {
    let help = command.render_long_help();
    out.push_str(&format!("━━ {}\n{help}\n", command.get_name()));
    for sub in command.get_subcommands_mut() {
        if sub.get_name() != "msk-kraft" && sub.get_name() != "help" && !matches!(sub.get_name(), "verify" | "keygen" | "license") {
            help_of(sub, out);
        }
    }
}

#[test]
fn the_help_is_complete() {
    Cli::command().debug_assert();
    let mut help = String::new();
    let mut command = Cli::command().term_width(120);
    command.build();
    help_of(&mut command, &mut help);
    let name = if cfg!(feature = "kafka") { "help_full" } else { "help_offline" };
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(name, help.join("\n"));
}

/// Every command that can be typed, with the words that lead to it.
fn commands(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    below.flat_map(|sub| std::iter::once(sub.clone()).chain(commands(sub))).collect()
}

#[test]
fn every_command_has_examples_that_it_takes() {
    let mut kferry = Cli::command();
    kferry.build();
    for command in kferry.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        let help = command.render_help().to_string();
        let examples: Vec<&str> = help.lines().skip_while(|line| *line != "Examples:").skip(1).map(str::trim).collect();
        assert!(!examples.is_empty(), "{} has no example", command.get_name());
        for example in examples {
            // What a shell does with the rest is its own affair.
            let words: Vec<&str> = example.split(['>', '|']).next().unwrap_or_default().split_whitespace().collect();
            assert_eq!(words[..2], ["kferry", command.get_name()]);
            if let Err(refused) = Cli::try_parse_from(&words) {
                panic!("{example}: {refused}");
            }
        }
    }
}

#[test]
fn completions_of_every_shell_know_every_command() {
    use clap::ValueEnum as _;
    let all = commands(&Cli::command());
    for shell in clap_complete::Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "kferry", &mut script);
        let script = String::from_utf8(script).unwrap();
        for command in &all {
            assert!(script.contains(command.get_name()), "{shell}: no {}", command.get_name());
        }
    }
}

#[test]
fn both_names_of_a_command_are_one() {
    for words in [&["kferry", "config", "check", "--config", "x"][..], &["kferry", "migrate", "msk-kraft", "config", "check", "--config", "x"]] {
        let cli = Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{e}"));
        let (Entry::Command(command) | Entry::Migrate { kind: Migrate::MskKraft { command } }) = cli.entry;
        assert!(matches!(command, Command::Config(_)));
    }
}

#[test]
fn json_is_recognised_wherever_it_stands() {
    let output = |words: &[&str]| flags::output_of(&words.iter().map(Into::into).collect::<Vec<_>>());
    assert_eq!(output(&["kferry", "status", "--output", "json"]), Output::Json);
    assert_eq!(output(&["kferry", "status", "--output=json", "--bad"]), Output::Json);
    assert_eq!(output(&["kferry", "status", "--output", "text"]), Output::Text);
    assert_eq!(output(&["kferry", "verify", "--", "--output=json"]), Output::Text);
}

#[test]
fn an_error_says_what_next_and_where_to_read() {
    insta::assert_snapshot!(render::text(Code::JournalLocked, "the journal is held by process 4711"), @r"
    error[KF-JOURNAL-LOCKED]: the journal is held by process 4711
      next: another kferry process holds this journal; wait for it to end, or stop it, then run the command again
      see: kferry explain KF-JOURNAL-LOCKED
    ");
}

#[test]
fn the_help_names_every_exit_code() {
    for code in Code::ALL {
        let exit = format!(" {} ", code.exit() as u8);
        assert!(format!(" {} ", EXIT_CODES.replace(['\n', ','], " ")).contains(&exit), "exit code{exit}is not in the help");
    }
}

#[cfg(not(feature = "kafka"))]
#[test]
fn the_offline_build_says_what_it_is() {
    let Err(usage) = Cli::try_parse_from(["kferry", "execute", "--config", "x"]) else { panic!("there is no execute in this build") };
    let refusal = offline::refusal(&usage).expect("a command of the full build");
    assert_eq!(refusal.code(), Code::UsageInvalid);
    assert!(refusal.seen().contains("offline verifier"));
    let Err(usage) = Cli::try_parse_from(["kferry", "exekute"]) else { panic!("no such command") };
    assert!(offline::refusal(&usage).is_none());
}
