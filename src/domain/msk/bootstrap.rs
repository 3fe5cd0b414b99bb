//! The ways into an MSK cluster: one bootstrap string for each network and each kind of authentication.

use crate::config::model::{AuthMode, Network};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a listener of MSK's speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayIn {
    Plaintext,
    /// With or without a client certificate: one listener takes both.
    Tls,
    SaslScram,
    SaslIam,
}

impl WayIn {
    /// The listener for an `auth.mode`; None for those that MSK does not have.
    pub fn of(mode: AuthMode) -> Option<Self> {
        match mode {
            AuthMode::Plaintext => Some(WayIn::Plaintext),
            AuthMode::Tls | AuthMode::Mtls => Some(WayIn::Tls),
            AuthMode::ScramSha512 => Some(WayIn::SaslScram),
            AuthMode::Iam => Some(WayIn::SaslIam),
            AuthMode::Plain | AuthMode::ScramSha256 => None,
        }
    }

    /// The modes that come in here, as the configuration names them.
    fn modes(self) -> &'static str {
        match self {
            WayIn::Plaintext => "plaintext",
            WayIn::Tls => "tls or mtls",
            WayIn::SaslScram => "scram-sha-512",
            WayIn::SaslIam => "iam",
        }
    }
}

/// The bootstrap strings that a cluster offers, by network and way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered(BTreeMap<(Network, WayIn), Vec<String>>);

impl Offered {
    /// Adds a string as GetBootstrapBrokers gives it, `host:port,host:port`; nothing where it is empty.
    pub fn add(&mut self, network: Network, way: WayIn, string: Option<&str>) {
        let servers: Vec<String> = string.unwrap_or_default().split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect();
        if !servers.is_empty() {
            self.0.insert((network, way), servers);
        }
    }

    /// The bootstrap servers for a network and a mode.
    ///
    /// **Errors**: what is wanted and what there is instead, in words.
    pub fn choose(&self, network: Network, mode: AuthMode) -> Result<Vec<String>, String> {
        match WayIn::of(mode).and_then(|way| self.0.get(&(network, way))) {
            Some(servers) => Ok(servers.clone()),
            None => {
                let offered = if self.0.is_empty() { "none at all".to_owned() } else { self.names().join(", ") };
                Err(format!("the cluster has no bootstrap string for auth.mode {} on network {}; it offers {offered}", mode.as_str(), network.as_str()))
            }
        }
    }

    /// Each as `network: modes`.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().map(|(network, way)| format!("{}: {}", network.as_str(), way.modes())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_of_the_mode_and_the_network_is_taken_or_those_there_are_are_named() {
        let mut offered = Offered::default();
        offered.add(Network::Private, WayIn::SaslIam, Some("b-1:9098, b-2:9098"));
        offered.add(Network::Private, WayIn::Tls, Some("b-1:9094"));
        offered.add(Network::Public, WayIn::SaslScram, Some("p-1:9196"));
        offered.add(Network::VpcConnectivity, WayIn::Tls, Some(""));
        offered.add(Network::PrivateIpv6, WayIn::Plaintext, None);
        assert_eq!(offered.choose(Network::Private, AuthMode::Iam).unwrap(), ["b-1:9098", "b-2:9098"]);
        assert_eq!(offered.choose(Network::Private, AuthMode::Mtls), offered.choose(Network::Private, AuthMode::Tls));
        assert_eq!(offered.choose(Network::Public, AuthMode::ScramSha512).unwrap(), ["p-1:9196"]);
        let said = offered.choose(Network::Public, AuthMode::Iam).unwrap_err();
        assert!(said.contains("auth.mode iam on network public; it offers private: tls or mtls, private: iam, public: scram-sha-512"), "{said}");
        assert!(offered.choose(Network::Private, AuthMode::ScramSha256).is_err(), "MSK has SHA-512 alone");
        assert!(Offered::default().choose(Network::Private, AuthMode::Iam).unwrap_err().ends_with("it offers none at all"));
    }
}
