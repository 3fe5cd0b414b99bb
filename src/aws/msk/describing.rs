//! A cluster's description, put together from several answers of the control plane.

use super::ControlPlane;
use crate::domain::msk::{Availability, MskCluster, MskConfiguration, MskKind, metadata_mode, server_properties, SERVERLESS};
use crate::error::{Code, Error, Result};
use aws_sdk_kafka::types::{Cluster, ClusterType, NodeInfo, OpenMonitoringInfo, Provisioned, StorageMode};

/// Pages of a list that are read at most: a thousand secrets is what a cluster can have, and no cluster has so many nodes.
const PAGES_MAX: usize = 100;

impl ControlPlane {
    /// Reads what the control plane knows of the cluster. What only adds to the picture and may not be read is named in `not_read`.
    ///
    /// **Errors**: KF-MSK-… where the cluster itself or its bootstrap servers cannot be read.
    pub async fn describe(&self) -> Result<MskCluster> {
        let answer = self.client.describe_cluster_v2().cluster_arn(&self.cluster_arn).send().await;
        let answer = answer.map_err(|e| self.refusal("kafka:DescribeClusterV2", e))?;
        let cluster = answer.cluster_info.ok_or_else(|| Error::new(Code::MskRefused, format!("{}: kafka:DescribeClusterV2 answers without a cluster", self.side)))?;
        let mut described = self.of_cluster(&cluster);
        if described.kind == MskKind::Serverless {
            return Err(Error::new(Code::MskServerless, format!("{}: {} is MSK Serverless, {SERVERLESS}", self.side, described.name)));
        }
        if described.availability() == Availability::Unusable {
            return Err(Error::new(Code::MskNotActive, format!("{}: {} is {}", self.side, described.name, described.state_in_words())));
        }
        let provisioned = cluster.provisioned.unwrap_or_else(|| Provisioned::builder().build());
        let software = provisioned.current_broker_software_info.as_ref();
        let configuration = software.and_then(|s| Some((s.configuration_arn()?.to_owned(), s.configuration_revision()?)));
        let (offered, nodes, secrets, configuration) = futures::join!(self.offered(), self.nodes(), self.scram_secrets(), async {
            match configuration {
                Some((arn, revision)) => self.configuration(arn, revision).await.map(Some),
                None => Ok(None),
            }
        });
        let offered = offered?;
        (described.offered, described.bootstrap_servers) = (offered.names(), self.choose(&offered)?);
        let mut controllers = None;
        match nodes {
            Ok(nodes) => controllers = Some(nodes.iter().any(|node| node.controller_node_info().is_some())),
            Err(error) => described.not_read.push(error.to_string()),
        }
        match configuration {
            Ok(read) => described.configuration = read,
            Err(error) => described.not_read.push(error.to_string()),
        }
        match secrets {
            Ok(secrets) => described.scram_secrets = Some(secrets),
            Err(error) => described.not_read.push(error.to_string()),
        }
        described.metadata_mode = metadata_mode(described.kafka_version.as_deref(), zookeeper(&provisioned), controllers);
        Ok(described)
    }

    /// What stands in the answer to DescribeClusterV2 itself.
    fn of_cluster(&self, cluster: &Cluster) -> MskCluster {
        let provisioned = cluster.provisioned();
        let group = provisioned.and_then(|p| p.broker_node_group_info());
        let instance_type = group.and_then(|g| g.instance_type()).map(str::to_owned);
        let kafka_version = provisioned.and_then(|p| p.current_broker_software_info()).and_then(|s| s.kafka_version()).map(str::to_owned);
        let kind = match cluster.cluster_type() {
            Some(ClusterType::Serverless) => MskKind::Serverless,
            Some(ClusterType::Provisioned) if instance_type.as_deref().is_some_and(|t| t.starts_with("express.")) => MskKind::Express,
            Some(ClusterType::Provisioned) => MskKind::Standard,
            _ => MskKind::Unknown,
        };
        let reason = cluster.state_info().map(|info| [info.code(), info.message()].into_iter().flatten().collect::<Vec<_>>().join(": "));
        let connectivity = group.and_then(|g| g.connectivity_info());
        MskCluster {
            arn: self.cluster_arn.clone(),
            name: cluster.cluster_name().unwrap_or(&self.arn.name).to_owned(),
            kind,
            state: cluster.state().map_or_else(|| "unknown".to_owned(), |state| state.as_str().to_owned()),
            state_reason: reason.filter(|reason| !reason.is_empty()),
            metadata_mode: metadata_mode(kafka_version.as_deref(), provisioned.and_then(zookeeper), None),
            kafka_version,
            brokers: provisioned.and_then(|p| p.number_of_broker_nodes()),
            instance_type,
            zones: group.map(|g| g.client_subnets().len()).filter(|zones| *zones > 0),
            volume_gib: group.and_then(|g| g.storage_info()).and_then(|s| s.ebs_storage_info()).and_then(|e| e.volume_size()),
            tiered_storage: provisioned.and_then(|p| p.storage_mode()) == Some(&StorageMode::Tiered),
            public_access: connectivity.and_then(|c| c.public_access()).and_then(|p| p.r#type()).is_some_and(|kind| kind != "DISABLED"),
            open_monitoring: provisioned.and_then(|p| p.open_monitoring()).is_some_and(is_monitored),
            configuration: None,
            offered: Vec::new(),
            bootstrap_servers: Vec::new(),
            scram_secrets: None,
            not_read: Vec::new(),
        }
    }

    async fn nodes(&self) -> Result<Vec<NodeInfo>> {
        const ACTION: &str = "kafka:ListNodes";
        self.pages(ACTION, |token| async {
            let page = self.client.list_nodes().cluster_arn(&self.cluster_arn).set_next_token(token).send().await;
            let page = page.map_err(|e| self.refusal(ACTION, e))?;
            Ok((page.node_info_list, page.next_token))
        })
        .await
    }

    /// The ARNs of the secrets that are associated with the cluster, in their order.
    ///
    /// **Errors**: KF-MSK-….
    pub async fn scram_secrets(&self) -> Result<Vec<String>> {
        const ACTION: &str = "kafka:ListScramSecrets";
        let mut secrets = self
            .pages(ACTION, |token| async {
                let page = self.client.list_scram_secrets().cluster_arn(&self.cluster_arn).set_next_token(token).send().await;
                let page = page.map_err(|e| self.refusal(ACTION, e))?;
                Ok((page.secret_arn_list, page.next_token))
            })
            .await?;
        secrets.sort();
        secrets.dedup();
        Ok(secrets)
    }

    /// A whole list: `page` reads the one behind a token, and answers it with the token of the next.
    async fn pages<T, F>(&self, action: &'static str, page: impl Fn(Option<String>) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<(Option<Vec<T>>, Option<String>)>>,
    {
        let (mut all, mut token) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let (rows, next) = page(token).await?;
            all.extend(rows.unwrap_or_default());
            token = next.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(all);
            }
        }
        Err(Error::new(Code::MskRefused, format!("{}: {action} does not come to an end within {PAGES_MAX} pages", self.side)))
    }

    async fn configuration(&self, arn: String, revision: i64) -> Result<MskConfiguration> {
        const ACTION: &str = "kafka:DescribeConfigurationRevision";
        let answer = self.client.describe_configuration_revision().arn(&arn).revision(revision).send().await;
        let asked = super::Asked { side: self.side, action: ACTION, resource: &arn, region: &self.arn.region };
        let answer = answer.map_err(|e| super::refusal::told(&asked, &e))?;
        let text = answer.server_properties().map(|blob| String::from_utf8_lossy(blob.as_ref()).into_owned()).unwrap_or_default();
        Ok(MskConfiguration { server_properties: server_properties(&text), arn, revision })
    }
}

fn zookeeper(provisioned: &Provisioned) -> Option<&str> {
    provisioned.zookeeper_connect_string().or(provisioned.zookeeper_connect_string_tls())
}

fn is_monitored(monitoring: &OpenMonitoringInfo) -> bool {
    let Some(prometheus) = monitoring.prometheus() else { return false };
    let jmx = prometheus.jmx_exporter().and_then(|e| e.enabled_in_broker());
    let node = prometheus.node_exporter().and_then(|e| e.enabled_in_broker());
    jmx == Some(true) || node == Some(true)
}
