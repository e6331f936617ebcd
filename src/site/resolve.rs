//! One machine's settings as they are in effect.
//!
//! Nothing is rendered here: a host name that is a template stays one.

use std::sync::Arc;

use crate::model::{
    Asset, Broker, EffectiveNode, Hostname, Mac, Network, Node, NodeName, Policy, PolicyName, Repo,
    Serial, Settings, TaskName, Uuid,
};

use super::{
    Diagnostic, FreeAddresses, HostnameRule, NetPlan, Site, Subject, layers::SettingsLayers, net,
};

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
    /// To whom it is handed over when it is installed.
    pub broker: Option<Arc<Broker>>,
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

/// Returns what `subject` is to be when `policy` binds it; without one, when the policy does that its
/// declaration names, if any.
pub fn resolve(
    site: &Site,
    subject: &Subject<'_>,
    policy: Option<&Policy>,
) -> (Resolved, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let node = subject.declared.map(Arc::as_ref);
    let layers = SettingsLayers::of(site, node, policy);
    let layout = net::layout(
        site,
        subject,
        &layers,
        &FreeAddresses::new(site),
        &mut found,
    );
    let network = layout.network.cloned();
    let settings = layers.merged(network.as_deref());
    let repo = settings
        .repo
        .as_deref()
        .and_then(|at| site.repos.get(&at.value).cloned());
    let broker = settings
        .broker
        .as_deref()
        .and_then(|at| site.brokers.get(&at.value).cloned());
    let hostname = layers
        .hostname(subject.name, layout.network)
        .unwrap_or_else(|mistake| {
            found.push(*mistake);
            HostnameRule::Plain(stand_in())
        });
    let resolved = Resolved {
        node: subject.name.clone(),
        declared: subject.declared.cloned(),
        policy: layers.policy.map(|policy| policy.name.value.clone()),
        task: task(&settings, repo.as_deref()),
        boot_network: layout.boot_network.cloned(),
        net: layout.plan(&layers),
        installs: installs(node),
        macs: subject.macs(),
        serial: node.and_then(|node| Some(node.body.serial.as_ref()?.value.clone())),
        uuid: node.and_then(|node| Some(node.body.uuid.as_ref()?.value.clone())),
        asset: node.and_then(|node| Some(node.body.asset.as_ref()?.value.clone())),
        settings,
        repo,
        broker,
        network,
        hostname,
    };
    (resolved, found)
}

fn task(settings: &Settings, repo: Option<&Repo>) -> Option<TaskName> {
    let own = settings.task.as_deref();
    own.or_else(|| repo?.body.task.as_ref())
        .map(|at| at.value.clone())
}

fn installs(node: Option<&Node>) -> u32 {
    EffectiveNode::of(node.into_iter().map(|node| &node.body)).installs
}

/// What stands where a host name is malformed; the mistake keeps the site from going live.
fn stand_in() -> Hostname {
    "unnamed".parse().expect("the word is a host name")
}
