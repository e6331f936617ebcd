//! Text to [`Site`]: every file of a site, read, resolved and held to the rules.
//!
//! TOML and KDL both become one tree of values with places ([`tree`]); one deserializer reads the declared
//! objects from it ([`read`]); [`load()`] puts them together; [`rules`] holds them to each other. Every
//! mistake of the whole site is a [`Diagnostic`] in one list. Expressions and templates are only text
//! here: [`crate::matcher`] and [`crate::render`] compile them.

mod source;
mod diagnostic;
mod plan;
mod suggest;
mod tree;
mod literal;
mod toml;
mod kdl;
mod read;
mod object;
mod unread;
mod hostname;
mod subject;
mod free_addresses;
mod layers;
mod net;
mod resolve;
mod provenance;
mod rules;
mod assemble;
mod detect;
mod load;
mod mask;
mod report;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::model::{
    Asset, Broker, BrokerName, Defaults, Hook, HookName, Mac, Network, NetworkName, Node, NodeName,
    Policy, PolicyName, Repo, RepoName, Revision, Serial, ServerConfig, Settings, Tag, TagName,
    Uuid,
};

pub use detect::{RepoSignature, detect_repo};
pub use diagnostic::{Diagnostic, Severity};
pub use free_addresses::FreeAddresses;
pub(crate) use free_addresses::{is_edge, static_addresses};
pub(crate) use hostname::is_template;
pub use hostname::{HostnameRule, complete_hostname};
pub(crate) use load::read_toml;
pub use load::{LoadCache, load, load_detecting, read_config};
pub use object::ObjectKind;
pub use plan::{LinkKind, NetPlan, PlannedLink, PlannedRoute};
pub use provenance::{Provenance, provenance};
pub use read::fields_of;
pub use report::{ReportStyle, counted, json, report, summary};
pub use resolve::{Resolved, resolve};
pub use source::{SiteFiles, SourceFile, SourceMap};
pub use subject::Subject;
pub use suggest::suggest;
pub use unread::Unread;

/// Everything that the site's files declare, with what is needed to find it quickly.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// A digest of all files.
    pub revision: Option<Revision>,
    /// `bootwright.toml`.
    pub config: Arc<ServerConfig>,
    /// `defaults`.
    pub defaults: Arc<Defaults>,
    /// Every repo.
    pub repos: BTreeMap<RepoName, Arc<Repo>>,
    /// Every network.
    pub networks: BTreeMap<NetworkName, Arc<Network>>,
    /// Every tag.
    pub tags: BTreeMap<TagName, Arc<Tag>>,
    /// Every policy.
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
    /// The names of the policies in the order in which they are asked.
    pub order: Vec<PolicyName>,
    /// Every declared node.
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    /// Every broker.
    pub brokers: BTreeMap<BrokerName, Arc<Broker>>,
    /// Every hook.
    pub hooks: BTreeMap<HookName, Arc<Hook>>,
    /// Who declares an identity.
    pub identities: IdentityIndex,
    /// What could not be read. Whatever seems to be missing may stand there.
    pub unread: Unread,
    /// The texts, for messages.
    pub sources: Arc<SourceMap>,
}

impl Site {
    /// Every place where settings stand: the defaults, the policies, the nodes.
    pub fn layers(&self) -> impl Iterator<Item = &Settings> {
        let policies = self.policies.values().map(|policy| &policy.settings);
        let nodes = self.nodes.values().map(|node| &node.settings);
        [&self.defaults.settings]
            .into_iter()
            .chain(policies)
            .chain(nodes)
    }
}

/// Who declares an identity. Where two declare the same (an error), the first in path order is here.
#[derive(Debug, Clone, Default)]
pub struct IdentityIndex {
    /// By hardware address.
    pub mac: HashMap<Mac, Arc<Node>>,
    /// By serial number.
    pub serial: HashMap<Serial, Arc<Node>>,
    /// By UUID.
    pub uuid: HashMap<Uuid, Arc<Node>>,
    /// By asset tag.
    pub asset: HashMap<Asset, Arc<Node>>,
}
