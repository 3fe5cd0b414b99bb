//! ACL bindings: read, created, deleted.

use super::cluster::{Cluster, negotiate};
use super::connection::{CallError, Connection};
use super::failure::Failure;
use super::limits::ACLS_PER_REQUEST_MAX;
use super::routing::text;
use super::source::Reader;
use super::target::Target;
use crate::domain::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use crate::error::Result;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::describe_acls_response::DescribeAclsResource;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};

/// Matches every value of a filter's field.
const ANY: i8 = 1;

impl Reader {
    /// Every binding of the cluster, sorted; none where it has no authorizer.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where Describe on the cluster is not permitted; `KF-KAFKA-PROTOCOL` for a kind of binding
    /// that this version does not know, since leaving it out would copy the ACLs wrongly.
    pub async fn acls(&self) -> Result<Option<Vec<AclBinding>>> {
        let mut patience = self.cluster.patience("describe the ACLs");
        loop {
            match describe(&self.cluster).await {
                Ok(bindings) => return Ok(bindings),
                Err(failure) => patience.wait(failure).await?,
            }
        }
    }
}

async fn describe(cluster: &Cluster) -> std::result::Result<Option<Vec<AclBinding>>, Failure> {
    let connection = cluster.try_any().await?;
    let version = negotiate::<DescribeAclsRequest>(&connection, 1, 3)?;
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let response = connection.call(version, &request).await?;
    match Failure::check(response.error_code, response.error_message) {
        Err(failure) if failure.kafka_error() == Some(ResponseError::SecurityDisabled) => return Ok(None),
        checked => checked?,
    }
    let mut bindings = Vec::new();
    for resource in &response.resources {
        bindings.extend(read(resource)?);
    }
    bindings.sort();
    Ok(Some(bindings))
}

fn read(resource: &DescribeAclsResource) -> std::result::Result<Vec<AclBinding>, Failure> {
    let unknown = |field: &str, code: i8| {
        let seen = format!("the ACLs of {:?} have {field} {code}, which this version does not know", resource.resource_name.as_str());
        Failure::Call(CallError::Protocol(seen.into()))
    };
    let resource_type = resource_type(resource.resource_type).ok_or_else(|| unknown("resource type", resource.resource_type))?;
    let pattern_type = match resource.pattern_type {
        3 => PatternType::Literal,
        4 => PatternType::Prefixed,
        code => return Err(unknown("pattern type", code)),
    };
    let bindings = resource.acls.iter().map(|acl| {
        Ok(AclBinding {
            resource_type,
            resource_name: resource.resource_name.to_string(),
            pattern_type,
            principal: acl.principal.to_string(),
            host: acl.host.to_string(),
            operation: operation(acl.operation).ok_or_else(|| unknown("operation", acl.operation))?,
            permission: match acl.permission_type {
                2 => Permission::Deny,
                3 => Permission::Allow,
                code => return Err(unknown("permission", code)),
            },
        })
    });
    bindings.collect()
}

fn resource_type(code: i8) -> Option<ResourceType> {
    use ResourceType::*;
    [Topic, Group, Cluster, TransactionalId, DelegationToken, User].into_iter().find(|t| *t as i8 == code)
}

fn operation(code: i8) -> Option<Operation> {
    Operation::ALL.into_iter().find(|o| *o as i8 == code)
}

impl Target {
    /// Creates bindings; one that exists already stays as it is.
    ///
    /// Errors: `KF-KAFKA-REFUSED` where the target has no authorizer, or Alter on the cluster is not permitted.
    pub async fn create_acls(&self, bindings: &[AclBinding]) -> Result<()> {
        for chunk in bindings.chunks(ACLS_PER_REQUEST_MAX) {
            let mut patience = self.cluster.patience(format!("create {} ACL bindings", chunk.len()));
            while let Err(failure) = create(&self.cluster, chunk).await {
                patience.wait(failure).await?;
            }
        }
        Ok(())
    }

    /// Deletes exactly these bindings and says how many of them were there.
    ///
    /// Errors: as for `create_acls`.
    pub async fn delete_acls(&self, bindings: &[AclBinding]) -> Result<usize> {
        let mut deleted = 0;
        for chunk in bindings.chunks(ACLS_PER_REQUEST_MAX) {
            let mut patience = self.cluster.patience(format!("delete {} ACL bindings", chunk.len()));
            deleted += loop {
                match delete(&self.cluster, chunk).await {
                    Ok(deleted) => break deleted,
                    Err(failure) => patience.wait(failure).await?,
                }
            };
        }
        Ok(deleted)
    }

    /// Deletes exactly these bindings; false where Alter on the cluster is not permitted, so that some of them may stay.
    ///
    /// Errors: the target's unavailability, and every other refusal.
    pub async fn delete_acls_if_permitted(&self, bindings: &[AclBinding]) -> Result<bool> {
        for chunk in bindings.chunks(ACLS_PER_REQUEST_MAX) {
            let mut patience = self.cluster.patience(format!("delete {} ACL bindings", chunk.len()));
            while let Err(failure) = delete(&self.cluster, chunk).await {
                if failure.kafka_error() == Some(ResponseError::ClusterAuthorizationFailed) {
                    return Ok(false);
                }
                patience.wait(failure).await?;
            }
        }
        Ok(true)
    }
}

async fn create(cluster: &Cluster, bindings: &[AclBinding]) -> std::result::Result<(), Failure> {
    let connection: Connection = cluster.try_any().await?;
    let version = negotiate::<CreateAclsRequest>(&connection, 1, 3)?;
    let creations = bindings.iter().map(|b| {
        AclCreation::default()
            .with_resource_type(b.resource_type as i8)
            .with_resource_name(text(&b.resource_name))
            .with_resource_pattern_type(b.pattern_type as i8)
            .with_principal(text(&b.principal))
            .with_host(text(&b.host))
            .with_operation(b.operation as i8)
            .with_permission_type(b.permission as i8)
    });
    let response = connection.call(version, &CreateAclsRequest::default().with_creations(creations.collect())).await?;
    for (binding, result) in bindings.iter().zip(&response.results) {
        let message = result.error_message.as_ref().map(|m| format!("{m} ({binding})"));
        Failure::check(result.error_code, message)?;
    }
    Ok(())
}

async fn delete(cluster: &Cluster, bindings: &[AclBinding]) -> std::result::Result<usize, Failure> {
    let connection: Connection = cluster.try_any().await?;
    let version = negotiate::<DeleteAclsRequest>(&connection, 1, 3)?;
    let filters = bindings.iter().map(|b| {
        DeleteAclsFilter::default()
            .with_resource_type_filter(b.resource_type as i8)
            .with_resource_name_filter(Some(text(&b.resource_name)))
            .with_pattern_type_filter(b.pattern_type as i8)
            .with_principal_filter(Some(text(&b.principal)))
            .with_host_filter(Some(text(&b.host)))
            .with_operation(b.operation as i8)
            .with_permission_type(b.permission as i8)
    });
    let response = connection.call(version, &DeleteAclsRequest::default().with_filters(filters.collect())).await?;
    let mut deleted = 0;
    for result in response.filter_results {
        Failure::check(result.error_code, result.error_message)?;
        for acl in result.matching_acls {
            Failure::check(acl.error_code, acl.error_message)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_binding_is_read_back_as_written() {
        for code in -1..=20 {
            assert!(resource_type(code).is_none_or(|t| t as i8 == code));
            assert!(operation(code).is_none_or(|o| o as i8 == code));
        }
        assert_eq!((2..=15).filter_map(operation).count(), 14);
        assert_eq!((2..=7).filter_map(resource_type).count(), 6);
    }
}
