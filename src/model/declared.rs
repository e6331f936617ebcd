//! The objects that operators declare, as written in the files.
//!
//! An object with settings keeps its own keys in a `…Body`, separate from the settings. The `FIELDS` that serde
//! derives from these types are the only list of the keys.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    AddressRange, Asset, Bond, Bridge, BrokerName, DhcpOptionKey, DhcpOptionSetting, HookName,
    HostAddress, Interface, LifecycleEvent, LinkName, List, Mac, NetworkName, NodeName, PolicyName,
    RepoName, Route, Serial, Settings, SourceSpan, Spanned, Subnet, TagName, TaskName, TimeSpan,
    Uuid, Vars, Vlan,
};

/// `defaults`: settings of lowest precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Defaults {
    pub settings: Settings,
}

/// `repo`: the source of an operating system's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Repo {
    pub name: Spanned<RepoName>,
    pub body: RepoBody,
}

/// The keys of a repo. Exactly one of `iso`, `path` and `url` is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepoBody {
    /// An ISO image, read in place.
    pub iso: Option<Spanned<String>>,
    /// The image's SHA-256 in hexadecimal.
    pub sha256: Option<Spanned<String>>,
    /// A directory.
    pub path: Option<Spanned<String>>,
    /// A URL that machines fetch from directly.
    pub url: Option<Spanned<String>>,
    /// The default task of this repo.
    pub task: Option<Spanned<TaskName>>,
    /// The repo with the kernel and the initial file system, if this one has only the packages.
    pub installer: Option<Spanned<RepoName>>,
    /// Any values, for templates. `mirror` is the source of packages if it is not the repo itself.
    pub vars: Vars,
}

impl Repo {
    /// Whether its `installer` is the repo of this name.
    pub fn has_installer(&self, name: &RepoName) -> bool {
        let installer = self.body.installer.as_ref();
        installer.is_some_and(|installer| installer.value == *name)
    }
}

/// `network`: a subnet of the site.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    pub name: Spanned<NetworkName>,
    pub body: NetworkBody,
}

/// The keys of a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkBody {
    /// Its subnets, of one or both families.
    pub subnet: Option<List<Subnet>>,
    /// Its default gateways, at most one per family.
    pub gateway: Option<List<IpAddr>>,
    /// Whether its gateways may be outside of its subnets.
    pub on_link: Option<Spanned<bool>>,
    /// DNS servers.
    pub dns: Option<List<IpAddr>>,
    /// The domain that completes a node name without one.
    pub domain: Option<Spanned<String>>,
    /// DNS search domains.
    pub search: Option<List<String>>,
    /// NTP servers, by address or name.
    pub ntp: Option<List<String>>,
    /// The VLAN tag of its packets, 1 to 4094; unset: untagged.
    pub vlan: Option<Spanned<u16>>,
    /// The largest packet in bytes.
    pub mtu: Option<Spanned<u32>>,
    /// Addresses that something else assigns.
    pub taken: Option<List<AddressRange>>,
    /// Static addresses for discovered nodes.
    pub pool: Option<List<AddressRange>>,
    /// What DHCP does on this network.
    pub dhcp: Option<Spanned<DhcpMode>>,
    /// The dynamic range, with `dhcp = "server"`.
    pub range: Option<List<AddressRange>>,
    /// The duration of a lease, with `dhcp = "server"`.
    pub lease: Option<Spanned<TimeSpan>>,
    /// What an undeclared machine gets on this network.
    pub unknown: Option<Spanned<UndeclaredMode>>,
    /// The loader file for machines on this network.
    pub loader: Option<Spanned<String>>,
    /// Further DHCP options, with `dhcp = "server"` or `"reserve"`.
    pub options: BTreeMap<DhcpOptionKey, Spanned<DhcpOptionSetting>>,
}

/// What DHCP does on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpMode {
    /// No DHCP.
    Off,
    /// Adds the boot file to the answer of another DHCP server.
    Proxy,
    /// Answers only declared machines, beside another DHCP server.
    Reserve,
    /// Is the DHCP server of the network.
    Server,
}

/// What an undeclared machine gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndeclaredMode {
    /// Its local disk. It is listed.
    Watch,
    /// The microkernel, which reports its hardware.
    Discover,
    /// Its local disk. It is not listed.
    Ignore,
}

/// `tag`: a name for machines whose facts satisfy a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    pub name: Spanned<TagName>,
    pub body: TagBody,
}

/// The keys of a tag.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TagBody {
    /// An expression over facts. If unset, machines have the tag only by declaration.
    pub when: Option<Spanned<String>>,
}

/// `policy`: binds machines to a repo, a task and settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub name: Spanned<PolicyName>,
    /// Which machines it binds.
    pub rule: Rule,
    /// What these machines get.
    pub settings: Settings,
}

/// Which machines a policy binds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Policies apply in ascending order, then by name.
    pub order: Option<Spanned<i64>>,
    /// Whether the policy can bind machines.
    pub enabled: Option<Spanned<bool>>,
    /// The machine must have all of these tags.
    pub tags: Option<List<TagName>>,
    /// An expression over facts and tags that must be true.
    pub when: Option<Spanned<String>>,
    /// Whether it may bind undeclared machines.
    pub accept: Option<Spanned<Accept>>,
    /// The maximum number of machines that it binds.
    pub max_count: Option<Spanned<u64>>,
}

/// Which machines a policy binds besides those that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Declared machines.
    Declared,
    /// Undeclared and declared machines.
    Discovered,
}

/// `node`: one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: Spanned<NodeName>,
    pub body: NodeBody,
    /// The settings that override those of its policy.
    pub settings: Settings,
}

/// The keys of a node besides its settings: its identity, what binds it, and its network. Keys that few nodes set
/// are boxed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeBody {
    /// MAC addresses; the first is that of the NIC it boots from.
    pub mac: Option<List<Mac>>,
    /// Serial number (SMBIOS type 1).
    pub serial: Option<Box<Spanned<Serial>>>,
    /// UUID (SMBIOS type 1).
    pub uuid: Option<Box<Spanned<Uuid>>>,
    /// Asset tag (SMBIOS type 3).
    pub asset: Option<Box<Spanned<Asset>>>,
    /// The policy that binds it directly.
    pub policy: Option<Box<Spanned<PolicyName>>>,
    /// Its tags by declaration.
    pub tags: Option<List<TagName>>,
    /// How often it may be installed; 0: never. Raise it by one for another installation.
    pub installs: Option<Box<Spanned<u32>>>,
    /// Short form: addresses of the interface it boots from.
    pub address: Option<List<HostAddress>>,
    /// Short form: default gateways.
    pub gateway: Option<Box<List<IpAddr>>>,
    /// Short form: further routes.
    pub routes: Option<Box<List<Route>>>,
    /// Short form: the largest packet in bytes.
    pub mtu: Option<Box<Spanned<u32>>>,
    /// Short form: whether it gets its address by DHCP.
    pub dhcp: Option<Box<Spanned<bool>>>,
    /// Short form: whether its gateways and next hops may be outside of its subnets.
    pub on_link: Option<Box<Spanned<bool>>>,
    /// Long form: NICs.
    pub interface: Vec<Spanned<Interface>>,
    /// Long form: bonds of several NICs.
    pub bond: BTreeMap<LinkName, Spanned<Bond>>,
    /// Long form: VLANs.
    pub vlan: BTreeMap<LinkName, Spanned<Vlan>>,
    /// Long form: bridges.
    pub bridge: BTreeMap<LinkName, Spanned<Bridge>>,
}

/// `broker`: a system that takes over finished machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    pub name: Spanned<BrokerName>,
    /// A directory under `templates/brokers/`.
    pub kind: Spanned<String>,
    /// Its settings: all other keys.
    pub vars: Vars,
}

impl Broker {
    /// The kind of broker whose program the server runs.
    pub const PROGRAM: &str = "program";

    /// Whether the server runs its program.
    pub fn is_program(&self) -> bool {
        self.kind.value == Broker::PROGRAM
    }

    /// The program and its arguments; none if it is of another kind, or `run` is missing.
    pub fn program(&self) -> Option<Vec<String>> {
        let run = self.vars.get("run").filter(|_| self.is_program())?;
        let words: Option<Vec<String>> = match &run.value {
            serde_json::Value::String(word) => Some(vec![word.clone()]),
            serde_json::Value::Array(words) => words
                .iter()
                .map(|word| word.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        };
        words.filter(|words| !words.is_empty())
    }
}

/// `hook`: a program that receives events.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    pub name: Spanned<HookName>,
    pub body: HookBody,
}

/// The keys of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookBody {
    /// The events that it receives.
    pub on: List<LifecycleEvent>,
    /// The program and its arguments. It reads the event as JSON on its standard input.
    pub run: List<String>,
}

impl Node {
    /// Where it is declared, for messages about the whole node.
    pub fn span(&self) -> SourceSpan {
        self.name.span
    }

    /// Whether it declares any MAC address.
    pub fn has_macs(&self) -> bool {
        let short = self.body.mac.iter().any(|list| !list.value.is_empty());
        let mut long = self.body.interface.iter();
        short || long.any(|interface| interface.value.mac.is_some())
    }

    /// All MAC addresses that it declares, including those of its interfaces and ports, starting with the boot NIC.
    pub fn macs(&self) -> Vec<Spanned<Mac>> {
        let short = self
            .body
            .mac
            .iter()
            .flat_map(|list| list.value.iter().cloned());
        let long = self
            .body
            .interface
            .iter()
            .filter_map(|interface| interface.value.mac.clone());
        let mut macs: Vec<Spanned<Mac>> = Vec::new();
        for mac in short.chain(long) {
            if !macs.iter().any(|known| known.value == mac.value) {
                macs.push(mac);
            }
        }
        macs
    }
}
