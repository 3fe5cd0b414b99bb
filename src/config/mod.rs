//! The configuration: what a user writes, with defaults and limits.
//!
//! `load` reads YAML (`yaml`, `raw`, `text`), expands the environment (`expand`), judges every value (`reader`, `build`,
//! `cluster`, `store`, `quantity`) and says all that is wrong at once, with place and hint (`problem`, `snippet`).
//! `config/README.md` lists every key.

mod build;
mod cluster;
mod cost;
mod effective;
mod expand;
pub mod model;
mod problem;
mod quantity;
mod raw;
mod reader;
mod snippet;
mod store;
mod text;
mod yaml;

pub use model::Config;
pub use problem::nearest;

use crate::error::{Code, Error, Result};
use problem::File;
use reader::Reader;
use std::path::Path;

/// The shape of a configuration file as JSON Schema (draft 2020-12), for editors.
pub const SCHEMA: &str = include_str!("../../config/schema.json");

/// Longest configuration file that is read.
///
/// **Units**: bytes.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// Reads, expands and checks the configuration at `path`.
///
/// Relative paths in it begin at its directory. **Errors**: `KF-CONFIG-UNREADABLE` where the file cannot be read,
/// `KF-CONFIG-INVALID` with every problem's line, column and hint.
pub fn load(path: &Path) -> Result<Config> {
    let unreadable = |why: String| Error::new(Code::ConfigUnreadable, format!("{}: {why}", path.display()));
    let size_bytes = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
    if size_bytes > FILE_MAX_BYTES {
        return Err(unreadable(format!("the file has {size_bytes} bytes; a configuration has at most {FILE_MAX_BYTES}")));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("the file is not UTF-8 text".into()))?;
    let base = std::path::absolute(path).map_err(|e| unreadable(e.to_string()))?;
    let base = base.parent().unwrap_or(Path::new("/"));
    parse(&path.display().to_string(), &text, base, &|name| std::env::var(name).ok())
}

/// Checks a configuration's text; `name` is what messages call it, `base` where relative paths begin, `env` the environment.
///
/// **Errors**: `KF-CONFIG-INVALID`.
pub fn parse(name: &str, text: &str, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    let file = File { name, text };
    let document = yaml::parse(text).map_err(|problem| file.error(vec![problem]))?;
    let reader = Reader::new(env, base);
    let config = build::root(&reader, document).and_then(|section| build::migration(&reader, &section));
    let problems = reader.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        None if problems.is_empty() => Err(Error::new(Code::Bug, "the configuration is refused without a reason")),
        _ => Err(file.error(problems)),
    }
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
