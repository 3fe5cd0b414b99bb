//! Finds the brokers of clusters that are given by their ARN, before any client of them is made.

use crate::config::Config;
use crate::config::model::ClusterConfig;
use crate::domain::msk::{self, MskCluster};
use crate::domain::plan::Plan;
use crate::error::{Code, Error, Result};
use crate::kafka::cluster::Side;
use crate::machine::fold::Migration;

/// What the control plane says of a cluster that is given by its ARN; None for any other.
///
/// **Errors**: KF-MSK-…, of them KF-MSK-SERVERLESS by an address alone; KF-CONFIG-UNSUPPORTED in a build without AWS.
pub async fn describe(side: Side, config: &ClusterConfig) -> Result<Option<MskCluster>> {
    if let Some(server) = config.bootstrap_servers.iter().find(|server| msk::is_serverless_host(msk::host_of(server))) {
        return Err(Error::new(Code::MskServerless, format!("{side}: {server} is MSK Serverless, {}", msk::SERVERLESS)));
    }
    if config.cluster_arn.is_none() {
        return Ok(None);
    }
    #[cfg(feature = "aws")]
    {
        control_plane(side, config).await?.describe().await.map(Some)
    }
    #[cfg(not(feature = "aws"))]
    Err(without_aws(side))
}

/// The same cluster with its bootstrap servers, looked up where they are not known.
///
/// **Errors**: as for [`describe`].
pub async fn locate(side: Side, config: &ClusterConfig) -> Result<ClusterConfig> {
    if config.cluster_arn.is_none() || !config.bootstrap_servers.is_empty() {
        return Ok(config.clone());
    }
    #[cfg(feature = "aws")]
    {
        let bootstrap_servers = control_plane(side, config).await?.bootstrap_servers().await?;
        Ok(ClusterConfig { bootstrap_servers, ..config.clone() })
    }
    #[cfg(not(feature = "aws"))]
    Err(without_aws(side))
}

/// Both clusters, located. A migration that has begun goes on with the addresses of its plan while the control plane is away.
///
/// **Errors**: as for [`describe`].
pub async fn locate_both(config: &Config, migration: Option<&Migration>) -> Result<Config> {
    let (source, target) = futures::try_join!(locate_or_recall(Side::Source, config, migration), locate_or_recall(Side::Target, config, migration))?;
    Ok(Config { source, target, ..config.clone() })
}

/// One cluster, as [`locate_both`] does it.
///
/// **Errors**: as for [`describe`].
pub async fn locate_or_recall(side: Side, config: &Config, migration: Option<&Migration>) -> Result<ClusterConfig> {
    let cluster = of(side, config);
    let error = match locate(side, cluster).await {
        Ok(located) => return Ok(located),
        Err(error) => error,
    };
    let known = migration.map_or_else(|| cluster.clone(), |migration| recalled(side, config, migration));
    // Whatever the reason: producers may be waiting, and that these are the plan's clusters is made sure of by their ids.
    if known.bootstrap_servers.is_empty() {
        return Err(error);
    }
    eprintln!("warning: {error}; the bootstrap servers that the plan was made with are used");
    Ok(known)
}

/// Both clusters, as [`recalled`].
pub fn recalled_both(config: &Config, migration: &Migration) -> Config {
    let (source, target) = (recalled(Side::Source, config, migration), recalled(Side::Target, config, migration));
    Config { source, target, ..config.clone() }
}

/// The cluster with the bootstrap servers of the journal's plan, where it is given by the same ARN, network and kind of authentication; nothing is looked up.
pub fn recalled(side: Side, config: &Config, migration: &Migration) -> ClusterConfig {
    let (cluster, planned) = (of(side, config), planned(side, &migration.plan));
    let (now, then) = (&config.effective()[side.as_str()], &migration.config[side.as_str()]);
    let same_way = ["cluster_arn", "network", "auth_mode"].iter().all(|key| now[key] == then[key]);
    match planned.filter(|_| same_way) {
        Some(msk) => with_servers(cluster, msk),
        None => cluster.clone(),
    }
}

/// Both clusters, with the bootstrap servers of the plan that was just made of them.
pub fn as_described(config: &Config, plan: &Plan) -> Config {
    let described = |side| planned(side, plan).map_or_else(|| of(side, config).clone(), |msk| with_servers(of(side, config), msk));
    Config { source: described(Side::Source), target: described(Side::Target), ..config.clone() }
}

fn of(side: Side, config: &Config) -> &ClusterConfig {
    match side {
        Side::Source => &config.source,
        Side::Target => &config.target,
    }
}

fn planned(side: Side, plan: &Plan) -> Option<&MskCluster> {
    match side {
        Side::Source => plan.source_msk.as_ref(),
        Side::Target => plan.target_msk.as_ref(),
    }
}

/// The cluster with the bootstrap servers of its description.
pub fn with_servers(config: &ClusterConfig, msk: &MskCluster) -> ClusterConfig {
    ClusterConfig { bootstrap_servers: msk.bootstrap_servers.clone(), ..config.clone() }
}

/// The control plane of a cluster that is given by its ARN.
///
/// **Errors**: KF-CONFIG-UNSUPPORTED where it is not.
#[cfg(feature = "aws")]
pub async fn control_plane(side: Side, config: &ClusterConfig) -> Result<crate::aws::msk::ControlPlane> {
    let found = crate::aws::msk::ControlPlane::of(side, config).await;
    found.ok_or_else(|| Error::new(Code::ConfigUnsupported, format!("{side}: the cluster is not given by an ARN")))
}

#[cfg(not(feature = "aws"))]
pub fn without_aws(side: Side) -> Error {
    Error::new(Code::ConfigUnsupported, format!("{side}.cluster_arn is set, and this build is without AWS; give the cluster's bootstrap_servers"))
}
