//! Reads the state of this machine and returns the findings of all areas.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::{
    account::{self, ProcessPrivileges, ServerAccount, ServerProcess},
    clock,
    files::{self, SiteReport, StateDirReport},
    finding::{Area, DoctorFinding},
    firewall,
    firewall_state::Firewall,
    loaders::{self, LoaderReport},
    networks::{self, NetworkReport, NetworksReport},
    other_dhcp,
    ports::{self, DhcpNeeds, PortReport, PortUse},
    probe, programs,
};
use crate::{
    api::ServerStatus,
    boot::{Loader, version_of},
    cli::{
        check,
        client::ApiClient,
        failure::CliResult,
        terminal::{Terminal, now},
    },
    disk::{
        dpkg::Dpkg,
        journal::{self, Lock},
        state,
        watch::unwatchable_file_system,
    },
    model::{DhcpMode, ServerConfig, Timestamp},
    net::{
        dhcp::{PXE_PORT, SERVER_PORT},
        interfaces,
        ports::{Protocol, bound_sockets, try_bind},
    },
    serve::{self, Loaded},
    site,
};

/// Runs all checks.
pub(super) fn collect(root: &Path, terminal: &Terminal) -> CliResult<Vec<Area>> {
    let loaded = check::loaded(root)?;
    let site = &loaded.snapshot.site;
    let config = &*site.config;
    let state = serve::state_path(root, config);
    let status = ApiClient::find(root);
    let server = server_process(
        state.as_deref().ok(),
        // A server that denies access runs too.
        !matches!(status, Ok(None)),
    );
    let networks = networks_report(site);
    let need = dhcp_needs(&networks, config);
    let ports = port_reports(config, &server);
    let known = ports.as_deref().unwrap_or_default();
    let served: Vec<String> = served_interfaces(&networks);
    if terminal.width.is_some() && probe::sends_packets(&networks) {
        terminal.note(&format!(
            "searching for other DHCP servers ({} seconds)",
            other_dhcp::PROBE_SECONDS
        ));
    }
    let probes = probe::probe_all(&networks)?;
    let firewall = Firewall {
        nft: programs::nft(),
        ufw: programs::ufw(),
        firewalld: programs::firewalld(&served),
        only_iptables: programs::find("nft").is_none() && programs::find("iptables").is_some(),
        has_legacy_iptables: programs::has_legacy_rules(),
        interfaces: served,
        openings: ports::openings(known, need, &server),
    };
    let area = |area, findings| Area { area, findings };
    Ok(vec![
        area(
            "site",
            files::site_findings(&site_report(root, &loaded, &status), &server),
        ),
        area(
            "server",
            [
                account::findings(&account(config, &networks, &server), &server),
                account::operator_findings(root, config),
            ]
            .concat(),
        ),
        area(
            "state",
            files::state_findings(&state_report(&state), &server),
        ),
        area(
            "ports",
            match &ports {
                Ok(ports) => ports::findings(ports, need, &server),
                Err(error) => vec![DoctorFinding::error(error.clone())],
            },
        ),
        area(
            "interfaces and networks",
            networks::findings(&networks, &ports::programs_on(known, PortUse::Dhcp)),
        ),
        area("other DHCP servers", other_dhcp::findings(&probes)),
        area("firewall", firewall::findings(&firewall)),
        area("loaders", loaders::findings(&loader_reports(root, site))),
        area(
            "clock",
            clock::findings(&clock_reading(state.as_deref().ok())),
        ),
    ])
}

fn server_process(state: Option<&Path>, answers: bool) -> ServerProcess {
    let state = state.and_then(state::StateDirectory::existing);
    // Without read access to the journal's lock, a running server is only detected by its answer.
    let pid = state.and_then(|state| Lock::holding_process(&state.journal()).ok().flatten());
    let uid = nix::unistd::geteuid();
    ServerProcess {
        pid,
        answers,
        user: match uid.is_root() {
            true => "root".into(),
            false => format!("user {uid}"),
        },
        is_root: uid.is_root(),
    }
}

fn site_report(
    root: &Path,
    loaded: &Loaded,
    status: &CliResult<Option<(ApiClient, ServerStatus)>>,
) -> SiteReport {
    let count = |severity| {
        let all = loaded.diagnostics.iter();
        all.filter(|one| one.severity == severity).count()
    };
    let (status, query_error) = match status {
        Ok(status) => (status.as_ref().map(|(_, status)| status), None),
        Err(failure) => (None, Some(failure.message())),
    };
    let health = status.map(|status| status.health.clone());
    let directories =
        ["", "bootwright.toml", "policies.d", "templates"].map(|name| root.join(name));
    let polled = directories.into_iter().filter_map(|path| {
        // An error means that the path does not exist.
        let system = unwatchable_file_system(&path).ok()??;
        Some((path, system))
    });
    SiteReport {
        path: root.into(),
        errors: count(site::Severity::Error),
        warnings: count(site::Severity::Warning),
        nodes: loaded.nodes,
        health,
        is_rejected: status.is_some_and(|status| status.rejected.is_some()),
        query_error,
        polled: files::outermost_directories(polled.collect()),
    }
}

fn account(
    config: &ServerConfig,
    networks: &NetworksReport,
    server: &ServerProcess,
) -> ServerAccount {
    let process = server
        .pid
        .map_or_else(|| "self".into(), |pid| pid.to_string());
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let user = config.run.user.as_ref().map(|user| {
        let name = &user.value;
        (
            name.clone(),
            serve::user_ids(name).err().map(|error| error.to_string()),
        )
    });
    ServerAccount {
        privileges: status.ok().as_deref().and_then(ProcessPrivileges::read),
        user,
        has_qemu: programs::find("qemu-system-x86_64").is_some(),
        wants_dhcp: networks.wants_dhcp(),
    }
}

fn state_report(state: &io::Result<PathBuf>) -> StateDirReport {
    let path = match state {
        Ok(path) => path,
        Err(error) => {
            return StateDirReport {
                path: Err(error.to_string()),
                exists: false,
                error: None,
                free: None,
            };
        }
    };
    let exists = path.is_dir();
    // A missing directory would be created in its nearest existing ancestor.
    let existing = path
        .ancestors()
        .find(|above| above.exists())
        .unwrap_or(path);
    let privileges = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    let error = match existing.is_dir() {
        false => Some(format!("`{}` is not a directory", existing.display())),
        true => nix::unistd::access(existing, privileges)
            .err()
            .map(|error| error.desc().into()),
    };
    let stat = nix::sys::statvfs::statvfs(existing).ok();
    StateDirReport {
        path: Ok(path.clone()),
        exists,
        error,
        free: stat.map(|stat| stat.blocks_available() * stat.fragment_size()),
    }
}

fn networks_report(site: &site::Site) -> NetworksReport {
    let network = |network: &crate::model::Network| NetworkReport {
        name: network.name.value.to_string(),
        subnets: network
            .body
            .subnet
            .iter()
            .flat_map(|list| list.values())
            .map(|subnet| subnet.0)
            .collect(),
        mode: network.body.effective().dhcp,
    };
    let dhcp = &site.config.dhcp;
    NetworksReport {
        interfaces: interfaces::interfaces().map_err(|error| error.to_string()),
        networks: site.networks.values().map(|one| network(one)).collect(),
        chosen: dhcp
            .interfaces
            .as_ref()
            .map(|list| list.values().cloned().collect()),
        is_enabled: dhcp.effective().enabled,
    }
}

fn dhcp_needs(networks: &NetworksReport, config: &ServerConfig) -> DhcpNeeds {
    let has = |wanted: &[DhcpMode]| {
        let mut modes = networks.networks.iter().map(|network| network.mode);
        networks.is_enabled && modes.any(|mode| wanted.contains(&mode))
    };
    DhcpNeeds {
        addresses: has(&[DhcpMode::Reserve, DhcpMode::Server]),
        proxy: has(&[DhcpMode::Proxy]),
        port_67: config.dhcp.effective().port_67,
    }
}

/// The interfaces on which machines are served.
fn served_interfaces(networks: &NetworksReport) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (interface, _, _) in networks.served() {
        if !names.contains(&interface.name) {
            names.push(interface.name.clone());
        }
    }
    names
}

/// The error names the setting with an invalid address.
fn port_reports(config: &ServerConfig, server: &ServerProcess) -> Result<Vec<PortReport>, String> {
    let wanted = serve::listen_addresses(config).map_err(|error| error.to_string())?;
    let all = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let mut list = vec![
        (PortUse::Dhcp, Protocol::Udp, all(SERVER_PORT)),
        (PortUse::Pxe, Protocol::Udp, all(PXE_PORT)),
    ];
    list.extend(
        wanted
            .tftp
            .map(|address| (PortUse::Tftp, Protocol::Udp, address)),
    );
    let machines = wanted.machines.into_iter();
    list.extend(machines.map(|address| (PortUse::Machines, Protocol::Tcp, address)));
    list.push((PortUse::Operators, Protocol::Tcp, wanted.operators));
    let port = |(needed_for, protocol, address): (PortUse, Protocol, SocketAddr)| {
        let held = bound_sockets(protocol, address.port()).map_err(|error| error.to_string());
        let is_own = |pid: u32| Some(pid) == server.pid;
        let owners = held.iter().flatten().filter_map(|held| held.owner.as_ref());
        let is_shared = matches!(needed_for, PortUse::Dhcp | PortUse::Pxe);
        let bind_result = match owners.map(|holder| holder.pid).any(is_own) {
            true => None,
            false => Some(try_bind(protocol, address, is_shared).map_err(|error| error.kind())),
        };
        PortReport {
            needed_for,
            protocol,
            address,
            held,
            bind_result,
        }
    };
    Ok(list.into_iter().map(port).collect())
}

fn loader_reports(root: &Path, site: &site::Site) -> Vec<LoaderReport> {
    let found = serve::find_loaders(root, site);
    let needed = serve::needed_loaders(site);
    let named = site_loaders(site);
    let mut names: Vec<String> = Loader::ALL
        .iter()
        .map(|loader| loader.name.into())
        .collect();
    let of_site = named.iter().map(|(name, _)| name).chain(needed.keys());
    let of_site: BTreeSet<&String> = of_site
        .filter(|name| Loader::named(name).is_none())
        .collect();
    names.extend(of_site.into_iter().cloned());
    let dpkg = Dpkg::read();
    let report = |name: String| {
        let mut report = LoaderReport::missing(&name);
        let is_needed = needed.contains_key(&name);
        let by_site = named
            .iter()
            .find(|(loader, _)| *loader == name)
            .map(|(_, reason)| reason.clone());
        report.needed_by =
            by_site.or_else(|| is_needed.then(|| "machines of this site load it".into()));
        let Some(path) = found.get(&name) else {
            return report;
        };
        report.at = Some(path.into());
        report.from = report.package.and_then(|package| dpkg.owner(path, package));
        match found.read(&name) {
            Ok(file) => report.version = file.and_then(|file| version_of(&file.bytes)),
            Err(error) => report.error = Some(error.to_string()),
        }
        report
    };
    names.into_iter().map(report).collect()
}

/// The loaders that the site names, each with the network or node that does.
fn site_loaders(site: &site::Site) -> Vec<(String, String)> {
    let networks = site.networks.values().filter_map(|network| {
        let loader = network.body.loader.as_ref()?;
        Some((
            loader.value.clone(),
            format!("network {} uses it", network.name.value),
        ))
    });
    let nodes = site.nodes.values().filter_map(|node| {
        let loader = node.settings.loader.as_ref()?;
        Some((
            loader.value.clone(),
            format!("node {} uses it", node.name.value),
        ))
    });
    networks.chain(nodes).collect()
}

fn clock_reading(state: Option<&Path>) -> clock::ClockReading {
    let last = || -> io::Result<Option<Timestamp>> {
        let Some(state) = state.and_then(state::StateDirectory::existing) else {
            return Ok(None);
        };
        let line = match journal::last(&state.journal()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            line => line?,
        };
        let Some(line) = line else {
            return Ok(None);
        };
        let line: JournalTime = serde_json::from_str(&line)?;
        Ok(Some(line.at))
    };
    clock::ClockReading {
        now: now(),
        is_synchronised: serve::is_synchronised().map_err(|error| error.to_string()),
        last: last().map_err(|error| error.to_string()),
    }
}

/// The timestamp of a journal line.
#[derive(serde::Deserialize)]
struct JournalTime {
    at: Timestamp,
}
