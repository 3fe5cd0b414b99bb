//! Kills the process at a chosen entry, so that tests can restart it from every boundary; not in a release build.
//!
//! `KFERRY_ABORT_AT_ENTRY=before:N` kills it before entry N is written, `after:N` once it is durable,
//! `KFERRY_ABORT_TORN=N` after half of its line is durable.

#[cfg(debug_assertions)]
mod enabled {
    use std::env;

    fn is(variable: &str, value: &str) -> bool {
        env::var_os(variable).is_some_and(|v| v == value)
    }

    /// Kills the process where entry `seq` is about to be written.
    pub fn before(seq: u64) {
        if is("KFERRY_ABORT_AT_ENTRY", &format!("before:{seq}")) {
            kill();
        }
    }

    /// Kills the process where entry `seq` is durable and nobody knows it yet.
    pub fn after(seq: u64) {
        if is("KFERRY_ABORT_AT_ENTRY", &format!("after:{seq}")) {
            kill();
        }
    }

    /// Whether entry `seq` is to be torn; [`kill`] follows.
    pub fn tears(seq: u64) -> bool {
        is("KFERRY_ABORT_TORN", &seq.to_string())
    }

    /// Ends the process as `kill -9` does: nothing is flushed, nothing is dropped.
    pub fn kill() -> ! {
        // SAFETY: both calls take no pointers; SIGKILL to the own process does not return.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        std::process::abort()
    }
}

#[cfg(not(debug_assertions))]
mod enabled {
    pub fn before(_seq: u64) {}
    pub fn after(_seq: u64) {}
    pub fn tears(_seq: u64) -> bool {
        false
    }
    pub fn kill() -> ! {
        std::process::abort()
    }
}

pub(super) use enabled::{after, before, kill, tears};
