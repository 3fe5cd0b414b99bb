use crate::error::{Code, Error, Exit, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the manual's pages, one for each command, or prints that of kferry itself
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry man --out-dir ~/.local/share/man/man1\n  kferry man | man -l -")]
pub struct Args {
    /// The directory that all pages are written to, as kferry-COMMAND.1; made where it does not exist
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Exit> {
    let mut command = super::Cli::command();
    // The name of a command's page is that of all words that lead to it.
    command.build();
    match args.out_dir {
        Some(dir) => {
            fs::create_dir_all(&dir).map_err(|e| unwritable(&dir, &e))?;
            write(&command, &dir)?;
        }
        None => super::print(String::from_utf8_lossy(&page(&command)).trim_end()),
    }
    Ok(Exit::Done)
}

/// The command's page and those of all below it.
fn write(command: &clap::Command, dir: &Path) -> Result<()> {
    let name = file_name(command);
    let path = dir.join(&name);
    fs::write(&path, page(command)).map_err(|e| unwritable(&path, &e))?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write(sub, dir)?;
    }
    Ok(())
}

fn file_name(command: &clap::Command) -> String {
    format!("{}.1", command.get_display_name().unwrap_or(command.get_name()))
}

fn page(command: &clap::Command) -> Vec<u8> {
    let mut page = Vec::new();
    // Writing to a vector cannot err.
    let _ = Man::new(command.clone()).manual("kferry").render(&mut page);
    page
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::UsageInvalid, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags_and_examples() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("man1");
        run(Args { out_dir: Some(dir.clone()) }).unwrap();
        let mut names: Vec<String> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        let mut command = super::super::Cli::command();
        command.build();
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            assert!(names.contains(&format!("kferry-{}.1", sub.get_name())), "{} has no page among {names:?}", sub.get_name());
        }
        assert!(names.contains(&"kferry.1".to_owned()) && names.contains(&"kferry-config-check.1".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("migrate")), "the longer name of every command is a second name, no second page: {names:?}");
        let verify = fs::read_to_string(dir.join("kferry-verify.1")).unwrap();
        for part in ["kferry\\-verify", "\\-\\-public\\-key", "Examples:"] {
            assert!(verify.contains(part), "{part} is not in {verify}");
        }
    }
}
