//! Client quotas (KIP-546) and SCRAM users (KIP-554): read, and quotas set.

use super::cluster::{Cluster, negotiate};
use super::connection::{CallError, Connection};
use super::failure::Failure;
use super::limits::QUOTAS_PER_REQUEST_MAX;
use super::routing::text;
use super::source::Reader;
use super::target::Target;
use crate::domain::quota::{Quota, QuotaChange, QuotaEntity, QuotaPart, QuotaValue};
use crate::domain::topology::ScramUser;
use crate::error::Result;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest, DescribeUserScramCredentialsRequest, alter_client_quotas_response,
};
use std::collections::BTreeSet;

impl Reader {
    /// Every client quota of the cluster, sorted; None where its brokers do not tell: before 2.6, or where it is not permitted.
    ///
    /// Errors: the cluster's unavailability.
    pub async fn quotas(&self) -> Result<Option<Vec<Quota>>> {
        let mut patience = self.cluster.patience("describe the client quotas");
        loop {
            match describe(&self.cluster).await {
                Ok(quotas) => return Ok(Some(quotas)),
                Err(failure) if is_withheld(&self.cluster, &failure) => return Ok(None),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }

    /// The SCRAM credentials that the cluster holds, by user and mechanism; None as for `quotas` (before 2.7).
    ///
    /// Errors: the cluster's unavailability.
    pub async fn scram_users(&self) -> Result<Option<Vec<ScramUser>>> {
        let mut patience = self.cluster.patience("describe the SCRAM users");
        loop {
            match describe_users(&self.cluster).await {
                Ok(users) => return Ok(Some(users)),
                Err(failure) if is_withheld(&self.cluster, &failure) => return Ok(None),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }
}

/// Whether the cluster will not tell, however often it is asked: too old, not permitted, or a service that keeps it to itself.
/// A migration can do without, and says so.
fn is_withheld(cluster: &Cluster, failure: &Failure) -> bool {
    let withheld = !failure.is_transient();
    if withheld {
        tracing::debug!(cluster = %cluster.side(), %failure, "client quotas or SCRAM users cannot be read");
    }
    withheld
}

async fn describe(cluster: &Cluster) -> std::result::Result<Vec<Quota>, Failure> {
    let connection = cluster.try_any().await?;
    let version = negotiate::<DescribeClientQuotasRequest>(&connection, 0, 1)?;
    // No component: every entity.
    let response = connection.call(version, &DescribeClientQuotasRequest::default().with_strict(false)).await?;
    Failure::check(response.error_code, response.error_message)?;
    let quotas = response.entries.unwrap_or_default().into_iter().map(|entry| {
        let part = |e: kafka_protocol::messages::describe_client_quotas_response::EntityData| QuotaPart {
            kind: e.entity_type.to_string(),
            name: e.entity_name.map(|name| name.to_string()),
        };
        Quota {
            entity: QuotaEntity::new(entry.entity.into_iter().map(part).collect()),
            values: entry.values.into_iter().map(|v| (v.key.to_string(), QuotaValue::new(v.value))).collect(),
        }
    });
    let mut quotas: Vec<Quota> = quotas.collect();
    quotas.sort_by(|a, b| a.entity.cmp(&b.entity));
    Ok(quotas)
}

async fn describe_users(cluster: &Cluster) -> std::result::Result<Vec<ScramUser>, Failure> {
    let connection = cluster.try_any().await?;
    let version = negotiate::<DescribeUserScramCredentialsRequest>(&connection, 0, 0)?;
    // None means everybody too, but a broker that does not permit it never answers that (4.1: a null pointer in
    // `DescribeUserScramCredentialsRequest.getErrorResponse`), nor anything else on the connection.
    let everybody = Some(Vec::new());
    let response = connection.call(version, &DescribeUserScramCredentialsRequest::default().with_users(everybody)).await?;
    Failure::check(response.error_code, response.error_message)?;
    let mut users = Vec::new();
    for result in response.results {
        Failure::check(result.error_code, result.error_message)?;
        for credential in result.credential_infos {
            // Source: `ScramMechanism`.
            let mechanism = match credential.mechanism {
                1 => "SCRAM-SHA-256",
                2 => "SCRAM-SHA-512",
                code => return Err(Failure::Call(CallError::Protocol(format!("SCRAM mechanism {code} is not known to this version").into()))),
            };
            users.push(ScramUser { user: result.user.to_string(), mechanism: mechanism.to_owned(), iterations: credential.iterations });
        }
    }
    users.sort();
    Ok(users)
}

impl Target {
    /// Sets the limits that the changes name; setting one again changes nothing.
    ///
    /// Errors: `KF-KAFKA-REFUSED` naming the entity, or where AlterConfigs on the cluster is not permitted; the target's unavailability.
    pub async fn alter_quotas(&self, changes: &[QuotaChange]) -> Result<()> {
        for chunk in changes.chunks(QUOTAS_PER_REQUEST_MAX) {
            let mut patience = self.cluster.patience(format!("set the quotas of {} entities", chunk.len()));
            while let Err(failure) = alter(&self.cluster, chunk).await {
                patience.wait(failure).await?;
            }
        }
        Ok(())
    }
}

async fn alter(cluster: &Cluster, changes: &[QuotaChange]) -> std::result::Result<(), Failure> {
    let connection: Connection = cluster.try_any().await?;
    let version = negotiate::<AlterClientQuotasRequest>(&connection, 0, 1)?;
    let entries = changes.iter().map(|change| {
        let part = |p: &QuotaPart| EntityData::default().with_entity_type(text(&p.kind)).with_entity_name(p.name.as_deref().map(text));
        let op = |(key, value): (&String, &Option<QuotaValue>)| {
            let op = OpData::default().with_key(text(key)).with_remove(value.is_none());
            op.with_value(value.as_ref().map_or(0.0, QuotaValue::number))
        };
        EntryData::default().with_entity(change.entity.parts.iter().map(part).collect()).with_ops(change.values.iter().map(op).collect())
    });
    let response = connection.call(version, &AlterClientQuotasRequest::default().with_entries(entries.collect())).await?;
    judge(changes, response)
}

/// Fails with the first refusal, or where an entity has no answer. Controllers answer in an order of their own.
fn judge(changes: &[QuotaChange], response: AlterClientQuotasResponse) -> std::result::Result<(), Failure> {
    let mut unanswered: BTreeSet<&QuotaEntity> = changes.iter().map(|change| &change.entity).collect();
    for result in response.entries {
        let part = |p: alter_client_quotas_response::EntityData| QuotaPart { kind: p.entity_type.to_string(), name: p.entity_name.map(|name| name.to_string()) };
        let entity = QuotaEntity::new(result.entity.into_iter().map(part).collect());
        let message = result.error_message.map_or_else(|| entity.to_string(), |m| format!("{m} ({entity})"));
        Failure::check(result.error_code, Some(message))?;
        unanswered.remove(&entity);
    }
    match unanswered.first() {
        None => Ok(()),
        Some(entity) => Err(Failure::Call(CallError::Protocol(format!("there is no answer for the quota of {entity}").into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quota::tests::quota;
    use alter_client_quotas_response::EntryData;

    #[test]
    fn answers_belong_to_their_entities_in_whatever_order() {
        let entities = ["user=alice,client-id=", "user=bob"].map(|entity| quota(entity, &[]).entity);
        let changes = entities.clone().map(|entity| QuotaChange { entity, values: Default::default(), before: Default::default() });
        let answer = |entity: &QuotaEntity, code| {
            // As the broker may send them: the parts in another order, too.
            let part = |p: &QuotaPart| alter_client_quotas_response::EntityData::default().with_entity_type(text(&p.kind)).with_entity_name(p.name.as_deref().map(text));
            EntryData::default().with_error_code(code).with_entity(entity.parts.iter().rev().map(part).collect())
        };
        let response = |entries| AlterClientQuotasResponse::default().with_entries(entries);
        let [alice, bob] = &entities;
        assert!(judge(&changes, response(vec![answer(bob, 0), answer(alice, 0)])).is_ok());
        let refused = judge(&changes, response(vec![answer(bob, 42), answer(alice, 0)])).unwrap_err().to_string();
        assert!(refused.contains("bob") && !refused.contains("alice"), "{refused}");
        let missing = judge(&changes, response(vec![answer(bob, 0)])).unwrap_err().to_string();
        assert!(missing.contains("alice"), "{missing}");
    }
}
