//! The running server's operator API.

use std::{
    fs,
    io::{BufReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, anyhow};
use ureq::{
    Agent, Body,
    http::Response,
    unversioned::{
        resolver::DefaultResolver,
        transport::{Connector, TcpConnector},
    },
};

use super::{
    answer::parse_answer,
    client_tls,
    failure::{CliResult, Failure},
    operator_token::TokenSearch,
};
use crate::{
    api::{ApiError, ApiRequest, Command, CommandReply, HttpForm, PageLink, Query, ServerStatus},
    disk::{self, journal::Lock},
    model::ServerConfig,
    serve,
    site::{CONFIG, LoadCache, SiteFiles, read_config},
};

/// The operator API's default port.
const DEFAULT_PORT: u16 = 8067;

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// A connection to the operator API.
#[derive(Debug, Clone)]
pub(super) struct ApiClient {
    base: String,
    tokens: TokenSearch,
    /// Which of the tokens found the server accepts.
    chosen: usize,
    agent: Agent,
}

impl ApiClient {
    /// Finds the running server of the site at `site`, and its status; `None` if no server of this site answers. If
    /// `site` is not a site, any server that answers is accepted.
    pub(super) fn find(site: &Path) -> CliResult<Option<(ApiClient, ServerStatus)>> {
        let mut client = ApiClient::of(site)?;
        let mut response = match client.sent(&ApiRequest::Query(Query::Status)) {
            Ok(response) => response,
            Err(error) => {
                return match client_tls::refusal(&error) {
                    Some(reason) => Err(Failure::unreachable(anyhow!(
                        "no secure connection to the server at {}: {reason}",
                        client.base
                    ))),
                    None => Ok(None),
                };
            }
        };
        // A server that root started has another state directory than one of this user.
        while response.status() == 401 && client.chosen + 1 < client.tokens.found.len() {
            client.chosen += 1;
            response = client.request(&ApiRequest::Query(Query::Status))?;
        }
        let status: Option<ServerStatus> = match response.status().as_u16() {
            200 => serde_json::from_slice(&client.body(response)?).ok(),
            // The token of this site is readable, and its server is not running.
            401 if is_of_another_site(site)? && !client.tokens.is_unreadable() => None,
            401 | 403 => return Err(client.refusal(response)),
            _ => None,
        };
        // Another site's server, or another program, may listen there.
        let ours = status.filter(|status| is_served(status, site));
        Ok(ours.map(|status| (client, status)))
    }

    fn of(site: &Path) -> CliResult<ApiClient> {
        let config = config(site)?;
        let listen = config.operator.effective().listen;
        let address = reachable(&listen, DEFAULT_PORT);
        let (scheme, agent) = match client_tls::connector(site, &config)? {
            None => ("http", agent_config().into()),
            Some(tls) => {
                let connector = ().chain(TcpConnector::default()).chain(tls);
                let resolver = DefaultResolver::default();
                (
                    "https",
                    Agent::with_parts(agent_config(), connector, resolver),
                )
            }
        };
        Ok(ApiClient {
            base: format!("{scheme}://{address}"),
            tokens: TokenSearch::of_site(site, &config)?,
            chosen: 0,
            agent,
        })
    }

    /// The temporary server whose operator API listens at `address`, with its state directory.
    pub(super) fn of_temporary(address: SocketAddr, state: &Path) -> ApiClient {
        ApiClient {
            base: format!("http://{address}"),
            tokens: TokenSearch::of_state(state),
            chosen: 0,
            agent: agent_config().into(),
        }
    }

    /// Returns the answer to a query: JSON, or a log.
    pub(super) fn query(&self, query: &Query) -> CliResult<Vec<u8>> {
        self.body(self.request(&ApiRequest::Query(query.clone()))?)
    }

    /// Streams a machine's log, including entries that are written later.
    pub(super) fn follow(&self, node: &str) -> CliResult<BufReader<impl Read + use<>>> {
        let (node, after) = (node.into(), None);
        let response = self.request(&ApiRequest::Follow { node, after })?;
        if response.status() == 200 {
            return Ok(BufReader::new(response.into_body().into_reader()));
        }
        Err(self.refusal(response))
    }

    pub(super) fn send(&self, command: Command) -> CliResult<CommandReply> {
        parse_answer(&self.body(self.request(&ApiRequest::Command(command))?)?)
    }

    /// Returns a one-time link to the page, and its validity in seconds.
    pub(super) fn page_link(&self) -> CliResult<(String, u64)> {
        let link: PageLink = parse_answer(&self.body(self.request(&ApiRequest::PageLink)?)?)?;
        Ok((format!("{}{}", self.base, link.path), link.seconds))
    }

    fn request(&self, request: &ApiRequest) -> CliResult<Response<Body>> {
        self.sent(request).map_err(|error| {
            Failure::unreachable(anyhow!(
                "lost the connection to the server at {}: {error}",
                self.base
            ))
        })
    }

    fn sent(&self, request: &ApiRequest) -> Result<Response<Body>, ureq::Error> {
        let HttpForm {
            method,
            target,
            body,
        } = request.to_http();
        let url = format!("{}{target}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(found) = self.tokens.found.get(self.chosen) {
            let token = format!("Bearer {}", found.token.expose());
            request = request.header("Authorization", token);
        }
        match body.is_empty() {
            true => self.agent.run(request.body(())?),
            false => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(body)?)
            }
        }
    }

    fn body(&self, response: Response<Body>) -> CliResult<Vec<u8>> {
        if response.status() != 200 {
            return Err(self.refusal(response));
        }
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(MAX_ANSWER_BYTES);
        reader
            .read_to_end(&mut body)
            .context("the server's answer is incomplete")?;
        Ok(body)
    }

    fn refusal(&self, response: Response<Body>) -> Failure {
        let status = response.status();
        if status == 401 {
            return match self.tokens.found.is_empty() {
                true => self.tokens.failure(&self.base),
                false => self.tokens.not_accepted(&self.base),
            };
        }
        let mut body = Vec::new();
        let read = response
            .into_body()
            .into_reader()
            .take(1 << 16)
            .read_to_end(&mut body);
        let refused = read
            .ok()
            .and_then(|_| serde_json::from_slice::<ApiError>(&body).ok());
        match refused {
            Some(refused) if status == 403 => Failure::refused(anyhow!(
                "the server at {} denied access: {refused}",
                self.base
            ))
            .maybe_help(refused.help),
            Some(refused) => Failure::refused(anyhow!("{refused}")).maybe_help(refused.help),
            None => Failure::unreachable(anyhow!("the server at {} answered {status}", self.base)),
        }
    }
}

/// Whether a server that denies access is one of another site: no server has this site's journal open.
fn is_of_another_site(site: &Path) -> CliResult<bool> {
    let config = config(site)?;
    // Without HOME there is no state directory, and a journal without a lock was never written.
    let state = serve::state_path(site, &config).ok();
    let holder = state.and_then(|state| Lock::holder(&state.join("journal")).ok().flatten());
    Ok(config.operator.token_file.is_none() && is_site(site) && holder.is_none())
}

/// Whether the server with this status serves the site at `site`.
fn is_served(status: &ServerStatus, site: &Path) -> bool {
    if status.site.is_empty() {
        return false;
    }
    match (fs::canonicalize(&status.site), fs::canonicalize(site)) {
        (Ok(theirs), Ok(ours)) => theirs == ours || !is_site(site),
        // A server in a container has its site at another path.
        _ => true,
    }
}

/// Whether the directory is a site.
pub(super) fn is_site(site: &Path) -> bool {
    site.join("bootwright.toml").exists() || site.join("policies.d").is_dir()
}

/// The error if it is not.
pub(super) fn no_site(site: &Path) -> Failure {
    let shown = site.display();
    Failure::unreachable(anyhow!(
        "`{shown}` is not a site: it has neither bootwright.toml nor policies.d/"
    ))
    .help("name the site with --site DIR or BOOTWRIGHT_SITE, or create one: `bootwright init DIR`")
}

fn agent_config() -> ureq::config::Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(3)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .build()
}

/// The settings of a site's `bootwright.toml`. Invalid settings are skipped; `check` reports them.
pub(super) fn config(site: &Path) -> CliResult<ServerConfig> {
    let mut files = SiteFiles::default();
    let read = disk::site::read_config(site)
        .with_context(|| format!("cannot read `{}`", site.join(CONFIG).display()));
    if let Some(content) = read.map_err(Failure::unreachable)? {
        files.content.insert(CONFIG.into(), content.into());
    }
    let (config, _) = read_config(&files, &mut LoadCache::default());
    Ok((*config).clone())
}

/// The address for connecting to a listener from this host: loopback for a listener on all addresses.
pub(super) fn reachable(listen: &str, port: u16) -> String {
    let bare = listen.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    let Ok(address) = bare.or_else(|_| listen.parse()) else {
        return listen.into();
    };
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_loopback() {
        for (listen, expected) in [
            ("127.0.0.1:8067", "127.0.0.1:8067"),
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("::1", "[::1]:8067"),
            ("127.0.0.1", "127.0.0.1:8067"),
        ] {
            assert_eq!(reachable(listen, DEFAULT_PORT), expected);
        }
    }
}
