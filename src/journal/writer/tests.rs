use super::*;
use crate::machine::sample::planned;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The facts of a journal that has reached SEED.
fn facts() -> Vec<Fact> {
    vec![planned(), Fact::PrecheckStarted, Fact::TopologyCopyStarted, Fact::SeedStarted { attempt: 1 }]
}

fn filled(dir: &Path) {
    let mut journal = Journal::open(dir).unwrap();
    for fact in facts() {
        journal.append(&fact, now()).unwrap();
    }
}

#[test]
fn what_is_appended_is_read_back() {
    let dir = dir();
    filled(dir.path());
    let entries = Journal::read(dir.path()).unwrap();
    assert_eq!(entries.iter().map(|e| e.fact.clone()).collect::<Vec<_>>(), facts());
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(entries.iter().all(|e| e.at == now()));
    let journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.state(), Some(State::Seed));
    assert_eq!((journal.chain().entries(), journal.chain().head()), (4, entries[3].hash));
}

#[test]
fn directory_and_files_are_for_the_owner_only() {
    let parent = dir();
    let dir = parent.path().join("a/b");
    filled(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(FILE_NAME)), mode(&dir.join("lock"))), (0o700, 0o600, 0o600));
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes() {
    let dir = dir();
    let first = Journal::open(dir.path()).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), Code::JournalLocked);
    assert!(error.seen().contains(&format!("process {} holds", std::process::id())), "{error}");
    drop(first);
    Journal::open(dir.path()).unwrap();
}

#[test]
fn a_reader_needs_no_lock() {
    let dir = dir();
    filled(dir.path());
    let _writer = Journal::open(dir.path()).unwrap();
    assert_eq!(Journal::read(dir.path()).unwrap().len(), 4);
}

#[test]
fn a_missing_journal_is_missing_and_only_open_creates_it() {
    let dir = dir();
    assert_eq!(Journal::read(dir.path()).unwrap_err().code(), Code::JournalMissing);
    assert_eq!(Journal::open_existing(dir.path()).unwrap_err().code(), Code::JournalMissing);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    filled(dir.path());
    Journal::open_existing(dir.path()).unwrap();
}

#[test]
fn an_illegal_fact_is_refused_and_leaves_no_trace() {
    let dir = dir();
    let mut journal = Journal::open(dir.path()).unwrap();
    assert_eq!(journal.append(&Fact::PrecheckStarted, now()).unwrap_err().code(), Code::StateIllegal);
    journal.append(&planned(), now()).unwrap();
    let before = fs::read(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(journal.append(&Fact::TailStarted, now()).unwrap_err().code(), Code::StateIllegal);
    assert_eq!(journal.append(&planned(), now()).unwrap_err().code(), Code::StateIllegal);
    assert_eq!(fs::read(dir.path().join(FILE_NAME)).unwrap(), before);
    assert_eq!(journal.append(&Fact::PrecheckStarted, now()).unwrap(), 2);
}

#[test]
fn a_plan_is_journaled_under_its_own_digest_only() {
    let dir = dir();
    let mut journal = Journal::open(dir.path()).unwrap();
    let Fact::MigrationPlanned { plan, config_sha256, config, .. } = planned() else { unreachable!() };
    let error = journal.append(&Fact::MigrationPlanned { plan, plan_sha256: "00".repeat(32), config_sha256, config }, now()).unwrap_err();
    assert_eq!((error.code(), journal.chain().entries()), (Code::Bug, 0));
}

#[test]
fn a_chain_that_holds_but_does_not_fold_is_corrupt() {
    let dir = dir();
    let mut chain = Chain::default();
    let mut text = String::new();
    for fact in [planned(), Fact::TailStarted] {
        let entry = Entry::seal(chain.entries() + 1, now(), chain.head(), &fact).unwrap();
        chain.advance(&entry);
        text += &format!("{}\n", entry.line());
    }
    fs::write(dir.path().join(FILE_NAME), text).unwrap();
    let error = Journal::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), Code::JournalCorrupt);
    assert!(error.seen().starts_with("journal line 2: tail_started may not happen"), "{error}");
}

#[test]
fn a_torn_end_is_cut_off_by_the_writer_and_left_by_a_reader() {
    let dir = dir();
    filled(dir.path());
    let path = dir.path().join(FILE_NAME);
    let whole = fs::read(&path).unwrap();
    let last_line_at = whole[..whole.len() - 1].iter().rposition(|&b| b == b'\n').unwrap() + 1;
    for cut in [last_line_at + 1, last_line_at + 40, whole.len() - 2] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(Journal::read(dir.path()).unwrap().len(), 3);
        assert_eq!(fs::read(&path).unwrap(), &whole[..cut], "a reader changes nothing");
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), &whole[..last_line_at]);
        assert_eq!(journal.append(&Fact::SeedStarted { attempt: 1 }, now()).unwrap(), 4);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_whole_last_entry_without_its_line_feed_is_kept() {
    let dir = dir();
    filled(dir.path());
    let path = dir.path().join(FILE_NAME);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(Journal::open(dir.path()).unwrap().state(), Some(State::Seed));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_full_disk_poisons_the_journal() {
    let dir = dir();
    filled(dir.path());
    let path = dir.path().join(FILE_NAME);
    let before = fs::read(&path).unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    let file = std::mem::replace(&mut journal.file, File::options().write(true).open("/dev/full").unwrap());
    let error = journal.append(&Fact::TailStarted, now()).unwrap_err();
    assert_eq!(error.code(), Code::JournalUnwritable);
    assert!(error.seen().contains("No space left"), "{error}");
    journal.file = file;
    assert_eq!(journal.append(&Fact::TailStarted, now()).unwrap_err().code(), Code::JournalUnwritable);
    assert_eq!((fs::read(&path).unwrap(), journal.state()), (before, Some(State::Seed)));
}

/// Run by the tests below in a process of its own; by itself it does nothing.
#[test]
fn child_that_fills_a_journal() {
    if let Some(dir) = std::env::var_os("KFERRY_TEST_CHILD_DIR") {
        filled(Path::new(&dir));
    }
}

/// Fills a journal in a child process that kills itself on the way; returns the entries that are found after it.
fn killed(variable: &str, value: &str) -> usize {
    let dir = dir();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::writer::tests::child_that_fills_a_journal"])
        .env("KFERRY_TEST_CHILD_DIR", dir.path())
        .env(variable, value)
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{variable}={value}: {status}");
    let text = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    assert_eq!(!text.is_empty() && !text.ends_with('\n'), variable == "KFERRY_ABORT_TORN");
    let mut journal = Journal::open(dir.path()).unwrap();
    let found = journal.chain().entries() as usize;
    for fact in &facts()[found..] {
        journal.append(fact, now()).unwrap();
    }
    assert_eq!(Journal::read(dir.path()).unwrap().len(), 4);
    found
}

#[test]
fn a_kill_at_any_entry_leaves_the_entries_before_it_or_with_it() {
    for entry in 1..=4 {
        assert_eq!(killed("KFERRY_ABORT_AT_ENTRY", &format!("before:{entry}")), entry - 1);
        assert_eq!(killed("KFERRY_ABORT_AT_ENTRY", &format!("after:{entry}")), entry);
        assert_eq!(killed("KFERRY_ABORT_TORN", &entry.to_string()), entry - 1);
    }
}
