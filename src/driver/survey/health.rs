//! Whether a cluster is at rest: offline and under-replicated partitions, reassignments, the KRaft quorum.

use super::limits::{PATIENCE, VOTER_LAG_MS};
use crate::domain::planning::HealthProbe;
use crate::kafka::health::Quorum;
use crate::kafka::source::Reader;

/// Looks at the whole cluster; what cannot be read is said.
pub(super) async fn probe(reader: &Reader) -> HealthProbe {
    let hasty = reader.with_patience(PATIENCE);
    let (refreshed, reassignments, quorum) = futures::join!(hasty.refresh(), hasty.reassignments(), hasty.quorum());
    let mut practice = hasty.practice().await;
    let mut found = HealthProbe::default();
    match refreshed {
        Ok(metadata) => {
            let troubled = metadata.troubled(|_| true);
            found.offline = troubled.offline.iter().map(ToString::to_string).collect();
            found.under_replicated = troubled.under_replicated.iter().map(ToString::to_string).collect();
        }
        Err(error) => found.not_read.push(format!("partitions without a leader or under-replicated ({})", error.seen())),
    }
    match reassignments {
        Ok(Some(partitions)) => found.reassigning = partitions.iter().map(ToString::to_string).collect(),
        Ok(None) => found.not_read.push("partition reassignments (not permitted, or not offered)".to_owned()),
        Err(error) => found.not_read.push(format!("partition reassignments ({})", error.seen())),
    }
    match quorum {
        Ok(quorum) => {
            practice.voters = quorum.as_ref().map(|q| q.voters.iter().map(|v| v.id).collect());
            found.quorum = quorum.map(|q| troubles(&q)).unwrap_or_default();
        }
        Err(error) => found.not_read.push(format!("the KRaft quorum ({})", error.seen())),
    }
    found.not_read.append(&mut practice.not_read);
    found.practice = practice;
    found
}

fn troubles(quorum: &Quorum) -> Vec<String> {
    let Some(leader) = quorum.voters.iter().find(|v| v.id == quorum.leader_id) else {
        return vec!["the KRaft quorum has no leader among its voters".to_owned()];
    };
    let behind = quorum.voters.iter().filter_map(|voter| {
        // Brokers from before 3.3 tell no times; a leader that does, and knows nothing of a voter, has never been asked by it.
        if voter.last_caught_up_ms < 0 || leader.last_caught_up_ms < 0 {
            return (leader.last_caught_up_ms >= 0 && voter.log_end < 0).then(|| format!("KRaft voter {} has not fetched from the leader since that leads", voter.id));
        }
        let lag_ms = leader.last_caught_up_ms - voter.last_caught_up_ms;
        (lag_ms > VOTER_LAG_MS).then(|| format!("KRaft voter {} has been behind for {} s", voter.id, lag_ms / 1000))
    });
    behind.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::health::QuorumReplica;

    #[test]
    fn a_voter_that_is_behind_is_named() {
        let voter = |id, last_caught_up_ms| QuorumReplica { id, log_end: 10, last_caught_up_ms };
        let quorum = |voters| Quorum { leader_id: 1, leader_epoch: 3, high_watermark: 10, voters, observers: Vec::new() };
        assert!(troubles(&quorum(vec![voter(1, 100_000), voter(2, 99_000), voter(3, -1)])).is_empty());
        let seen = troubles(&quorum(vec![voter(1, 100_000), voter(2, 90_000), voter(3, 99_999)]));
        assert_eq!(seen, ["KRaft voter 2 has been behind for 10 s"]);
        assert_eq!(troubles(&quorum(vec![voter(2, 1)])).len(), 1);
        let silent = |leader_at| troubles(&quorum(vec![voter(1, leader_at), QuorumReplica { id: 2, log_end: -1, last_caught_up_ms: -1 }]));
        assert_eq!(silent(100_000), ["KRaft voter 2 has not fetched from the leader since that leads"]);
        assert!(silent(-1).is_empty(), "who tells no times knows nobody's");
    }
}
