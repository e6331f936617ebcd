//! One machine's settings as they are in effect.
//!
//! Nothing is rendered here: a host name that is a template stays one.

use std::sync::Arc;

use crate::model::{
    Asset, At, Hostname, HostnameError, Mac, Network, Node, NodeName, PolicyName, Repo, Serial,
    Settings, TaskName, Uuid,
};

use super::NetPlan;

/// What one machine is to be.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Its name in the site.
    pub node: NodeName,
    /// Its declaration.
    pub declared: Option<Arc<Node>>,
    /// What binds it.
    pub policy: Option<PolicyName>,
    /// The settings in effect: defaults < network < policy < node.
    pub settings: Settings,
    /// Where its operating system comes from.
    pub repo: Option<Arc<Repo>>,
    /// What installs it: its own setting, else the repo's.
    pub task: Option<TaskName>,
    /// Where it lives: the network of its primary link.
    pub network: Option<Arc<Network>>,
    /// Where it boots, when that is somewhere else.
    pub boot_network: Option<Arc<Network>>,
    /// How it is connected.
    pub net: NetPlan,
    /// Its host name, or how it is made.
    pub hostname: HostnameRule,
    /// How many installations are wanted; 0: it is never touched.
    pub installs: u32,
    /// Its hardware addresses, that of the card it boots from first.
    pub macs: Vec<Mac>,
    /// Its declared serial number.
    pub serial: Option<Serial>,
    /// Its declared UUID.
    pub uuid: Option<Uuid>,
    /// Its declared asset tag.
    pub asset: Option<Asset>,
}

/// A host name, or how it is made.
#[derive(Debug, Clone, PartialEq)]
pub enum HostnameRule {
    /// The whole name.
    Plain(Hostname),
    /// A template, rendered when facts are at hand. Where the result has no dot, [`complete`] adds the domain.
    Template(At<String>),
}

/// Returns the whole host name: a name that contains a dot is complete, any other gets the domain.
pub fn complete(name: &str, domain: Option<&str>) -> Result<Hostname, HostnameError> {
    match domain {
        Some(domain) if !name.contains('.') => {
            // The bare name is checked first, so that the message names what was written.
            name.parse::<Hostname>()?;
            format!("{name}.{domain}").parse()
        }
        _ => name.parse(),
    }
}
