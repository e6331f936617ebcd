//! Renders the documents of all machines before a site goes live.
//!
//! Each declared node is rendered as its declaration binds it. A policy that accepts undeclared machines is also
//! rendered for an example machine, so that its template is not first tested on a real one.

use std::{net::IpAddr, sync::Arc};

use super::{Seal, SealAuthority, Snapshot, UrlToken, install::binding::Bound};
use crate::{
    journal::MachineId,
    model::{Accept, Facts, Hostname, Mac, Node, NodeName, Platform, Policy, Timestamp},
    render::{self, RenderRequest, Urls},
    site::{Diagnostic, NetPlan, Resolved, Severity, Subject, resolve},
};

/// What a check renders.
#[derive(Debug, Clone)]
pub enum RenderTarget {
    Node(Arc<Node>),
    /// An undeclared machine that this policy binds.
    Undeclared(Arc<Policy>),
}

/// The result of rendering one target.
#[derive(Debug, Clone, Default)]
pub struct RenderCheck {
    pub diagnostics: Vec<Diagnostic>,
    /// The number of rendered files.
    pub documents: usize,
    pub hostname: Option<Hostname>,
}

impl RenderCheck {
    /// Whether there are no errors.
    pub fn is_valid(&self) -> bool {
        self.diagnostics
            .iter()
            .all(|one| one.severity != Severity::Error)
    }
}

impl Snapshot {
    /// Lists everything that a check renders.
    pub fn targets(&self) -> Vec<RenderTarget> {
        let nodes = self.site.nodes.values().cloned().map(RenderTarget::Node);
        let accepts_undeclared =
            |policy: &&Arc<Policy>| policy.rule.effective().accept == Accept::Discovered;
        let policies = self
            .site
            .policies
            .values()
            .filter(accepts_undeclared)
            .cloned();
        nodes
            .chain(policies.map(RenderTarget::Undeclared))
            .collect()
    }

    /// Resolves the settings of a target, if something binds it.
    pub fn resolve_target(&self, target: &RenderTarget) -> Option<(Resolved, Vec<Diagnostic>)> {
        match target {
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

    /// Renders all files of a target, for a server that machines reach at `base`.
    pub fn check(&self, target: &RenderTarget, resolved: &Resolved, base: String) -> RenderCheck {
        let installs = resolved.task.as_ref().and_then(|task| self.tasks.get(task));
        if resolved.task.is_none() || installs.is_some_and(|traits| !traits.installs) {
            return RenderCheck::default();
        }
        let facts = match target {
            RenderTarget::Node(_) => Facts::default(),
            RenderTarget::Undeclared(_) => example_facts(),
        };
        let request = RenderRequest {
            site: &self.site,
            library: &self.library,
            external: &self.outside,
            resolved,
            facts: &facts,
            platform: Platform::Efi,
            arch: None,
            urls: Urls {
                base,
                token: UrlToken::ZERO.to_string(),
            },
            seal: self.example_seal(),
            attempt: 1,
        };
        let (rendered, mut diagnostics) = render::inspect_attempt(&request);
        if let RenderTarget::Undeclared(policy) = target {
            let has_secret = rendered
                .as_ref()
                .is_some_and(|rendered| rendered.uses_secrets);
            // An example may leave out what a real machine gets.
            if has_secret || self.library.uses_secrets_for(resolved) {
                diagnostics.push(secret_for_undeclared(policy));
            }
        }
        let documents = rendered.as_ref().map_or(0, |rendered| rendered.files.len());
        RenderCheck {
            diagnostics,
            documents,
            hostname: rendered.map(|rendered| rendered.hostname),
        }
    }

    /// The seal in documents that are rendered only for display.
    pub fn example_seal(&self) -> Option<String> {
        let id = self.site.config.site_id.as_ref()?;
        let seal = Seal {
            machine: MachineId(0),
            node: "example".into(),
            installs: 1,
            sealed: Timestamp::default(),
        };
        Some(SealAuthority::new(&id.value, [0; 32]).text(&seal))
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

fn secret_for_undeclared(policy: &Policy) -> Diagnostic {
    let message = format!(
        "policy `{}` installs undeclared machines, and their documents contain a secret: any host on the link that reports what \
         the policy wants gets it",
        policy.name
    );
    let span = policy.rule.accept.as_ref().map(|accept| accept.span);
    Diagnostic::warning(message, span)
        .help("declare the machines (`bootwright adopt`), or bind them by a policy whose templates do not use `secret()`")
}

/// Returns the machine's own address, without its prefix length.
pub fn shown_address(net: &NetPlan) -> Option<String> {
    net.address().map(|address| address.addr().to_string())
}

/// The facts of an example machine. A template that needs other facts is reported by `check`.
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
