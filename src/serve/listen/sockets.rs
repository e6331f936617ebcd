//! The sockets of a server, opened as its settings say.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use anyhow::Context;

use crate::{
    model::ServerConfig,
    net::{
        http::{self, Advertise, Guard, Limits, Listener},
        ports, tftp,
    },
    serve::Options,
};

/// Where machines are served when the site does not say it, and when that port cannot be had.
const PORTS: [u16; 2] = [80, 8080];

/// The sockets.
pub(crate) struct Listeners {
    pub(crate) machines: Listener,
    pub(crate) operators: Listener,
    pub(crate) guard: Guard,
    pub(crate) advertise: Advertise,
    pub(crate) limits: Limits,
    /// TFTP's socket, or why there is none.
    pub(crate) tftp: Result<tftp::TftpServer, String>,
}

impl Listeners {
    pub(crate) fn open(
        options: &Options,
        config: &ServerConfig,
        root: &Path,
        troubles: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let wanted = wanted(config)?;
        let machines = match (options.listen, &wanted.machines[..]) {
            (Some(address), _) | (None, &[address]) => listen(address)?,
            (None, _) => listen_by_default(troubles)?,
        };
        let operator = options.operator.unwrap_or(wanted.operators);
        let token = config.operator.token_file.as_ref().map(|file| {
            let path = root.join(&file.value);
            std::fs::read_to_string(&path)
                .with_context(|| format!("`{}` cannot be read", path.display()))
        });
        let guard = Guard::new(operator, token.transpose()?.as_deref())?;
        let texts = config
            .http
            .advertise
            .iter()
            .flat_map(|list| list.values().map(String::as_str));
        let mut limits = Limits::default();
        if let Some(connections) = &config.limits.connections {
            limits.connections = connections.value as usize;
        }
        if let Some(connections) = &config.limits.connections_per_address {
            limits.connections_per_address = connections.value as usize;
        }
        let files = limits.connections as u64 + 1_024;
        match http::allow_open_files(files) {
            Ok(allowed) if allowed < files => {
                troubles.push(format!(
                    "only {allowed} files may be open: fewer connections than `connections` fit"
                ));
            }
            Ok(_) => {}
            Err(error) => {
                troubles.push(format!("the limit of open files cannot be raised: {error}"))
            }
        }
        Ok(Listeners {
            machines,
            operators: listen(operator)?,
            guard,
            advertise: match options.throwaway {
                true => Advertise::default(),
                false => Advertise::parse(texts)?,
            },
            limits,
            tftp: if options.http_alone {
                Err("not started".into())
            } else {
                open_tftp(config)?
            },
        })
    }
}

/// Where a server listens, as its settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// For machines: one, or several of which the first that can be had is taken.
    pub(crate) machines: Vec<SocketAddr>,
    /// For operators.
    pub(crate) operators: SocketAddr,
    /// For TFTP; none when it is switched off.
    pub(crate) tftp: Option<SocketAddr>,
}

/// Reads where a server of these settings listens. An error names the setting that is no address.
pub(crate) fn wanted(config: &ServerConfig) -> anyhow::Result<Wanted> {
    let all = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let machines = match &config.http.listen {
        Some(address) => vec![address_of(&address.value, 80)?],
        None => PORTS.map(all).to_vec(),
    };
    let operators = match &config.operator.listen {
        Some(address) => address_of(&address.value, 8067)?,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 8067)),
    };
    let is_off = config.tftp.enabled.as_ref().is_some_and(|at| !at.value);
    let tftp = match &config.tftp.listen {
        _ if is_off => None,
        Some(address) => Some(address_of(&address.value, tftp::PORT)?),
        None => Some(all(tftp::PORT)),
    };
    Ok(Wanted {
        machines,
        operators,
        tftp,
    })
}

fn address_of(text: &str, port: u16) -> anyhow::Result<SocketAddr> {
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    text.parse()
        .with_context(|| format!("`{text}` is no address to listen on: expected such as `[::]:80`"))
}

fn listen(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address).with_context(|| format!("{address} cannot be listened on"))
}

/// TFTP's port. A site that does not name it does without where it cannot be had.
fn open_tftp(config: &ServerConfig) -> anyhow::Result<Result<tftp::TftpServer, String>> {
    let enabled = config.tftp.enabled.as_ref();
    if enabled.is_some_and(|at| !at.value) {
        return Ok(Err("switched off".into()));
    }
    if let Some(listen) = &config.tftp.listen {
        let address = address_of(&listen.value, tftp::PORT)?;
        let server = tftp::TftpServer::bind(address)
            .with_context(|| format!("TFTP cannot listen on {address}"))?;
        return Ok(Ok(server));
    }
    Ok(
        tftp_by_default().map_err(|error| match ports::udp_port_owner(tftp::PORT) {
            Some(holder) => format!("{holder} has port {}; it is retried every 10 s", tftp::PORT),
            None => format!(
                "cannot bind port {}: {error}; it is retried every 10 s",
                tftp::PORT
            ),
        }),
    )
}

/// TFTP's usual port, of both families where there are both.
pub(crate) fn tftp_by_default() -> std::io::Result<tftp::TftpServer> {
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, tftp::PORT));
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, tftp::PORT));
    tftp::TftpServer::bind(all).or_else(|_| tftp::TftpServer::bind(v4))
}

/// Port 80 where it can be had, else 8080, with a warning.
fn listen_by_default(troubles: &mut Vec<String>) -> anyhow::Result<Listener> {
    let [first, second] = PORTS.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    match Listener::bind(first) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let listener = listen(second)?;
            troubles.push(format!(
                "cannot bind port {} ({error}): machines are served on {}",
                PORTS[0], PORTS[1]
            ));
            Ok(listener)
        }
    }
}
