//! `kferry license`.

use super::out::{Output, emit, emit_json};
use crate::error::{Code, Error, Exit, Result};
use crate::evidence::envelope::Verified;
use crate::license::{Claims, FEATURE, Places, Standing, TRIAL_DAYS, TrialStanding};
use jiff::Timestamp;
use std::path::PathBuf;

/// Shows, checks or installs a licence. Everything happens offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kferry license info\n  kferry license apply license.key")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Says what the mutating commands would rest on, here and now; begins no trial
    Info {
        /// The form of the output
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Checks a licence's signature and term
    Verify {
        /// The licence's file
        file: PathBuf,
    },
    /// Checks a licence and installs it at ~/.config/kferry/license.key
    Apply {
        /// The licence's file
        file: PathBuf,
    },
}

/// Runs the command.
///
/// **Errors**: KF-LICENSE-MISSING, KF-LICENSE-INVALID, KF-LICENSE-EXPIRED.
pub fn run(args: Args) -> Result<Exit> {
    let (places, now) = (Places::from_environment()?, Timestamp::now());
    match args.command {
        Command::Info { output } => info(&places, output, now),
        Command::Verify { file } => {
            let claims = places.read_file(&file)?;
            emit(&describe(&claims, &file.display().to_string()))?;
            claims.check_time(now)?;
            Ok(Exit::Done)
        }
        Command::Apply { file } => {
            let installed = places.apply(&file, now)?;
            emit(&format!("installed at {}\n", installed.display()))?;
            match places.standing(now)? {
                Standing::Licensed { found_at, .. } if found_at != installed.display().to_string() => {
                    emit(&format!("the licence at {found_at} comes first and stays in use\n"))?;
                    Ok(Exit::Warning)
                }
                _ => Ok(Exit::Done),
            }
        }
    }
}

fn describe(claims: &Claims, found_at: &str) -> String {
    format!(
        "licence   {}\nlicensee  {}\nfeatures  {}\nissued    {:.3}\nexpires   {:.3}\nfound at  {found_at}\n",
        claims.id,
        claims.licensee,
        claims.features.join(", "),
        claims.issued_at,
        claims.expires_at,
    )
}

/// Shows the standing, and ends with the error that a mutating command would meet.
fn info(places: &Places, output: Output, now: Timestamp) -> Result<Exit> {
    let (text, json, refusal) = match places.standing(now)? {
        Standing::Licensed { claims, found_at } => {
            let refusal = in_force(&claims, now).err().map(|e| e.within(&found_at));
            let json = serde_json::json!({ "kind": "license", "found_at": found_at, "claims": *claims });
            (describe(&claims, &found_at), json, refusal)
        }
        Standing::Trial(trial) => describe_trial(trial),
    };
    match output {
        Output::Text => emit(&text)?,
        Output::Json => {
            let mut json = json;
            json["in_force"] = refusal.is_none().into();
            emit_json(&json)?;
        }
    }
    refusal.map_or(Ok(Exit::Done), Err)
}

fn in_force(claims: &Verified<Claims>, now: Timestamp) -> Result<()> {
    if !claims.includes(FEATURE) {
        return Err(Error::new(Code::LicenseMissing, format!("licence {} does not include {FEATURE}", claims.id)));
    }
    claims.check_time(now)
}

fn describe_trial(trial: TrialStanding) -> (String, serde_json::Value, Option<Error>) {
    let json = |standing: &str| serde_json::json!({ "kind": "trial", "standing": standing });
    let times = |standing: &str, started_at: Timestamp, expires_at: Timestamp| {
        serde_json::json!({ "kind": "trial", "standing": standing, "started_at": started_at, "expires_at": expires_at })
    };
    match trial {
        TrialStanding::Off => {
            let refusal = Error::new(Code::LicenseMissing, "no licence is found and there is no trial here");
            ("no licence, no trial\n".to_owned(), json("off"), Some(refusal))
        }
        TrialStanding::NotStarted => {
            (format!("no licence; a trial of {TRIAL_DAYS} days begins with the first mutating command\n"), json("not_started"), None)
        }
        TrialStanding::Running { started_at, expires_at } => {
            (format!("trial from {started_at:.3} until {expires_at:.3}\n"), times("running", started_at, expires_at), None)
        }
        TrialStanding::Ended { started_at, expires_at } => {
            let refusal = Error::new(Code::LicenseExpired, format!("the trial on this host ended at {expires_at:.3}"));
            (format!("trial from {started_at:.3}, ended at {expires_at:.3}\n"), times("ended", started_at, expires_at), Some(refusal))
        }
    }
}
