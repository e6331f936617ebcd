//! `adopt`: writes a file that declares an undeclared machine.
//!
//! The command writes the file, with the rights of the user who runs it; the server never writes to a site. The server
//! loads the file like any other edit, and the machine keeps its history under its declared name.

mod text;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::IpAddr,
    path::Path,
};

use anyhow::{Context, anyhow};

use super::{
    answer::parse_answer,
    arguments::AdoptArgs,
    check,
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    query::query,
    terminal::{Terminal, plain},
};
use crate::{
    api::{NodeStatus, Query},
    control::SettingLayers,
    model::{AddressSource, Facts, Mac, Network, NetworkName, NodeName, Policy},
    serve::{CheckProgram, Loaded, load},
    site::{FreeAddresses, Severity, Site, is_template, suggest},
};
use text::AdoptedNode;

/// The number of networks for which a free address is suggested.
const MAX_SUGGESTED_NETWORKS: usize = 4;

pub(super) fn run(root: &Path, adopt: &AdoptArgs, terminal: &Terminal) -> CliResult {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let node: NodeStatus = parse_answer(&query(root, &Query::Node(adopt.node.clone()), terminal)?)?;
    let name = name(adopt, &node)?;
    let loaded = check::loaded(root)?;
    if !loaded.is_valid() {
        return Err(Failure::refused(anyhow!("the site has errors"))
            .help("fix them first: `bootwright check` shows them"));
    }
    let site = &loaded.snapshot.site;
    require_undeclared(&node, &name, site)?;
    let policy = adopt.policy.as_deref();
    let policy = policy
        .map(|policy| policy_named(policy, site))
        .transpose()?;
    let facts: Facts = parse_answer(&query(root, &Query::Facts(adopt.node.clone()), terminal)?)?;
    let nodes: Vec<NodeStatus> = parse_answer(&query(root, &Query::Nodes, terminal)?)?;
    let adopted = adopted(name, node, facts, policy, &nodes, site);
    if adopted.macs.is_empty() && adopted.serial.is_none() && adopted.uuid.is_none() {
        return Err(Failure::refused(anyhow!(
            "{} has nothing that identifies it: no MAC, serial number or UUID",
            adopted.before
        )));
    }
    let text = adopted.text(adopt.format);
    let path = format!(
        "policies.d/nodes/{}.{}",
        adopted.name,
        adopt.format.extension()
    );
    require_valid(root, &path, &text, terminal)?;
    create(&root.join(&path), &text)?;
    Ok(terminal.show(&summary(&adopted, &path))?)
}

/// The node's name: `--name`, else the host name, else the name in `nodes`.
fn name(adopt: &AdoptArgs, node: &NodeStatus) -> CliResult<NodeName> {
    if let Some(name) = &adopt.name {
        return name
            .parse()
            .map_err(|error| Failure::refused(anyhow::Error::new(error)));
    }
    let host = node.hostname.as_deref().unwrap_or_default();
    let host = host.split('.').next().unwrap_or_default();
    let name = host.parse().or_else(|_| node.name.parse());
    name.map_err(|error| {
        let error = anyhow::Error::new(error);
        Failure::refused(error).help("choose a name: --name NAME")
    })
}

/// An error if the machine or the name is declared already.
fn require_undeclared(node: &NodeStatus, name: &NodeName, site: &Site) -> CliResult {
    let declared = |name: &NodeName| {
        let node = site.nodes.get(name)?;
        Some(site.sources.file_line(node.span()))
    };
    if node.declared {
        let own = node.name.parse().ok();
        let place = own.as_ref().and_then(declared);
        let place = place.map_or(String::new(), |place| format!(": {place}"));
        return Err(Failure::refused(anyhow!(
            "{} is already declared{place}",
            plain(&node.name)
        )));
    }
    match declared(name) {
        Some(place) => Err(
            Failure::refused(anyhow!("the name {name} is in use: {place}"))
                .help("choose another name: --name NAME"),
        ),
        None => Ok(()),
    }
}

fn policy_named<'s>(name: &str, site: &'s Site) -> CliResult<&'s Policy> {
    match site.policies.get(name) {
        Some(policy) => Ok(policy),
        None => {
            let names = site.policies.keys().map(|name| name.as_str());
            let similar = suggest(name, names).map(|similar| format!("did you mean `{similar}`?"));
            let failure = Failure::refused(anyhow!("there is no policy `{}`", plain(name)));
            Err(failure.maybe_help(similar))
        }
    }
}

fn adopted(
    name: NodeName,
    node: NodeStatus,
    facts: Facts,
    policy: Option<&Policy>,
    nodes: &[NodeStatus],
    site: &Site,
) -> AdoptedNode {
    let installed = node.installs.done > 0 || node.state.is_installed();
    // The policy that installed it describes its system. Any other policy is the operator's choice.
    let own = node
        .policy
        .clone()
        .filter(|own| installed && policy.is_none() && site.policies.contains_key(own));
    let address = node.address.as_deref().and_then(|ip| ip.parse().ok());
    let network = address.and_then(|ip| network_of(ip, site));
    let from_pool = policy.is_some_and(|policy| {
        let layers = SettingLayers::new(site, None, Some(policy));
        layers.get(|settings| settings.addresses.as_deref()) == Some(&AddressSource::Pool)
    });
    let free = match address {
        None if !from_pool => suggested(nodes, site),
        _ => Vec::new(),
    };
    AdoptedNode {
        before: plain(&node.name),
        macs: adopted_macs(&node, &facts),
        serial: node.serial,
        uuid: node.uuid,
        policy: policy
            .map(|policy| policy.name.value.clone())
            .or(own)
            .map(|policy| policy.to_string()),
        network: network.map(|network| network.name.value.clone()),
        address,
        free,
        hostname: match installed {
            true => node.hostname,
            // The operator's name takes precedence over the policy's template of reported values.
            false => policy
                .filter(|policy| has_template(policy, site))
                .map(|_| name.to_string()),
        },
        installs: match (installed, policy) {
            (true, _) => Some(node.installs.done.max(1)),
            (false, None) => Some(0),
            (false, Some(_)) => None,
        },
        name,
        facts,
    }
}

/// The NIC that boots, then the other identifying NICs that the machine still has by its last report.
fn adopted_macs(node: &NodeStatus, facts: &Facts) -> Vec<String> {
    let is_present = |mac: &Mac| {
        let mut nics = facts.nics.iter().flatten();
        nics.any(|nic| nic.mac == *mac)
    };
    let macs = node.mac.iter().enumerate();
    let macs = macs.filter(|(at, mac)| *at == 0 || facts.nics.is_none() || is_present(mac));
    macs.map(|(_, mac)| mac.to_string()).collect()
}

/// Whether a policy has a template for host names.
fn has_template(policy: &Policy, site: &Site) -> bool {
    let layers = SettingLayers::new(site, None, Some(policy));
    let hostname = layers.get(|settings| settings.hostname.as_deref());
    hostname.is_some_and(|hostname| is_template(hostname))
}

/// The network that contains an address, if there is exactly one.
fn network_of(ip: IpAddr, site: &Site) -> Option<&Network> {
    let holds = |network: &&Network| {
        let subnets = network.body.subnet.iter().flat_map(|list| list.values());
        subnets.into_iter().any(|subnet| subnet.0.contains(&ip))
    };
    let mut networks = site
        .networks
        .values()
        .map(|network| &**network)
        .filter(holds);
    let only = networks.next()?;
    networks.next().is_none().then_some(only)
}

/// A free address of each pool: neither declared nor assigned to a machine.
fn suggested(nodes: &[NodeStatus], site: &Site) -> Vec<(NetworkName, IpAddr)> {
    let free = FreeAddresses::new(site);
    let assigned: BTreeSet<IpAddr> = nodes
        .iter()
        .filter_map(|node| node.address.as_deref()?.parse().ok())
        .collect();
    let networks = site.networks.values().filter_map(|network| {
        let next = free.pool(network).find(|ip| !assigned.contains(ip));
        let next = next.or_else(|| free.beside_pool(network).find(|ip| !assigned.contains(ip)))?;
        Some((network.name.value.clone(), next))
    });
    networks.take(MAX_SUGGESTED_NETWORKS).collect()
}

/// An error if the site would have an error with this file.
fn require_valid(root: &Path, path: &str, text: &str, terminal: &Terminal) -> CliResult {
    let loaded: Loaded = load::offline_with(root, path, text, &CheckProgram::default())
        .with_context(|| format!("cannot read the site `{}`", root.display()))?;
    if loaded.is_valid() {
        return Ok(());
    }
    let is_error = |one: &&crate::site::Diagnostic| one.severity == Severity::Error;
    let errors: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(is_error)
        .cloned()
        .collect();
    terminal.show_error_text(&check::report(&loaded, &errors, terminal));
    Err(Failure::refused(anyhow!(
        "`{path}` was not written: the site would have errors with it"
    )))
}

/// Writes a new file.
fn create(path: &Path, text: &str) -> CliResult {
    if let Some(parent) = path.parent() {
        let made = fs::create_dir_all(parent);
        made.with_context(|| format!("cannot create `{}`", parent.display()))?;
    }
    let mut file = match fs::File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let failure = Failure::refused(anyhow!("`{}` exists already", path.display()));
            return Err(failure.help(
                "nothing is overwritten: choose another name with --name, or move the file",
            ));
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            return Err(error
                .context(format!("cannot write `{}`", path.display()))
                .into());
        }
    };
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // An incomplete declaration must not stay.
        let removed = fs::remove_file(path);
        let error = anyhow::Error::new(error).context(format!(
            "cannot write `{}`{}",
            path.display(),
            removed
                .err()
                .map_or("", |_| " (nor remove the incomplete file)")
        ));
        return Err(error.into());
    }
    Ok(())
}

fn summary(adopted: &AdoptedNode, path: &str) -> String {
    let next = match (adopted.installs, &adopted.policy) {
        (None, Some(policy)) => {
            format!("policy {policy} installs it at its next network boot")
        }
        (Some(0), _) => "it is never installed (`installs = 0`)".into(),
        _ => "it is installed already and is not installed again".into(),
    };
    format!(
        "Wrote     {path}\n{} is now declared as {}; {next}\n",
        adopted.before, adopted.name
    )
}
