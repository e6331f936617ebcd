//! The sockets of a server, opened according to its settings.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};

use anyhow::Context;

use crate::{
    model::ServerConfig,
    net::{
        http::{self, Advertise, Guard, Limits, Listener, tls::Tls},
        ports, tftp,
    },
    serve::Options,
};

/// The default HTTP port for machines, and the port that is used if that cannot be bound.
const DEFAULT_PORTS: [u16; 2] = [80, 8080];

/// The open sockets.
pub(crate) struct Listeners {
    pub(crate) machines: Listener,
    pub(crate) operators: Listener,
    pub(crate) guard: Guard,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) advertise: Advertise,
    pub(crate) limits: Limits,
    /// The TFTP socket, or why it is not open.
    pub(crate) tftp: Result<tftp::TftpServer, String>,
}

impl Listeners {
    pub(crate) fn open(
        options: &Options,
        config: &ServerConfig,
        guard: Guard,
        tls: Option<Tls>,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let listen_addresses = listen_addresses(config)?;
        let machines = match (options.listen, &listen_addresses.machines[..]) {
            (Some(address), _) | (None, &[address]) => listen(address)?,
            (None, _) => listen_by_default(warnings)?,
        };
        let operator = options.operator.unwrap_or(listen_addresses.operators);
        let texts = config
            .http
            .advertise
            .iter()
            .flat_map(|list| list.values().map(String::as_str));
        let of_site = config.limits.effective();
        let limits = Limits {
            connections: of_site.connections as usize,
            connections_per_address: of_site.connections_per_address as usize,
            ..Limits::default()
        };
        let files = limits.connections as u64 + 1_024;
        match http::allow_open_files(files) {
            Ok(allowed) if allowed < files => {
                warnings.push(format!(
                    "only {allowed} open files are allowed, which is too few for `connections`: raise the limit of open \
                     files (RLIMIT_NOFILE)"
                ));
            }
            Ok(_) => {}
            Err(error) => warnings.push(format!("cannot raise the limit of open files: {error}")),
        }
        Ok(Listeners {
            machines,
            operators: listen(operator)?,
            guard: match tls {
                Some(_) => guard.with_tls(),
                None => guard,
            },
            tls: tls.map(Arc::new),
            advertise: match options.throwaway {
                true => Advertise::default(),
                false => Advertise::parse(texts)?,
            },
            limits,
            tftp: if options.http_only {
                Err("not started".into())
            } else {
                open_tftp(config)?
            },
        })
    }
}

/// The addresses that a server listens on according to its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAddresses {
    /// HTTP for machines. The first address that can be bound is used.
    pub(crate) machines: Vec<SocketAddr>,
    /// HTTP for operators.
    pub(crate) operators: SocketAddr,
    /// TFTP. `None` if it is disabled.
    pub(crate) tftp: Option<SocketAddr>,
}

/// Returns the addresses that a server with these settings listens on.
pub(crate) fn listen_addresses(config: &ServerConfig) -> anyhow::Result<ListenAddresses> {
    let all = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let machines = match &config.http.listen {
        Some(address) => vec![address_of(&address.value, 80)?],
        None => DEFAULT_PORTS.map(all).to_vec(),
    };
    let operators = address_of(&config.operator.effective().listen, 8067)?;
    let is_off = !config.tftp.effective().enabled;
    let tftp = match &config.tftp.listen {
        _ if is_off => None,
        Some(address) => Some(address_of(&address.value, tftp::PORT)?),
        None => Some(all(tftp::PORT)),
    };
    Ok(ListenAddresses {
        machines,
        operators,
        tftp,
    })
}

fn address_of(text: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    text.parse().with_context(|| {
        format!("`{text}` is not a listen address: expected one such as `[::]:80`")
    })
}

fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Opens the TFTP socket. Failing to bind is an error only if the site sets the address.
fn open_tftp(config: &ServerConfig) -> anyhow::Result<Result<tftp::TftpServer, String>> {
    if !config.tftp.effective().enabled {
        return Ok(Err("disabled by `tftp.enabled`".into()));
    }
    let transfers = tftp_ports(config);
    if let Some(listen) = &config.tftp.listen {
        let address = address_of(&listen.value, tftp::PORT)?;
        let server = tftp::TftpServer::bind(address, transfers)
            .with_context(|| format!("cannot listen on {address} for TFTP"))?;
        return Ok(Ok(server));
    }
    Ok(
        tftp_by_default(transfers).map_err(|error| match ports::udp_port_owner(tftp::PORT) {
            Some(owner) => format!(
                "port {} is in use by {owner}; binding is retried every 10 s",
                tftp::PORT
            ),
            None => format!(
                "cannot bind port {}: {error}; binding is retried every 10 s",
                tftp::PORT
            ),
        }),
    )
}

/// The ports of TFTP transfers, if the site sets them.
pub(crate) fn tftp_ports(config: &ServerConfig) -> Option<RangeInclusive<u16>> {
    config.tftp.ports.as_ref().map(|ports| ports.value.ports())
}

/// Binds the standard TFTP port, for IPv6 and IPv4, or only for IPv4 if there is no IPv6.
pub(crate) fn tftp_by_default(
    transfers: Option<RangeInclusive<u16>>,
) -> std::io::Result<tftp::TftpServer> {
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, tftp::PORT));
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, tftp::PORT));
    tftp::TftpServer::bind(all, transfers.clone())
        .or_else(|_| tftp::TftpServer::bind(v4, transfers))
}

/// Binds port 80, or port 8080 with a warning if port 80 is not available.
fn listen_by_default(warnings: &mut Vec<String>) -> anyhow::Result<Listener> {
    let [first, second] = DEFAULT_PORTS.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    match Listener::bind(first) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let listener = listen(second)?;
            warnings.push(format!(
                "cannot bind port {} ({error}): machines are served on {}",
                DEFAULT_PORTS[0], DEFAULT_PORTS[1]
            ));
            Ok(listener)
        }
    }
}
