//! The build without a Kafka client: what it says to the commands that need a cluster.

use crate::error::{Code, Error};
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The commands that only the full build has.
const CLUSTER_COMMANDS: [&str; 10] = ["plan", "precheck", "execute", "status", "cutover", "cutover-ack", "validate", "finalize", "rollback", "prove"];

/// The refusal of a command that exists, but not in this build.
pub(super) fn refusal(usage: &clap::Error) -> Option<Error> {
    if usage.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    match usage.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) if CLUSTER_COMMANDS.contains(&name.as_str()) => Some(Error::new(
            Code::UsageInvalid,
            format!("`{name}` needs a Kafka client, and this build is the offline verifier; it has verify, keygen, explain, license, config, schema, completions and man"),
        )),
        _ => None,
    }
}
