//! `kferry keygen`.

use super::out::emit;
use crate::error::{Exit, Result};
use crate::evidence::key;
use std::path::PathBuf;

/// Creates the key pair that signs evidence: the private key at PATH, the public key, which auditors need, at PATH.pub.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kferry keygen --out signing.key")]
pub struct Args {
    /// Where to write the private key (PKCS#8, PEM, readable by its owner only); nothing is overwritten
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// Runs the command.
///
/// **Errors**: KF-USAGE where a file exists or cannot be written, KF-KEY-INVALID without random numbers.
pub fn run(args: Args) -> Result<Exit> {
    let key = key::generate()?;
    key::write_pair(&args.out, &key)?;
    let public = key::public_path(&args.out);
    emit(&format!(
        "private key  {}\npublic key   {}\nkey id       {}\n\nSet evidence.signing_key_path to the private key and keep it safe; give the public key to whoever verifies.\n",
        args.out.display(),
        public.display(),
        key::key_id(&key.verifying_key()),
    ))?;
    Ok(Exit::Done)
}
