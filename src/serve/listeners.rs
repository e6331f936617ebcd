//! The sockets of a server, opened as its settings say.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use anyhow::Context;

use super::Options;
use crate::{
    model::ServerConfig,
    net::http::{self, Advertise, Guard, Limits, Listener},
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
}

impl Listeners {
    pub(crate) fn open(
        options: &Options,
        config: &ServerConfig,
        root: &Path,
        troubles: &mut Vec<String>,
    ) -> anyhow::Result<Self> {
        let machines = match (options.listen, &config.http.listen) {
            (Some(address), _) => listen(address)?,
            (None, Some(address)) => listen(address_of(&address.value, 80)?)?,
            (None, None) => listen_by_default(troubles)?,
        };
        let operator = match (options.operator, &config.operator.listen) {
            (Some(address), _) => address,
            (None, Some(address)) => address_of(&address.value, 8067)?,
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 8067)),
        };
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
            advertise: Advertise::read(texts)?,
            limits,
        })
    }
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

/// Port 80 where it can be had, else 8080, with a warning.
fn listen_by_default(troubles: &mut Vec<String>) -> anyhow::Result<Listener> {
    let [first, second] = PORTS.map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    match Listener::bind(first) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let listener = listen(second)?;
            troubles.push(format!(
                "port {} cannot be had ({error}): machines are served on {}",
                PORTS[0], PORTS[1]
            ));
            Ok(listener)
        }
    }
}
