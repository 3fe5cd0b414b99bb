//! A panic is a defect of ours: it is said so, with its place, and ends in exit code 70.

use super::render;
use crate::error::{Code, Exit};

pub(super) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        // `print!` panics where its reader has gone away; that is no defect.
        if message.starts_with("failed printing to std") {
            std::process::exit(Exit::Failed as i32);
        }
        let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        eprint!("{}", render::text(Code::Bug, &format!("{message}{place}, kferry {version}")));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}
