//! What is known of those who write to the source and read from it, and what no broker tells of them.

use super::operations::refuses_old_clients;
use super::report::{count, duration, names};
use super::Context;
use crate::domain::finding::{Finding, FindingCode};
use crate::domain::practice::{Clients, Tie};
use crate::domain::topology::ClusterSnapshot;

/// Groups of the source whose members are worth asking how they speak: the target refuses what is too old.
#[cfg(feature = "kafka")]
pub(crate) fn asked_for_their_protocol(source: &ClusterSnapshot, target: &ClusterSnapshot) -> Vec<String> {
    if !refuses_old_clients(source, target) {
        return Vec::new();
    }
    let classic = source.groups.iter().filter(|g| g.members > 0 && g.group_type == "classic" && g.protocol_type == "consumer");
    classic.map(|g| g.group_id.clone()).collect()
}

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(clients) = &context.input.clients else {
        found.push(Finding::new(FindingCode::NotProbed, "source", "who writes to the selected topics"));
        return found;
    };
    if !clients.not_read.is_empty() {
        found.push(Finding::new(FindingCode::NotProbed, "source", clients.not_read.join("; ")));
    }
    if clients.producer_ids > 0 || !clients.growing.is_empty() {
        found.push(Finding::new(FindingCode::Producers, "source", producers(clients)));
    }
    if !clients.unnamed.is_empty() {
        let seen = format!("{} grew within {}, and none of the producers that the brokers know had written: {}", count(clients.unnamed.len(), "partition"), watched(clients), names(&clients.unnamed));
        found.push(Finding::new(FindingCode::ProducersUnnamed, "source", seen));
    }
    found.extend(clients.ties.iter().map(|tie| Finding::new(FindingCode::TransactionsSpan, &tie.transactional_id, tied(tie))));
    if let Some(target) = context.input.target.as_ref().filter(|target| refuses_old_clients(&context.input.source, target)) {
        found.push(Finding::new(FindingCode::OldClients, "target", old_clients(&context.input.source, target, clients)));
    }
    found
}

fn watched(clients: &Clients) -> String {
    match clients.watched_ms {
        ms if ms < 10_000 => format!("{ms} ms"),
        ms => duration(ms / 1000),
    }
}

fn producers(clients: &Clients) -> String {
    let growing = match clients.growing.len() {
        0 => format!("no partition grew within {}", watched(clients)),
        n => format!("{} grew within {}: {}", count(n, "partition"), watched(clients), names(&clients.growing)),
    };
    format!(
        "{} wrote with idempotence or transactions of late (brokers forget them after producer.id.expiration.ms, a day by default), {growing}. No broker tells which principal, host or application is behind a producer id, and producers with enable.idempotence=false do not appear at all",
        count(clients.producer_ids, "producer id")
    )
}

fn tied(tie: &Tie) -> String {
    let list = |topics: &std::collections::BTreeSet<String>| names(&topics.iter().collect::<Vec<_>>());
    format!("its producer wrote to {} (selected) and to {} (not selected)", list(&tie.selected), list(&tie.others))
}

fn old_clients(source: &ClusterSnapshot, target: &ClusterSnapshot, clients: &Clients) -> String {
    let mut seen = format!(
        "the target is {}, the source {}. Which versions producers and consumers speak is told by no request, only by the source's metrics and logs",
        target.version, source.version
    );
    if !clients.first_protocol.is_empty() {
        seen.push_str(&format!(
            ". {} with members that speak the consumers' protocol in its first version, as Java clients from before 2.4 and some other libraries do, look at these first: {}",
            count(clients.first_protocol.len(), "group"),
            names(&clients.first_protocol)
        ));
    }
    seen
}
