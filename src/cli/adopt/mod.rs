//! `adopt`: a file that declares a machine which no file mentions.
//!
//! The file is written here, by whoever types the command; the server never writes into a site. It finds the file as it
//! finds any edit, and the machine's history goes on under its declared name.

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
    arguments, check,
    client::{is_site, no_site},
    failure::{CliResult, Failure},
    nodes::{NodeStatus, parsed},
    query::ask,
    terminal::{Terminal, plain},
};
use crate::{
    control::Layers,
    model::{AddressSource, Facts, Network, NetworkName, NodeName, Policy},
    net::http::OperatorQuery,
    serve::{Loaded, load},
    site::{FreeAddresses, Severity, Site, is_template, suggest},
};
use text::AdoptedNode;

/// So many networks are proposed an address of.
const MOST_NETWORKS: usize = 4;

pub(super) fn run(root: &Path, adopt: &arguments::AdoptArgs, terminal: &Terminal) -> CliResult {
    if !is_site(root) {
        return Err(no_site(root));
    }
    let shown: NodeStatus = parsed(&ask(
        root,
        &OperatorQuery::Node(adopt.node.clone()),
        terminal,
    )?)?;
    let name = name(adopt, &shown)?;
    let loaded = check::loaded(root)?;
    if !loaded.is_sound() {
        return Err(Failure::refused(anyhow!(
            "the site has errors, and another file would not mend them"
        ))
        .help("`bootwright check` shows them"));
    }
    let site = &loaded.snapshot.site;
    is_unclaimed(&shown, &name, site)?;
    let policy = adopt.policy.as_deref();
    let policy = policy.map(|policy| named(policy, site)).transpose()?;
    let facts: Facts = parsed(&ask(
        root,
        &OperatorQuery::Facts(adopt.node.clone()),
        terminal,
    )?)?;
    let nodes: Vec<NodeStatus> = parsed(&ask(root, &OperatorQuery::Nodes, terminal)?)?;
    let adopted = adopted(name, shown, facts, policy, &nodes, site);
    if adopted.macs.is_empty() && adopted.serial.is_none() && adopted.uuid.is_none() {
        return Err(Failure::refused(anyhow!(
            "nothing identifies {}: neither a card nor a serial number nor a UUID",
            adopted.before
        )));
    }
    let text = adopted.written(adopt.format);
    let path = format!(
        "policies.d/nodes/{}.{}",
        adopted.name,
        adopt.format.ending()
    );
    holds(root, &path, &text, terminal)?;
    create(&root.join(&path), &text)?;
    Ok(terminal.show(&said(&adopted, &path))?)
}

/// What the machine is to be called: its host's name, unless it has none of its own.
fn name(adopt: &arguments::AdoptArgs, shown: &NodeStatus) -> CliResult<NodeName> {
    if let Some(name) = &adopt.name {
        return name
            .parse()
            .map_err(|error| Failure::refused(anyhow::Error::new(error)));
    }
    let host = shown.hostname.as_deref().unwrap_or_default();
    let host = host.split('.').next().unwrap_or_default();
    let name = host.parse().or_else(|_| shown.name.parse());
    name.map_err(|error| {
        let error = anyhow::Error::new(error);
        Failure::refused(error).help("say what it is to be called: --name NAME")
    })
}

/// Refuses what is declared already.
fn is_unclaimed(shown: &NodeStatus, name: &NodeName, site: &Site) -> CliResult {
    let declared = |name: &NodeName| {
        let node = site.nodes.get(name)?;
        Some(site.sources.file_line(node.span()))
    };
    if shown.declared == Some(true) {
        let own = shown.name.parse().ok();
        let place = own.as_ref().and_then(declared);
        let place = place.map_or(String::new(), |place| format!(": {place}"));
        return Err(Failure::refused(anyhow!(
            "{} is declared already{place}",
            plain(&shown.name)
        )));
    }
    match declared(name) {
        Some(place) => Err(Failure::refused(anyhow!(
            "another machine is declared as {name}: {place}"
        ))
        .help("say what this one is to be called: --name NAME")),
        None => Ok(()),
    }
}

fn named<'s>(name: &str, site: &'s Site) -> CliResult<&'s Policy> {
    match site.policies.get(name) {
        Some(policy) => Ok(policy),
        None => {
            let names = site.policies.keys().map(|name| name.as_str());
            let near = suggest(name, names).map(|near| format!("did you mean `{near}`?"));
            let failure = Failure::refused(anyhow!("there is no policy `{}`", plain(name)));
            Err(failure.maybe_help(near))
        }
    }
}

fn adopted(
    name: NodeName,
    shown: NodeStatus,
    facts: Facts,
    policy: Option<&Policy>,
    nodes: &[NodeStatus],
    site: &Site,
) -> AdoptedNode {
    let installed = shown.installs.done > 0 || ["installed", "finished"].contains(&&*shown.state);
    // The policy that installed it says what it is. Another one is the operator's to choose.
    let own = shown
        .policy
        .clone()
        .filter(|own| installed && policy.is_none() && site.policies.contains_key(own.as_str()));
    let address = shown.address.as_deref().and_then(|ip| ip.parse().ok());
    let network = address.and_then(|ip| network_of(ip, site));
    let from_pool = policy.is_some_and(|policy| {
        let layers = Layers::new(site, None, Some(policy));
        layers.get(|settings| settings.addresses.as_deref()) == Some(&AddressSource::Pool)
    });
    let free = match address {
        None if !from_pool => proposed(nodes, site),
        _ => Vec::new(),
    };
    AdoptedNode {
        before: plain(&shown.name),
        macs: shown.mac,
        serial: shown.serial,
        uuid: shown.uuid,
        policy: policy.map(|policy| policy.name.value.to_string()).or(own),
        network: network.map(|network| network.name.value.clone()),
        address,
        free,
        hostname: match installed {
            true => shown.hostname,
            // It is called what the operator says, not what the policy makes of what a machine reports.
            false => policy
                .filter(|policy| has_template(policy, site))
                .map(|_| name.to_string()),
        },
        installs: match (installed, policy) {
            (true, _) => Some(shown.installs.done.max(1)),
            (false, None) => Some(0),
            (false, Some(_)) => None,
        },
        name,
        facts,
    }
}

/// Tells whether a policy makes host names of its own.
fn has_template(policy: &Policy, site: &Site) -> bool {
    let layers = Layers::new(site, None, Some(policy));
    let hostname = layers.get(|settings| settings.hostname.as_deref());
    hostname.is_some_and(|hostname| is_template(hostname))
}

/// The only network in which an address lies.
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

/// An address of each pool that neither a declaration nor a machine has.
fn proposed(nodes: &[NodeStatus], site: &Site) -> Vec<(NetworkName, IpAddr)> {
    let free = FreeAddresses::new(site);
    let given: BTreeSet<IpAddr> = nodes
        .iter()
        .filter_map(|node| node.address.as_deref()?.parse().ok())
        .collect();
    let networks = site.networks.values().filter_map(|network| {
        let next = free.pool(network).find(|ip| !given.contains(ip));
        let next = next.or_else(|| free.beside_pool(network).find(|ip| !given.contains(ip)))?;
        Some((network.name.value.clone(), next))
    });
    networks.take(MOST_NETWORKS).collect()
}

/// Refuses a file with which the site would have an error.
fn holds(root: &Path, path: &str, text: &str, terminal: &Terminal) -> CliResult {
    let loaded: Loaded = load::offline_with(root, path, text)
        .with_context(|| format!("the site `{}` cannot be read", root.display()))?;
    if loaded.is_sound() {
        return Ok(());
    }
    let is_error = |one: &&crate::site::Diagnostic| one.severity == Severity::Error;
    let errors: Vec<_> = loaded
        .diagnostics
        .iter()
        .filter(is_error)
        .cloned()
        .collect();
    terminal.show_aside(&check::report(&loaded, &errors, terminal));
    Err(Failure::refused(anyhow!(
        "`{path}` is not written: with it the site would have errors"
    )))
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str) -> CliResult {
    if let Some(parent) = path.parent() {
        let made = fs::create_dir_all(parent);
        made.with_context(|| format!("`{}` cannot be made", parent.display()))?;
    }
    let mut file = match fs::File::create_new(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let failure = Failure::refused(anyhow!("`{}` is there already", path.display()));
            return Err(failure.help("nothing is overwritten: name it otherwise, or move it away"));
        }
        Err(error) => {
            let error = anyhow::Error::new(error);
            return Err(error
                .context(format!("`{}` cannot be written", path.display()))
                .into());
        }
    };
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a declaration is none.
        let gone = fs::remove_file(path);
        let error = anyhow::Error::new(error).context(format!(
            "`{}` cannot be written{}",
            path.display(),
            gone.err()
                .map_or("", |_| ", and what there is of it cannot be removed")
        ));
        return Err(error.into());
    }
    Ok(())
}

fn said(adopted: &AdoptedNode, path: &str) -> String {
    let next = match (adopted.installs, &adopted.policy) {
        (None, Some(policy)) => {
            format!("policy {policy} installs it at its next network boot")
        }
        (Some(0), _) => "it is never touched: `installs = 0`".into(),
        _ => "it is installed, and stays as it is".into(),
    };
    format!(
        "Wrote     {path}\n{} is {} now; {next}\n",
        adopted.before, adopted.name
    )
}
