//! Loads a [`Site`] from its files: parses them, resolves settings and checks the rules.
//!
//! TOML and KDL files are both parsed into one tree of values with source spans ([`tree`]). One deserializer
//! reads the declared objects from the tree ([`read`]), [`load()`] assembles them, and [`rules`] checks them against
//! each other. All mistakes of a site are in one list of [`Diagnostic`]s. Expressions and templates are only text
//! here: [`crate::matcher`] and [`crate::render`] compile them.

mod source;
mod diagnostic;
mod bond_option;
mod plan;
mod suggest;
mod regional;
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
mod revision;
mod journal_limits;
mod load;
mod mask;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::model::{
    Asset, Broker, BrokerName, Defaults, Hook, HookName, Mac, Network, NetworkName, Node, NodeName,
    Policy, PolicyName, Repo, RepoName, Revision, Serial, ServerConfig, Settings, Tag, TagName,
    Uuid,
};

pub use bond_option::{BondOption, BondOptionName, BondValue};
pub use detect::{RepoSignature, detect_repo};
pub(crate) use diagnostic::limit_diagnostics;
pub use diagnostic::{Diagnostic, Severity};
pub use free_addresses::FreeAddresses;
pub(crate) use free_addresses::{is_edge, static_addresses};
pub(crate) use hostname::is_template;
pub use hostname::{HostnameRule, complete_hostname};
pub(crate) use load::read_toml;
pub use load::{CONFIG, LoadCache, load, load_detecting, read_config};
pub use object::ObjectKind;
pub use plan::{LinkKind, NetPlan, PlannedLink, PlannedRoute};
pub use provenance::{Provenance, provenance};
pub use read::fields_of;
pub use regional::{
    Keyboard, UnknownName, current_timezone, esxi_layouts, locale_gen_line, supported_locale,
};
pub use report::{ReportStyle, counted, json, report, summary};
pub use resolve::{Resolved, resolve};
pub use revision::revision;
pub(crate) use rules::unencrypted_operators;
pub use source::{SiteFiles, SourceFile, SourceMap};
pub use subject::Subject;
pub use suggest::suggest;
pub use unread::Unread;

/// Everything that the site's files declare, with an index of the declared identities.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// A digest of all files.
    pub revision: Option<Revision>,
    /// `bootwright.toml`.
    pub config: Arc<ServerConfig>,
    /// `defaults`.
    pub defaults: Arc<Defaults>,
    pub repos: BTreeMap<RepoName, Arc<Repo>>,
    pub networks: BTreeMap<NetworkName, Arc<Network>>,
    pub tags: BTreeMap<TagName, Arc<Tag>>,
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
    /// The names of the policies in the order in which they are evaluated.
    pub order: Vec<PolicyName>,
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    pub brokers: BTreeMap<BrokerName, Arc<Broker>>,
    pub hooks: BTreeMap<HookName, Arc<Hook>>,
    /// The node that declares each identity.
    pub identities: IdentityIndex,
    /// The files and objects that could not be read. A declaration that seems to be missing may be in one of them.
    pub unread: Unread,
    /// The files that declare something else than nodes.
    pub common_files: BTreeSet<Arc<str>>,
    /// The texts of the files, for messages.
    pub sources: Arc<SourceMap>,
}

impl Site {
    /// Iterates over all declared settings: those of the defaults, the policies and the nodes.
    pub fn layers(&self) -> impl Iterator<Item = &Settings> {
        let policies = self.policies.values().map(|policy| &policy.settings);
        let nodes = self.nodes.values().map(|node| &node.settings);
        [&self.defaults.settings]
            .into_iter()
            .chain(policies)
            .chain(nodes)
    }
}

/// The node that declares each identity. If two nodes declare the same identity (an error), the first in path order.
#[derive(Debug, Clone, Default)]
pub struct IdentityIndex {
    pub mac: HashMap<Mac, Arc<Node>>,
    pub serial: HashMap<Serial, Arc<Node>>,
    pub uuid: HashMap<Uuid, Arc<Node>>,
    pub asset: HashMap<Asset, Arc<Node>>,
}
