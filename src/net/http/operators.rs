//! The operators' listener: the JSON API.

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Request, Uri,
    body::{Bytes, Incoming},
    header::{ALLOW, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use super::{
    ApiError, Backend, Guard, Limits, Listener, OperatorCommand, OperatorQuery, Stop, connection,
    listen,
    query::{self, percent_decoded},
    response::{self, HttpResponse, closing, with},
};

/// The largest body of a command in bytes.
const MAX_COMMAND: usize = 16 << 10;

#[derive(Debug, Clone)]
pub struct OperatorListenerConfig {
    pub guard: Guard,
    pub limits: Limits,
}

/// Serves operators until `stop`.
pub async fn serve_operators<B: Backend>(
    listener: Listener,
    backend: Arc<B>,
    config: OperatorListenerConfig,
    stop: Stop,
) {
    let limits = config.limits;
    let handler = Arc::new(OperatorHandler { backend, config });
    let serve = |stream, address| handler.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// Shared by all connections.
struct OperatorHandler<B> {
    backend: Arc<B>,
    config: OperatorListenerConfig,
}

#[derive(Debug, PartialEq, Eq)]
enum OperatorRoute {
    Query(OperatorQuery),
    /// A machine's log, including new entries.
    Follow {
        node: String,
        after: Option<String>,
    },
    /// A command for one machine, with its parameters in the body.
    Node {
        node: String,
        command: NodeCommand,
    },
    /// A command without a machine and parameters.
    Command(OperatorCommand),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NodeCommand {
    Reinstall,
    Hold,
    Release,
    Mark,
    Forget,
    PowerOff,
}

/// The body of a command without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

/// The body of `hold`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    reason: Option<String>,
}

/// The body of `mark`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkBody {
    state: String,
}

/// The body of `forget`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ForgetBody {
    #[serde(default)]
    wipe_allowed: bool,
}

impl OperatorRoute {
    /// Parses a path.
    fn parse(uri: &Uri) -> Option<OperatorRoute> {
        let path = uri.path().strip_prefix("/api/v1/")?;
        let segments: Vec<&str> = path.split('/').collect();
        Some(match segments.as_slice() {
            ["nodes"] => OperatorRoute::Query(OperatorQuery::Nodes),
            ["ansible-inventory"] => OperatorRoute::Query(OperatorQuery::Inventory),
            ["status"] => OperatorRoute::Query(OperatorQuery::Status),
            ["pause"] => OperatorRoute::Command(OperatorCommand::Pause),
            ["resume"] => OperatorRoute::Command(OperatorCommand::Resume),
            ["release-all"] => OperatorRoute::Command(OperatorCommand::ReleaseAll),
            ["nodes", node] => OperatorRoute::Query(OperatorQuery::Node(name(node)?)),
            ["nodes", node, last] => OperatorRoute::of_node(name(node)?, last, uri.query())?,
            _ => return None,
        })
    }

    fn of_node(node: String, last: &str, query: Option<&str>) -> Option<OperatorRoute> {
        let command = match last {
            "facts" => return Some(OperatorRoute::Query(OperatorQuery::Facts(node))),
            "explain" => return Some(OperatorRoute::Query(OperatorQuery::Explain(node))),
            "log" => return Some(OperatorRoute::of_log(node, query)),
            "reinstall" => NodeCommand::Reinstall,
            "hold" => NodeCommand::Hold,
            "release" => NodeCommand::Release,
            "mark" => NodeCommand::Mark,
            "forget" => NodeCommand::Forget,
            "power-off" => NodeCommand::PowerOff,
            _ => return None,
        };
        Some(OperatorRoute::Node { node, command })
    }

    fn of_log(node: String, query: Option<&str>) -> OperatorRoute {
        let after = query::value(query, "after").map(|after| query::printable(&after, 100));
        match query::value(query, "follow").as_deref() {
            Some(b"true" | b"1") => OperatorRoute::Follow { node, after },
            _ => OperatorRoute::Query(OperatorQuery::Log { node, after }),
        }
    }

    fn method(&self) -> &'static str {
        match self {
            OperatorRoute::Query(_) | OperatorRoute::Follow { .. } => "GET",
            OperatorRoute::Node { .. } | OperatorRoute::Command(_) => "POST",
        }
    }
}

/// Parses a machine's name or MAC.
fn name(segment: &str) -> Option<String> {
    let name = String::from_utf8(percent_decoded(segment.as_bytes()).into_owned()).ok()?;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!name.is_empty() && name.chars().all(is_valid)).then_some(name)
}

impl NodeCommand {
    /// The command with the parameters of the body.
    fn with_body(self, node: String, body: &[u8]) -> Result<OperatorCommand, ApiError> {
        Ok(match self {
            NodeCommand::Reinstall => {
                parse(body).map(|EmptyBody {}| OperatorCommand::Reinstall(node))?
            }
            NodeCommand::PowerOff => {
                parse(body).map(|EmptyBody {}| OperatorCommand::PowerOff(node))?
            }
            NodeCommand::Release => {
                parse(body).map(|EmptyBody {}| OperatorCommand::Release(node))?
            }
            NodeCommand::Hold => {
                parse(body).map(|HoldBody { reason }| OperatorCommand::Hold { node, reason })?
            }
            NodeCommand::Mark => {
                parse(body).map(|MarkBody { state }| OperatorCommand::Mark { node, state })?
            }
            NodeCommand::Forget => parse(body).map(|ForgetBody { wipe_allowed }| {
                OperatorCommand::Forget { node, wipe_allowed }
            })?,
        })
    }
}

/// Parses a JSON body. An empty body counts as an empty object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(400, format!("invalid body: {error}")))
}

impl<B: Backend> OperatorHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, _address: SocketAddr, stop: Stop) {
        let limits = &self.config.limits;
        connection::serve(stream, limits, stop, |request| self.respond(request)).await;
    }

    async fn respond(&self, request: Request<Incoming>) -> HttpResponse {
        let chunked = connection::is_chunked(&request);
        let (parts, body) = request.into_parts();
        if chunked {
            return closing(response::api_error(ApiError::new(
                411,
                "Content-Length required",
            )));
        }
        if let Err(error) = self.config.guard.check(&parts) {
            return response::api_error(error);
        }
        let Some(route) = OperatorRoute::parse(&parts.uri) else {
            return response::api_error(ApiError::new(404, "not found"));
        };
        let method = route.method();
        if parts.method != method {
            let error = ApiError::new(405, format!("method not allowed (use {method})"));
            let allowed = HeaderValue::from_static(method);
            return with(response::api_error(error), ALLOW, allowed);
        }
        self.carry_out(route, body)
            .await
            .unwrap_or_else(response::api_error)
    }

    async fn carry_out(
        &self,
        route: OperatorRoute,
        body: Incoming,
    ) -> Result<HttpResponse, ApiError> {
        match route {
            OperatorRoute::Query(query @ OperatorQuery::Log { .. }) => {
                self.backend.query(query).await.map(response::json_lines)
            }
            OperatorRoute::Query(query) => self.backend.query(query).await.map(response::json),
            OperatorRoute::Follow { node, after } => self
                .backend
                .follow(node, after)
                .await
                .map(response::json_stream),
            OperatorRoute::Command(command) => {
                parse(&self.body(body).await?).map(|EmptyBody {}| ())?;
                self.backend.command(command).await.map(response::json)
            }
            OperatorRoute::Node { node, command } => {
                let command = command.with_body(node, &self.body(body).await?)?;
                self.backend.command(command).await.map(response::json)
            }
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, ApiError> {
        let limits = &self.config.limits;
        Ok(connection::whole_body(body, MAX_COMMAND, limits).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_route() {
        let question = |query| Some(OperatorRoute::Query(query));
        let node = |command| {
            Some(OperatorRoute::Node {
                node: "esx01".into(),
                command,
            })
        };
        let log = |after: Option<&str>| {
            let (node, after) = ("esx01".into(), after.map(Into::into));
            OperatorQuery::Log { node, after }
        };
        for (uri, route) in [
            ("/api/v1/nodes", question(OperatorQuery::Nodes)),
            ("/api/v1/status", question(OperatorQuery::Status)),
            (
                "/api/v1/ansible-inventory",
                question(OperatorQuery::Inventory),
            ),
            (
                "/api/v1/nodes/esx01",
                question(OperatorQuery::Node("esx01".into())),
            ),
            (
                "/api/v1/nodes/00%3A50:56:aa:bb:01",
                question(OperatorQuery::Node("00:50:56:aa:bb:01".into())),
            ),
            ("/api/v1/nodes/esx01/log", question(log(None))),
            (
                "/api/v1/nodes/esx01/log?after=12%2F3",
                question(log(Some("12/3"))),
            ),
            (
                "/api/v1/nodes/esx01/log?follow=true&after=7",
                Some(OperatorRoute::Follow {
                    node: "esx01".into(),
                    after: Some("7".into()),
                }),
            ),
            (
                "/api/v1/nodes/esx01/facts",
                question(OperatorQuery::Facts("esx01".into())),
            ),
            (
                "/api/v1/nodes/esx01/explain",
                question(OperatorQuery::Explain("esx01".into())),
            ),
            (
                "/api/v1/nodes/esx01/reinstall",
                node(NodeCommand::Reinstall),
            ),
            ("/api/v1/nodes/esx01/forget", node(NodeCommand::Forget)),
            ("/api/v1/nodes/esx01/power-off", node(NodeCommand::PowerOff)),
            (
                "/api/v1/pause",
                Some(OperatorRoute::Command(OperatorCommand::Pause)),
            ),
            (
                "/api/v1/resume",
                Some(OperatorRoute::Command(OperatorCommand::Resume)),
            ),
            (
                "/api/v1/release-all",
                Some(OperatorRoute::Command(OperatorCommand::ReleaseAll)),
            ),
            ("/api/v1/nodes/", None),
            ("/api/v1/nodes/a%20b", None),
            ("/api/v1/nodes/esx01/format", None),
            ("/api/v2/nodes", None),
            ("/", None),
        ] {
            assert_eq!(OperatorRoute::parse(&uri.parse().unwrap()), route, "{uri}");
        }
    }

    #[test]
    fn the_body_has_the_parameters_of_a_command() {
        let node = || String::from("esx01");
        let hold = |reason: Option<&str>| {
            let (node, reason) = (node(), reason.map(Into::into));
            OperatorCommand::Hold { node, reason }
        };
        for (command, body, expected) in [
            (NodeCommand::Hold, "", hold(None)),
            (
                NodeCommand::Hold,
                r#"{"reason":"new disk"}"#,
                hold(Some("new disk")),
            ),
            (
                NodeCommand::Reinstall,
                "{}",
                OperatorCommand::Reinstall(node()),
            ),
            (NodeCommand::Release, "", OperatorCommand::Release(node())),
            (
                NodeCommand::Mark,
                r#"{"state":"installed"}"#,
                OperatorCommand::Mark {
                    node: node(),
                    state: "installed".into(),
                },
            ),
            (
                NodeCommand::Forget,
                "{}",
                OperatorCommand::Forget {
                    node: node(),
                    wipe_allowed: false,
                },
            ),
            (
                NodeCommand::Forget,
                r#"{"wipe-allowed":true}"#,
                OperatorCommand::Forget {
                    node: node(),
                    wipe_allowed: true,
                },
            ),
        ] {
            assert_eq!(
                command.with_body(node(), body.as_bytes()),
                Ok(expected),
                "{body}"
            );
        }
        for (command, body) in [
            (NodeCommand::Mark, "{}"),
            (NodeCommand::Hold, r#"{"why":""}"#),
            (NodeCommand::Reinstall, "["),
        ] {
            assert_eq!(
                command
                    .with_body(node(), body.as_bytes())
                    .unwrap_err()
                    .status,
                400,
                "{body}"
            );
        }
    }
}
