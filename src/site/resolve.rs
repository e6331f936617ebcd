//! Resolves the settings in effect for one machine.
//!
//! Templates are not rendered here: a host name may still be a template.

use std::sync::Arc;

use crate::model::{
    Asset, Broker, EffectiveNode, Hostname, Mac, Network, Node, NodeName, Policy, PolicyName, Repo,
    Serial, Settings, TaskName, Uuid,
};

use super::{
    Diagnostic, FreeAddresses, HostnameRule, NetPlan, Site, Subject, layers::SettingsLayers, net,
};

/// The resolved settings of one machine.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub node: NodeName,
    pub declared: Option<Arc<Node>>,
    /// The policy that binds it.
    pub policy: Option<PolicyName>,
    /// The settings in effect: defaults < network < policy < node.
    pub settings: Settings,
    pub repo: Option<Arc<Repo>>,
    /// The broker that takes over the machine when it is installed.
    pub broker: Option<Arc<Broker>>,
    /// The task: its own setting, else the repo's.
    pub task: Option<TaskName>,
    /// The network of its primary link.
    pub network: Option<Arc<Network>>,
    /// The network in which it boots, if that is another one.
    pub boot_network: Option<Arc<Network>>,
    pub net: NetPlan,
    /// Its host name, or the template of it.
    pub hostname: HostnameRule,
    /// The declared number of installations. If it is 0, the machine is never installed.
    pub installs: u32,
    /// Its hardware addresses, that of the boot NIC first.
    pub macs: Vec<Mac>,
    pub serial: Option<Serial>,
    pub uuid: Option<Uuid>,
    pub asset: Option<Asset>,
}

/// Resolves the settings of `subject`, bound by `policy` or else by the policy that its declaration names, if any.
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
            HostnameRule::Plain(placeholder())
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

/// Replaces an invalid host name. The site does not go live, because the invalid name is an error.
fn placeholder() -> Hostname {
    "unnamed".parse().expect("the word is a host name")
}
