use super::{flags, out};
use crate::config;
use crate::domain::partition::TopicPartition;
use crate::driver::context::block_on;
use crate::driver::prove;
use crate::error::{Code, Error, Exit, Result};
use crate::evidence::proof::RecordProof;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Proves one record without the rest: its batch, its batch's leaf, and the path to the root in the signed journal
///
/// The proof is verified offline, with the bundle: kferry verify BUNDLE --public-key KEY --proof FILE. Needs no licence and
/// changes nothing. The batch is read from the target. The file holds all records of that batch.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  kferry prove orders 3 1041 --config migration.yaml --journal-dir journal --out proof.json")]
pub struct Args {
    /// The topic
    pub topic: String,
    /// The partition's number
    pub partition: i32,
    /// The record's offset on the target, which is the source's unless the topic is mapped
    pub offset: i64,
    /// The offset is the source's, also where the topic is mapped
    #[arg(long)]
    pub of_source: bool,
    #[command(flatten)]
    pub migration: flags::Migration,
    /// Where the proof is written, readable by its owner only; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Leaves the batch out: what remains shows that the leaf was compared, not what it was computed from
    #[arg(long)]
    pub without_records: bool,
}

/// Runs the command.
///
/// **Errors**: those of [`prove::prove`]; KF-USAGE where the file exists or cannot be written.
pub fn run(args: Args) -> Result<Exit> {
    let config = config::load(&args.migration.config)?;
    if args.out.exists() {
        return Err(unwritable(&args.out, "the file exists; nothing is overwritten"));
    }
    let partition = TopicPartition::new(args.topic.as_str(), args.partition);
    let wanted = prove::Wanted { partition, offset: args.offset, of_source: args.of_source, with_records: !args.without_records };
    let (proof, shown, source_offset) = block_on(prove::prove(&config, &args.migration.journal_dir, wanted))?;
    write(&args.out, &proof).map_err(|e| unwritable(&args.out, e))?;
    let mut text = super::verify::proof_lines(&proof, &shown, source_offset);
    text.push_str(&format!("written      {}\n", args.out.display()));
    text.push_str(&format!("verify it    kferry verify BUNDLE --public-key KEY --proof {}\n", args.out.display()));
    out::emit(&text)?;
    Ok(Exit::Done)
}

fn write(path: &Path, proof: &RecordProof) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&proof.to_bytes())?;
    file.sync_all()
}

fn unwritable(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(Code::UsageInvalid, format!("{}: {what}", path.display()))
}
