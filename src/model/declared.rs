//! The objects that operators declare, as they stand in the files.
//!
//! A kind of object that takes settings has its own keys in a `…Body` and the settings beside it. The
//! `FIELDS` that serde derives from these types are the only list of keys there is.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{
    AddressRange, Asset, Bond, Bridge, BrokerName, HookName, HostAddress, Interface,
    LifecycleEvent, LinkName, List, Mac, NetworkName, NodeName, PolicyName, RepoName, Route,
    Serial, Settings, SourceSpan, Spanned, Subnet, TagName, TaskName, TimeSpan, Uuid, Vars, Vlan,
};

/// `defaults`: settings of lowest precedence.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Defaults {
    /// The settings.
    pub settings: Settings,
}

/// `repo`: where an operating system's files come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Repo {
    /// Its name, at the place of its declaration.
    pub name: Spanned<RepoName>,
    /// Its keys.
    pub body: RepoBody,
}

/// The keys of a repo. Exactly one of `iso`, `path` and `url` is set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepoBody {
    /// An ISO image that is read in place.
    pub iso: Option<Spanned<String>>,
    /// The image's SHA-256 in hexadecimal.
    pub sha256: Option<Spanned<String>>,
    /// A directory.
    pub path: Option<Spanned<String>>,
    /// A URL that machines fetch from directly.
    pub url: Option<Spanned<String>>,
    /// What installs from it when nothing else says so.
    pub task: Option<Spanned<TaskName>>,
    /// Anything, for templates; `mirror` is where packages come from when not from the repo itself.
    pub vars: Vars,
}

/// `network`: a subnet of the site.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its name, at the place of its declaration.
    pub name: Spanned<NetworkName>,
    /// Its keys.
    pub body: NetworkBody,
}

/// The keys of a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkBody {
    /// Its subnets, of both families.
    pub subnet: Option<List<Subnet>>,
    /// Its default gateways, at most one of a family.
    pub gateway: Option<List<IpAddr>>,
    /// DNS servers.
    pub dns: Option<List<IpAddr>>,
    /// The domain that completes a bare node name.
    pub domain: Option<Spanned<String>>,
    /// DNS search domains.
    pub search: Option<List<String>>,
    /// NTP servers, by address or name.
    pub ntp: Option<List<String>>,
    /// The tag its packets carry, 1 to 4094; unset: untagged.
    pub vlan: Option<Spanned<u16>>,
    /// The largest packet in bytes.
    pub mtu: Option<Spanned<u32>>,
    /// Addresses that something else hands out.
    pub taken: Option<List<AddressRange>>,
    /// Static addresses for discovered nodes.
    pub pool: Option<List<AddressRange>>,
    /// What DHCP does here; default `off`.
    pub dhcp: Option<Spanned<DhcpMode>>,
    /// The dynamic range, with `dhcp = "server"`.
    pub range: Option<List<AddressRange>>,
    /// How long a lease lasts, with `dhcp = "server"`.
    pub lease: Option<Spanned<TimeSpan>>,
    /// What an unknown machine gets here; default `watch`.
    pub unknown: Option<Spanned<UndeclaredMode>>,
    /// The loader file for machines of this network.
    pub loader: Option<Spanned<String>>,
}

/// What DHCP does on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpMode {
    /// Nothing.
    Off,
    /// Adds the boot file to what another server answers.
    Proxy,
    /// Answers declared machines alone, beside another server.
    Reserve,
    /// Is the network's DHCP server.
    Server,
}

/// What an unknown machine gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndeclaredMode {
    /// Its local disk; it is listed.
    Watch,
    /// The microkernel, which reports what it is.
    Discover,
    /// Its local disk; it is not listed.
    Ignore,
}

/// `tag`: a name for machines whose facts satisfy a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// Its name, at the place of its declaration.
    pub name: Spanned<TagName>,
    /// Its keys.
    pub body: TagBody,
}

/// The keys of a tag.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TagBody {
    /// An expression over what is known of a machine; without one the tag is only carried.
    pub when: Option<Spanned<String>>,
}

/// `policy`: what binds machines to a repo, a task and settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name, at the place of its declaration.
    pub name: Spanned<PolicyName>,
    /// Whom it binds.
    pub rule: Rule,
    /// What they get.
    pub settings: Settings,
}

/// Whom a policy binds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Lower is asked first, then by name; default 100.
    pub order: Option<Spanned<i64>>,
    /// Default true.
    pub enabled: Option<Spanned<bool>>,
    /// All of these tags.
    pub tags: Option<List<TagName>>,
    /// An expression over facts and tags.
    pub when: Option<Spanned<String>>,
    /// Whether machines that nobody declared may be bound; default `declared`.
    pub accept: Option<Spanned<Accept>>,
    /// How many machines it binds at most.
    pub max_count: Option<Spanned<u64>>,
}

/// Whom a policy takes besides those that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Declared machines.
    Declared,
    /// Machines that nobody declared, and declared ones.
    Discovered,
}

/// `node`: one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, at the place of its declaration.
    pub name: Spanned<NodeName>,
    /// Its own keys.
    pub body: NodeBody,
    /// Its overrides.
    pub settings: Settings,
}

/// What a node says beside its overrides: who it is, what binds it, and its network settings. What few nodes say
/// is boxed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeBody {
    /// Hardware addresses; the first is the card it boots from.
    pub mac: Option<List<Mac>>,
    /// Serial number (SMBIOS type 1).
    pub serial: Option<Box<Spanned<Serial>>>,
    /// UUID (SMBIOS type 1).
    pub uuid: Option<Box<Spanned<Uuid>>>,
    /// Asset tag (SMBIOS type 3).
    pub asset: Option<Box<Spanned<Asset>>>,
    /// Binds it directly.
    pub policy: Option<Box<Spanned<PolicyName>>>,
    /// Tags it carries by declaration.
    pub tags: Option<List<TagName>>,
    /// Raise it by one for one more installation; default 1; 0: never touch it.
    pub installs: Option<Box<Spanned<u32>>>,
    /// Short form: addresses of the interface it boots from.
    pub address: Option<List<HostAddress>>,
    /// Short form: default gateways.
    pub gateway: Option<Box<List<IpAddr>>>,
    /// Short form: further routes.
    pub routes: Option<Box<List<Route>>>,
    /// Short form: the largest packet in bytes.
    pub mtu: Option<Box<Spanned<u32>>>,
    /// Short form: whether it asks DHCP for its address.
    pub dhcp: Option<Box<Spanned<bool>>>,
    /// Long form: network cards.
    pub interface: Vec<Spanned<Interface>>,
    /// Long form: several cards as one.
    pub bond: BTreeMap<LinkName, Spanned<Bond>>,
    /// Long form: tagged networks.
    pub vlan: BTreeMap<LinkName, Spanned<Vlan>>,
    /// Long form: bridges.
    pub bridge: BTreeMap<LinkName, Spanned<Bridge>>,
}

/// `broker`: what finished machines are handed over to.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// Its name, at the place of its declaration.
    pub name: Spanned<BrokerName>,
    /// A directory under `templates/brokers/`.
    pub kind: Spanned<String>,
    /// Its settings: every other key.
    pub vars: Vars,
}

impl Broker {
    /// The kind whose program the server runs.
    pub const PROGRAM: &str = "program";

    /// Whether the server runs a program of its.
    pub fn is_program(&self) -> bool {
        self.kind.value == Broker::PROGRAM
    }

    /// That program and its arguments; none when it is of another kind, or `run` says none.
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

/// `hook`: a program that hears of events.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its name, at the place of its declaration.
    pub name: Spanned<HookName>,
    /// Its keys.
    pub body: HookBody,
}

/// The keys of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookBody {
    /// The events it hears of.
    pub on: List<LifecycleEvent>,
    /// The program and its arguments; the event comes as JSON on its standard input.
    pub run: List<String>,
}

impl Node {
    /// The place of the declaration, for messages about the node as a whole.
    pub fn span(&self) -> SourceSpan {
        self.name.span
    }

    /// Tells whether it declares any hardware address.
    pub fn has_macs(&self) -> bool {
        let short = self.body.mac.iter().any(|list| !list.value.is_empty());
        let mut long = self.body.interface.iter();
        short || long.any(|interface| interface.value.mac.is_some())
    }

    /// The hardware addresses it declares, those of its interfaces and ports among them, boot card first.
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
