//! The operators' listener: JSON in, JSON out. A page and metrics may stand beside it.

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Request, Uri,
    body::{Bytes, Incoming},
    header::{ALLOW, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use super::{
    ApiError, Backend, Guard, Limits, Listener, OperatorCommand, OperatorQuery, Stop,
    answer::{self, HttpResponse, closing, with},
    connection, listen,
    query::{self, unescaped},
};

/// An order's body is no longer than this.
const LONGEST_ORDER: usize = 16 << 10;

/// How the operators' listener is set up.
#[derive(Debug, Clone)]
pub struct OperatorListenerConfig {
    /// Who may ask.
    pub guard: Guard,
    /// The bounds.
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
    let desk = Arc::new(OperatorHandler { backend, config });
    let serve = |stream, address| desk.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// What all connections share.
struct OperatorHandler<B> {
    backend: Arc<B>,
    config: OperatorListenerConfig,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum OperatorRoute {
    /// A question.
    Query(OperatorQuery),
    /// A machine's log as it grows.
    Follow { node: String, after: Option<String> },
    /// An order to one machine, which the body completes.
    Node { node: String, verb: NodeCommand },
    /// An order that is complete.
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

/// The body of an order that needs none.
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
    /// Reads a path: every one of this listener is written here.
    fn read(uri: &Uri) -> Option<OperatorRoute> {
        let path = uri.path().strip_prefix("/api/v1/")?;
        let steps: Vec<&str> = path.split('/').collect();
        Some(match steps.as_slice() {
            ["nodes"] => OperatorRoute::Query(OperatorQuery::Nodes),
            ["ansible-inventory"] => OperatorRoute::Query(OperatorQuery::Inventory),
            ["status"] => OperatorRoute::Query(OperatorQuery::Status),
            ["pause"] => OperatorRoute::Command(OperatorCommand::Pause),
            ["resume"] => OperatorRoute::Command(OperatorCommand::Resume),
            ["release-all"] => OperatorRoute::Command(OperatorCommand::ReleaseAll),
            ["nodes", node] => OperatorRoute::Query(OperatorQuery::Node(name(node)?)),
            ["nodes", node, of_node] => OperatorRoute::of_node(name(node)?, of_node, uri.query())?,
            _ => return None,
        })
    }

    fn of_node(node: String, step: &str, query: Option<&str>) -> Option<OperatorRoute> {
        let verb = match step {
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
        Some(OperatorRoute::Node { node, verb })
    }

    fn of_log(node: String, query: Option<&str>) -> OperatorRoute {
        let after = query::value(query, "after").map(|after| query::told(&after, 100));
        match query::value(query, "follow").as_deref() {
            Some(b"true" | b"1") => OperatorRoute::Follow { node, after },
            _ => OperatorRoute::Query(OperatorQuery::Log { node, after }),
        }
    }

    /// The method that the path takes.
    fn method(&self) -> &'static str {
        match self {
            OperatorRoute::Query(_) | OperatorRoute::Follow { .. } => "GET",
            OperatorRoute::Node { .. } | OperatorRoute::Command(_) => "POST",
        }
    }
}

/// Reads a machine's name or MAC.
fn name(step: &str) -> Option<String> {
    let name = String::from_utf8(unescaped(step).into_owned()).ok()?;
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!name.is_empty() && name.chars().all(sound)).then_some(name)
}

impl NodeCommand {
    /// Makes an order of what the body says.
    fn command(self, node: String, body: &[u8]) -> Result<OperatorCommand, ApiError> {
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

/// Reads a body as JSON. None at all says as much as an empty object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(400, format!("the body is not what is expected: {error}")))
}

impl<B: Backend> OperatorHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, _address: SocketAddr, stop: Stop) {
        let limits = &self.config.limits;
        connection::serve(stream, limits, stop, |request| self.answer(request)).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> HttpResponse {
        let chunked = connection::is_chunked(&request);
        let (parts, body) = request.into_parts();
        if chunked {
            return closing(answer::refusal(ApiError::new(
                411,
                "the body has no length",
            )));
        }
        if let Err(refusal) = self.config.guard.admit(&parts) {
            return answer::refusal(refusal);
        }
        let Some(route) = OperatorRoute::read(&parts.uri) else {
            return answer::refusal(ApiError::new(404, "nothing is here"));
        };
        let method = route.method();
        if parts.method != method {
            let refusal = ApiError::new(405, format!("this is asked by {method}"));
            let allowed = HeaderValue::from_static(method);
            return with(answer::refusal(refusal), ALLOW, allowed);
        }
        self.carry_out(route, body)
            .await
            .unwrap_or_else(answer::refusal)
    }

    async fn carry_out(
        &self,
        route: OperatorRoute,
        body: Incoming,
    ) -> Result<HttpResponse, ApiError> {
        match route {
            OperatorRoute::Query(query @ OperatorQuery::Log { .. }) => {
                self.backend.query(query).await.map(answer::json_lines)
            }
            OperatorRoute::Query(query) => self.backend.query(query).await.map(answer::json),
            OperatorRoute::Follow { node, after } => self
                .backend
                .follow(node, after)
                .await
                .map(answer::following),
            OperatorRoute::Command(command) => {
                parse(&self.body(body).await?).map(|EmptyBody {}| ())?;
                self.backend.command(command).await.map(answer::json)
            }
            OperatorRoute::Node { node, verb } => {
                let command = verb.command(node, &self.body(body).await?)?;
                self.backend.command(command).await.map(answer::json)
            }
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, ApiError> {
        let limits = &self.config.limits;
        Ok(connection::whole_body(body, LONGEST_ORDER, limits).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_to_one_thing() {
        let question = |query| Some(OperatorRoute::Query(query));
        let node = |verb| {
            Some(OperatorRoute::Node {
                node: "esx01".into(),
                verb,
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
            assert_eq!(OperatorRoute::read(&uri.parse().unwrap()), route, "{uri}");
        }
    }

    #[test]
    fn a_body_completes_an_order() {
        let node = || String::from("esx01");
        let hold = |reason: Option<&str>| {
            let (node, reason) = (node(), reason.map(Into::into));
            OperatorCommand::Hold { node, reason }
        };
        for (verb, body, order) in [
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
            assert_eq!(verb.command(node(), body.as_bytes()), Ok(order), "{body}");
        }
        for (verb, body) in [
            (NodeCommand::Mark, "{}"),
            (NodeCommand::Hold, r#"{"why":""}"#),
            (NodeCommand::Reinstall, "["),
        ] {
            assert_eq!(
                verb.command(node(), body.as_bytes()).unwrap_err().status,
                400,
                "{body}"
            );
        }
    }
}
