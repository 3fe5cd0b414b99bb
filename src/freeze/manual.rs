//! A person stops the producers and says so by typing it.

use super::{FreezeRequest, Frozen};
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// What may be typed instead of the migration's id.
const WORD: &str = "frozen";
/// Topics that are named; the others are counted.
const TOPICS_SHOWN_MAX: usize = 20;

/// Where to ask and to tell; passed in, so that a test can be the person.
pub struct Terminal {
    input: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
    is_terminal: bool,
}

impl Terminal {
    /// `is_terminal` says whether a person can answer on `input`.
    pub fn new(input: impl BufRead + Send + 'static, output: impl Write + Send + 'static, is_terminal: bool) -> Self {
        Self { input: Box::new(input), output: Box::new(output), is_terminal }
    }

    /// The process's standard input, and standard error, which shows also where the output is piped away.
    pub fn of_process() -> Self {
        let is_terminal = io::stdin().is_terminal();
        Self::new(io::BufReader::new(io::stdin()), io::stderr(), is_terminal)
    }
}

/// Asks at the terminal.
pub struct ManualFreeze {
    input: Arc<Mutex<Box<dyn BufRead + Send>>>,
    output: Mutex<Box<dyn Write + Send>>,
    is_terminal: bool,
}

impl ManualFreeze {
    pub fn new(terminal: Terminal) -> Self {
        Self {
            input: Arc::new(Mutex::new(terminal.input)),
            output: Mutex::new(terminal.output),
            is_terminal: terminal.is_terminal,
        }
    }

    pub(super) fn ready(&self) -> Result<()> {
        if self.is_terminal {
            return Ok(());
        }
        Err(Error::new(Code::FreezeNeedsTerminal, "standard input is no terminal, so nobody can confirm that producers have stopped"))
    }

    pub(super) async fn freeze(&self, request: &FreezeRequest) -> Result<Frozen> {
        self.ready()?;
        self.say(&format!(
            "\nStop every producer that writes to the source, now, for migration {} (attempt {}).\n{}\n\
             Unless the cutover is committed by {}, they are to go on at the source.\n\
             When they have stopped, type the migration's id or the word {WORD}; anything else gives up: ",
            request.migration_id,
            request.attempt,
            topics(request),
            request.expires_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        ))?;
        let left = Duration::try_from(request.expires_at.duration_since(Timestamp::now())).unwrap_or_default();
        let Ok(line) = tokio::time::timeout(left, self.read_line()).await else {
            return Err(Error::new(Code::FreezeDeadline, "the freeze's deadline passes before anybody confirms it"));
        };
        let typed = line.map_err(|e| Error::new(Code::FreezeRefused, format!("the answer cannot be read: {e}")))?;
        let typed = typed.trim();
        if typed == request.migration_id || typed.eq_ignore_ascii_case(WORD) {
            return Ok(Frozen { confirmed_at: Timestamp::now() });
        }
        let seen = if typed.is_empty() { "nothing is typed" } else { "something else is typed" };
        Err(Error::new(Code::FreezeRefused, format!("{seen} where the migration's id or the word {WORD} confirms")))
    }

    pub(super) fn thaw(&self, request: &FreezeRequest, reason: &str) -> Result<()> {
        self.say(&format!(
            "\nStart the producers again AT THE SOURCE: the cutover of migration {} (attempt {}) is off.\nReason: {reason}\n",
            request.migration_id, request.attempt,
        ))
    }

    pub(super) fn committed(&self, request: &FreezeRequest) -> Result<()> {
        self.say(&format!(
            "\nThe cutover of migration {} (attempt {}) stands. Start the producers AT THE TARGET, none at the source.\n",
            request.migration_id, request.attempt,
        ))
    }

    /// Reads one line on a thread of its own: a read of a terminal cannot be called off, and the runtime would wait for it.
    async fn read_line(&self) -> io::Result<String> {
        let input = self.input.clone();
        let (sender, mut receiver) = mpsc::channel(1);
        std::thread::Builder::new().name("freeze-confirmation".into()).spawn(move || {
            let mut input = locked(&input);
            // Whoever asked may have given up while an earlier question held the terminal.
            if sender.is_closed() {
                return;
            }
            let mut line = String::new();
            let read = input.read_line(&mut line).map(|_| line);
            let _ = sender.blocking_send(read);
        })?;
        receiver.recv().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
    }

    fn say(&self, text: &str) -> Result<()> {
        let mut output = locked(&self.output);
        let said = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        said.map_err(|e| Error::new(Code::FreezeNeedsTerminal, format!("the terminal cannot be written: {e}")))
    }
}

fn topics(request: &FreezeRequest) -> String {
    let shown = request.topics.iter().take(TOPICS_SHOWN_MAX).map(|t| format!("  {t}\n")).collect::<String>();
    let more = request.topics.len().saturating_sub(TOPICS_SHOWN_MAX);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    format!("Topics:\n{shown}{more}")
}

/// The terminal outlives a panic in whoever used it last.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::request_for_tests;
    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn typing(text: &'static str) -> (Screen, ManualFreeze) {
        let screen = Screen::default();
        (screen.clone(), ManualFreeze::new(Terminal::new(io::Cursor::new(text), screen, true)))
    }

    #[tokio::test]
    async fn only_the_id_or_the_word_confirms() {
        for text in ["orders-move\n", "frozen\n", "  Frozen \r\n", "orders-move"] {
            let (_, manual) = typing(text);
            assert!(manual.freeze(&request_for_tests(60_000)).await.is_ok(), "{text:?}");
        }
        for text in ["", "\n", "y\n", "yes\n", "no\n", "orders\n", "frozen not yet\n", "orders-move2\n", "\nfrozen\n"] {
            let (_, manual) = typing(text);
            let refused = manual.freeze(&request_for_tests(60_000)).await.unwrap_err();
            assert_eq!(refused.code(), Code::FreezeRefused, "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_screen_says_what_to_stop_until_when_and_what_to_do_then() {
        let (screen, manual) = typing("frozen\nfrozen\n");
        let mut request = request_for_tests(60_000);
        request.topics = (0..25).map(|n| format!("topic-{n}")).collect();
        request.expires_at = "2100-01-02T03:04:05.678Z".parse().unwrap();
        manual.freeze(&request).await.unwrap();
        manual.freeze(&request).await.expect("repeatable");
        manual.thaw(&request, "the drain takes too long").unwrap();
        manual.committed(&request).unwrap();
        let text = screen.text();
        for said in [
            "orders-move (attempt 3)",
            "  topic-19\n  and 5 more\n",
            "by 2100-01-02 03:04:05 UTC",
            "Start the producers again AT THE SOURCE",
            "Reason: the drain takes too long",
            "Start the producers AT THE TARGET, none at the source",
        ] {
            assert!(text.contains(said), "{said:?} in {text}");
        }
        assert!(!text.contains("topic-20"));
    }

    #[tokio::test]
    async fn without_a_terminal_nobody_is_asked() {
        let screen = Screen::default();
        let manual = ManualFreeze::new(Terminal::new(io::Cursor::new("frozen\n"), screen.clone(), false));
        let refused = manual.freeze(&request_for_tests(60_000)).await.unwrap_err();
        assert_eq!((refused.code(), screen.text().as_str()), (Code::FreezeNeedsTerminal, ""));
        manual.thaw(&request_for_tests(0), "gone").expect("telling needs no terminal");
    }

    #[tokio::test]
    async fn nobody_answering_ends_at_the_deadline() {
        let (reader, _writer) = io::pipe().unwrap();
        let manual = ManualFreeze::new(Terminal::new(io::BufReader::new(reader), io::sink(), true));
        let late = manual.freeze(&request_for_tests(50)).await.unwrap_err();
        assert_eq!(late.code(), Code::FreezeDeadline);
        assert_eq!(manual.freeze(&request_for_tests(-1)).await.unwrap_err().code(), Code::FreezeDeadline);
    }
}
