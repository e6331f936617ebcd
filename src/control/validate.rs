//! Everything rendered for everyone, before a site goes live.
//!
//! Each declared node is rendered as its declaration binds it. A policy that takes machines by their facts is
//! rendered once more for a machine that nobody declared, so that an untested template is not first tried on
//! a real one.

use std::{net::IpAddr, sync::Arc};

use super::{Snapshot, UrlToken, install::binding::Bound};
use crate::{
    model::{Accept, Arch, Facts, Hostname, Mac, Node, NodeName, Platform, Policy},
    render::{self, RenderRequest, Urls},
    site::{Diagnostic, NetPlan, Resolved, Severity, Subject, resolve},
};

/// Whom a check renders.
#[derive(Debug, Clone)]
pub enum RenderTarget {
    /// A declared node.
    Node(Arc<Node>),
    /// A machine that nobody declared, bound by this policy.
    Undeclared(Arc<Policy>),
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct RenderCheck {
    /// Everything there is to say.
    pub diagnostics: Vec<Diagnostic>,
    /// How many files were rendered.
    pub documents: usize,
    /// The machine's host name.
    pub hostname: Option<Hostname>,
}

impl RenderCheck {
    /// Whether nothing stands against it.
    pub fn is_valid(&self) -> bool {
        self.diagnostics
            .iter()
            .all(|one| one.severity != Severity::Error)
    }
}

impl Snapshot {
    /// Lists everybody whom a check renders.
    pub fn examined(&self) -> Vec<RenderTarget> {
        let nodes = self.site.nodes.values().cloned().map(RenderTarget::Node);
        let takes_strangers = |policy: &&Arc<Policy>| {
            policy
                .rule
                .accept
                .as_ref()
                .is_some_and(|accept| accept.value == Accept::Discovered)
        };
        let policies = self.site.policies.values().filter(takes_strangers).cloned();
        nodes
            .chain(policies.map(RenderTarget::Undeclared))
            .collect()
    }

    /// Resolves whom a check renders, as far as something binds it.
    pub fn resolve_examined(&self, examined: &RenderTarget) -> Option<(Resolved, Vec<Diagnostic>)> {
        match examined {
            RenderTarget::Node(node) => {
                let bound = self.binding_unseen(node, |_| 0).ok()?;
                let subject = Subject {
                    pooled: self.example_address(&bound),
                    ..Subject::declared(node)
                };
                Some(resolve(&self.site, &subject, bound.policy.as_deref()))
            }
            RenderTarget::Undeclared(policy) => {
                let bound = self.with_task(None, Some(policy.clone())).ok()?;
                let name: NodeName = "02-00-00-00-00-01"
                    .parse()
                    .expect("hyphens and digits make a name");
                let macs = vec![Mac([2, 0, 0, 0, 0, 1])];
                let subject = Subject {
                    name: &name,
                    declared: None,
                    macs,
                    pooled: self.example_address(&bound),
                };
                Some(resolve(&self.site, &subject, bound.policy.as_deref()))
            }
        }
    }

    /// Renders everything of one of them, for a server that machines reach at `base`.
    pub fn check(&self, examined: &RenderTarget, resolved: &Resolved, base: String) -> RenderCheck {
        let installs = resolved.task.as_ref().and_then(|task| self.tasks.get(task));
        if resolved.task.is_none() || installs.is_some_and(|traits| !traits.installs) {
            return RenderCheck::default();
        }
        let facts = match examined {
            RenderTarget::Node(_) => Facts::default(),
            RenderTarget::Undeclared(_) => example_facts(),
        };
        let job = RenderRequest {
            site: &self.site,
            library: &self.library,
            external: &self.outside,
            resolved,
            facts: &facts,
            platform: Platform::Efi,
            arch: Arch::X86_64,
            urls: Urls {
                base,
                token: UrlToken::ZERO.to_string(),
            },
            attempt: 1,
        };
        let (rendered, diagnostics) = render::inspect_attempt(&job);
        let documents = rendered.as_ref().map_or(0, |rendered| rendered.files.len());
        RenderCheck {
            diagnostics,
            documents,
            hostname: rendered.map(|rendered| rendered.hostname),
        }
    }

    fn example_address(&self, bound: &Bound) -> Option<IpAddr> {
        let layers = super::SettingLayers::new(&self.site, None, bound.policy.as_deref());
        let network = self
            .site
            .networks
            .get(layers.get(|settings| settings.network.as_deref())?)?;
        network
            .body
            .pool
            .as_ref()?
            .values()
            .next()
            .map(|range| range.first)
    }
}

/// Returns the machine's own address as people write it.
pub fn shown_address(net: &NetPlan) -> Option<String> {
    net.address().map(|address| address.addr().to_string())
}

/// What a machine might report: a template that needs more than this finds out in `check`.
fn example_facts() -> Facts {
    let reported = [
        ("manufacturer", "Example"),
        ("product", "Example 1"),
        ("serial", "EXAMPLE1"),
        ("uuid", "4c4c4544-0042-4410-8053-b4c04f4d3232"),
        ("asset", "A1"),
        ("firmware", "efi"),
        ("cpu_model", "Example CPU"),
        ("sockets", "1"),
        ("cores", "4"),
        ("memory_mib", "8192"),
    ];
    let mut facts = Facts::default();
    for (name, text) in reported {
        facts.update(Facts::parse(name, text).expect("an example is of its fact's type"));
    }
    facts
}
