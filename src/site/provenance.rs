//! The origin of a machine's settings: where each one is set, and which values of lower layers it overrides.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::model::{Network, Policy, Settings, SourceSpan};

use super::{
    FreeAddresses, HostnameRule, LinkKind, Site, Subject,
    layers::{SettingsLayers, of_network},
    net::{self, GatewayOrigin, LinkDraft, LinkLayout, network_gateway},
};

/// A setting in effect, and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    /// The key. A key of a link in the long form begins with the link's name: `bond0.20.address`.
    pub key: String,
    /// The value as JSON, with secrets masked.
    pub value: Value,
    /// The place where it is set; none for a built-in default.
    pub span: Option<SourceSpan>,
    /// A second origin, such as `prefix from network lab, policies.d/networks.kdl:2`.
    pub detail: Option<String>,
    /// The overridden values of lower layers, the highest layer first.
    pub shadows: Vec<(Value, SourceSpan)>,
}

/// Lists the settings in effect for `subject`, bound by `policy` or else by the policy that its declaration names. The order
/// is: binding, network and host name, links, then all other settings.
pub fn provenance(site: &Site, subject: &Subject<'_>, policy: Option<&Policy>) -> Vec<Provenance> {
    let node = subject.declared.map(Arc::as_ref);
    let layers = SettingsLayers::of(site, node, policy);
    let layout = net::layout(
        site,
        subject,
        &layers,
        &FreeAddresses::new(site),
        &mut Vec::new(),
    );
    let builder = ProvenanceBuilder {
        site,
        subject,
        layers,
        layout,
    };
    builder.list()
}

struct ProvenanceBuilder<'a, 's> {
    site: &'a Site,
    subject: &'s Subject<'a>,
    layers: SettingsLayers<'a>,
    layout: LinkLayout<'a>,
}

impl ProvenanceBuilder<'_, '_> {
    fn list(&self) -> Vec<Provenance> {
        let mut settings = self.settings();
        let mut remove = |key: &str| {
            let at = settings.iter().position(|entry| entry.key == key)?;
            Some(settings.remove(at))
        };
        let (repo, task) = (remove("repo"), remove("task"));
        let (network, boot_network) = (remove("network"), remove("boot-network"));
        let (hostname, domain) = (remove("hostname"), remove("domain"));
        let (dns, search, ntp) = (remove("dns"), remove("search"), remove("ntp"));
        let mut list = Vec::new();
        list.extend(self.policy());
        list.extend(repo);
        list.extend(self.task(task));
        list.extend(self.installs());
        list.extend(self.network(network));
        list.extend(boot_network);
        list.extend(self.hostname(hostname));
        list.extend(domain);
        for link in &self.layout.links {
            self.link(link, &mut list);
        }
        list.extend(dns);
        list.extend(search);
        list.extend(ntp);
        list.extend(settings);
        list
    }

    /// Returns the settings of `defaults`, network, policy and node.
    fn settings(&self) -> Vec<Provenance> {
        let network = self.layout.network.map(|network| of_network(network));
        let layers: Vec<_> = self
            .layers
            .upper()
            .chain(&network)
            .chain([&self.layers.defaults.settings])
            .map(Settings::listed)
            .collect();
        let merged = self.layers.merged(self.layout.network.map(Arc::as_ref));
        let keys = merged.listed().into_iter();
        keys.map(|(key, span, value)| {
            let all = layers.iter().flatten();
            let shadows = all
                .filter(|(other, at, _)| is_same_setting(&key, other) && *at != span)
                .map(|(_, at, value)| (value.clone(), *at))
                .collect();
            Provenance {
                key,
                value,
                span: Some(span),
                detail: None,
                shadows,
            }
        })
        .collect()
    }

    fn policy(&self) -> Option<Provenance> {
        let policy = self.layers.policy?;
        let named = self.layers.node.and_then(|node| node.body.policy.as_ref());
        let span = named
            .filter(|named| ***named == policy.name)
            .map_or(policy.name.span, |named| named.span);
        Some(plain("policy", json!(policy.name.value), Some(span)))
    }

    fn task(&self, set: Option<Provenance>) -> Option<Provenance> {
        let repo = self.layers.find(|settings| settings.repo.as_deref());
        let repo = repo.and_then(|name| self.site.repos.get(&name.value));
        let of_repo = repo.and_then(|repo| repo.body.task.as_ref());
        match (set, of_repo) {
            (Some(mut set), Some(task)) => {
                set.shadows.push((json!(task.value), task.span));
                Some(set)
            }
            (None, Some(task)) => Some(Provenance {
                detail: repo.map(|repo| format!("from repo {}", repo.name)),
                ..plain("task", json!(task.value), Some(task.span))
            }),
            (set, None) => set,
        }
    }

    fn installs(&self) -> Option<Provenance> {
        let at = self.layers.node?.body.installs.as_ref()?;
        Some(plain("installs", json!(at.value), Some(at.span)))
    }

    fn network(&self, set: Option<Provenance>) -> Option<Provenance> {
        let network = self.layout.network?;
        let name = json!(network.name.value);
        if let Some(set) = set.filter(|set| set.value == name) {
            return Some(set);
        }
        Some(Provenance {
            detail: Some("it contains the address".into()),
            ..plain("network", name, Some(subnet_span(network)))
        })
    }

    fn hostname(&self, set: Option<Provenance>) -> Option<Provenance> {
        let rule = self
            .layers
            .hostname(self.subject.name, self.layout.network)
            .ok()?;
        let (value, bare) = match &rule {
            HostnameRule::Template(text) => (json!(text.value), false),
            HostnameRule::Plain(name) => {
                let written = set.as_ref().and_then(|set| set.value.as_str());
                let written = written.unwrap_or(self.subject.name.as_str());
                (json!(name), !written.contains('.'))
            }
        };
        let name_span = self.layers.node.map(|node| node.span());
        let set = set.unwrap_or_else(|| plain("hostname", json!(null), name_span));
        Some(Provenance {
            value,
            detail: bare.then(|| self.domain_detail()).flatten(),
            ..set
        })
    }

    fn domain_detail(&self) -> Option<String> {
        let domain = self.layers.domain(self.layout.network)?;
        Some(format!("domain from {}", self.at(domain.span)))
    }

    fn link(&self, link: &LinkDraft<'_>, list: &mut Vec<Provenance>) {
        let key = |key: &str| match &link.name {
            Some(name) => format!("{}.{key}", name.as_str()),
            None if self.layout.links.len() <= 2 => key.into(),
            None => format!("{}.{key}", link.title()),
        };
        for address in &link.addresses {
            let detail = match (address.span, address.network) {
                (None, Some(network)) => Some(format!("from the pool of network {}", network.name)),
                (Some(_), Some(network)) if address.prefix_of_network => Some(format!(
                    "prefix from network {}, {}",
                    network.name,
                    self.at(subnet_span(network))
                )),
                _ => None,
            };
            list.push(Provenance {
                detail,
                ..plain(&key("address"), json!(address.net), address.span)
            });
        }
        if let Some(dhcp) = link.dhcp.then_some(link.own.dhcp) {
            let span = dhcp.map(|at| at.span);
            list.push(plain(&key("dhcp"), json!(true), span));
        }
        self.gateways(link, &key("gateway"), list);
        if let Some(on_link) = link.own.on_link {
            list.push(plain(&key("on-link"), json!(on_link), Some(on_link.span)));
        }
        if let LinkKind::Vlan { id, .. } = link.kind {
            let of_network = link.network.and_then(|network| network.body.vlan.as_ref());
            let span = link.vlan_id.or(of_network).map(|at| at.span);
            list.push(plain(&key("vlan"), json!(id), span));
        }
        if let Some(mtu) = &link.mtu {
            let of_network = link.network.and_then(|network| network.body.mtu.as_ref());
            let shadowed = of_network.filter(|at| at.span != mtu.span);
            list.push(Provenance {
                shadows: shadowed
                    .iter()
                    .map(|at| (json!(at.value), at.span))
                    .collect(),
                ..plain(&key("mtu"), json!(mtu.value), Some(mtu.span))
            });
        }
        if let Some(routes) = link.own.routes {
            list.push(plain(&key("routes"), json!(routes), Some(routes.span)));
        }
        for (name, span, value) in [
            link.own.dns.map(|list| ("dns", list.span, json!(list))),
            link.own
                .search
                .map(|list| ("search", list.span, json!(list))),
        ]
        .into_iter()
        .flatten()
        {
            list.push(plain(&key(name), value, Some(span)));
        }
    }

    fn gateways(&self, link: &LinkDraft<'_>, key: &str, list: &mut Vec<Provenance>) {
        for gateway in &link.gateways {
            let of_network = network_gateway(link, gateway.ip.is_ipv4());
            let shadowed = of_network.filter(|_| gateway.origin == GatewayOrigin::Link);
            list.push(Provenance {
                shadows: shadowed
                    .iter()
                    .map(|at| (json!(at.value), at.span))
                    .collect(),
                ..plain(key, json!(gateway.ip), Some(gateway.span))
            });
        }
    }

    fn at(&self, span: SourceSpan) -> String {
        self.site.sources.file_line(span)
    }
}

fn plain(key: &str, value: Value, span: Option<SourceSpan>) -> Provenance {
    Provenance {
        key: key.into(),
        value,
        span,
        detail: None,
        shadows: Vec::new(),
    }
}

/// Returns whether two keys set the same thing: they are equal, or the two forms of root's password.
fn is_same_setting(key: &str, other: &str) -> bool {
    let is_password = |key: &str| matches!(key, "root-password-hash" | "root-password-file");
    key == other || (is_password(key) && is_password(other))
}

fn subnet_span(network: &Network) -> SourceSpan {
    let subnet = network.body.subnet.as_ref();
    subnet.map_or(network.name.span, |subnet| subnet.span)
}
