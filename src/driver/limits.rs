//! Bounds of what commands wait for on the clusters, each with its reason.

use std::time::Duration;

/// How long a change that the target has taken is looked for until it shows. A KRaft broker replays the controller's log
/// within a fraction of a second; one that has just come back takes longer.
pub const READ_BACK_PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two such looks.
pub const READ_BACK_PAUSE: Duration = Duration::from_millis(100);
