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
    Backend, Guard, Limits, Listener, Order, Question, Refusal, Stop,
    answer::{self, Answer, closing, with},
    connection, listen,
    query::{self, unescaped},
};

/// An order's body is no longer than this.
const LONGEST_ORDER: usize = 16 << 10;

/// How the operators' listener is set up.
#[derive(Debug, Clone)]
pub struct Operators {
    /// Who may ask.
    pub guard: Guard,
    /// The bounds.
    pub limits: Limits,
}

/// Serves operators until `stop`.
pub async fn operators<B: Backend>(
    listener: Listener,
    backend: Arc<B>,
    operators: Operators,
    stop: Stop,
) {
    let limits = operators.limits;
    let desk = Arc::new(Desk { backend, operators });
    let serve = |stream, address| desk.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// What all connections share.
struct Desk<B> {
    backend: Arc<B>,
    operators: Operators,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// A question.
    Question(Question),
    /// A machine's log as it grows.
    Follow { node: String, after: Option<String> },
    /// An order to one machine, which the body completes.
    Node { node: String, verb: Verb },
    /// An order that is complete.
    Order(Order),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
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
struct Nothing {}

/// The body of `hold`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    reason: Option<String>,
}

/// The body of `mark`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    state: String,
}

/// The body of `forget`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Forget {
    #[serde(default)]
    wipe_allowed: bool,
}

impl Route {
    /// Reads a path: every one of this listener is written here.
    fn read(uri: &Uri) -> Option<Route> {
        let path = uri.path().strip_prefix("/api/v1/")?;
        let steps: Vec<&str> = path.split('/').collect();
        Some(match steps.as_slice() {
            ["nodes"] => Route::Question(Question::Nodes),
            ["ansible-inventory"] => Route::Question(Question::Inventory),
            ["status"] => Route::Question(Question::Status),
            ["pause"] => Route::Order(Order::Pause),
            ["resume"] => Route::Order(Order::Resume),
            ["release-all"] => Route::Order(Order::ReleaseAll),
            ["nodes", node] => Route::Question(Question::Node(name(node)?)),
            ["nodes", node, of_node] => Route::of_node(name(node)?, of_node, uri.query())?,
            _ => return None,
        })
    }

    fn of_node(node: String, step: &str, query: Option<&str>) -> Option<Route> {
        let verb = match step {
            "facts" => return Some(Route::Question(Question::Facts(node))),
            "explain" => return Some(Route::Question(Question::Explain(node))),
            "log" => return Some(Route::of_log(node, query)),
            "reinstall" => Verb::Reinstall,
            "hold" => Verb::Hold,
            "release" => Verb::Release,
            "mark" => Verb::Mark,
            "forget" => Verb::Forget,
            "power-off" => Verb::PowerOff,
            _ => return None,
        };
        Some(Route::Node { node, verb })
    }

    fn of_log(node: String, query: Option<&str>) -> Route {
        let after = query::value(query, "after").map(|after| query::told(&after, 100));
        match query::value(query, "follow").as_deref() {
            Some(b"true" | b"1") => Route::Follow { node, after },
            _ => Route::Question(Question::Log { node, after }),
        }
    }

    /// The method that the path takes.
    fn method(&self) -> &'static str {
        match self {
            Route::Question(_) | Route::Follow { .. } => "GET",
            Route::Node { .. } | Route::Order(_) => "POST",
        }
    }
}

/// Reads a machine's name or MAC.
fn name(step: &str) -> Option<String> {
    let name = String::from_utf8(unescaped(step).into_owned()).ok()?;
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!name.is_empty() && name.chars().all(sound)).then_some(name)
}

impl Verb {
    /// Makes an order of what the body says.
    fn order(self, node: String, body: &[u8]) -> Result<Order, Refusal> {
        Ok(match self {
            Verb::Reinstall => parse(body).map(|Nothing {}| Order::Reinstall(node))?,
            Verb::PowerOff => parse(body).map(|Nothing {}| Order::PowerOff(node))?,
            Verb::Release => parse(body).map(|Nothing {}| Order::Release(node))?,
            Verb::Hold => parse(body).map(|Hold { reason }| Order::Hold { node, reason })?,
            Verb::Mark => parse(body).map(|Mark { state }| Order::Mark { node, state })?,
            Verb::Forget => {
                parse(body).map(|Forget { wipe_allowed }| Order::Forget { node, wipe_allowed })?
            }
        })
    }
}

/// Reads a body as JSON. None at all says as much as an empty object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(400, format!("the body is not what is expected: {error}")))
}

impl<B: Backend> Desk<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, _address: SocketAddr, stop: Stop) {
        let limits = &self.operators.limits;
        connection::serve(stream, limits, stop, |request| self.answer(request)).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let chunked = connection::is_chunked(&request);
        let (parts, body) = request.into_parts();
        if chunked {
            return closing(answer::refusal(Refusal::new(411, "the body has no length")));
        }
        if let Err(refusal) = self.operators.guard.admit(&parts) {
            return answer::refusal(refusal);
        }
        let Some(route) = Route::read(&parts.uri) else {
            return answer::refusal(Refusal::new(404, "nothing is here"));
        };
        let method = route.method();
        if parts.method != method {
            let refusal = Refusal::new(405, format!("this is asked by {method}"));
            let allowed = HeaderValue::from_static(method);
            return with(answer::refusal(refusal), ALLOW, allowed);
        }
        self.carry_out(route, body)
            .await
            .unwrap_or_else(answer::refusal)
    }

    async fn carry_out(&self, route: Route, body: Incoming) -> Result<Answer, Refusal> {
        match route {
            Route::Question(question @ Question::Log { .. }) => self
                .backend
                .question(question)
                .await
                .map(answer::json_lines),
            Route::Question(question) => self.backend.question(question).await.map(answer::json),
            Route::Follow { node, after } => self
                .backend
                .follow(node, after)
                .await
                .map(answer::following),
            Route::Order(order) => {
                parse(&self.body(body).await?).map(|Nothing {}| ())?;
                self.backend.order(order).await.map(answer::json)
            }
            Route::Node { node, verb } => {
                let order = verb.order(node, &self.body(body).await?)?;
                self.backend.order(order).await.map(answer::json)
            }
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limits = &self.operators.limits;
        Ok(connection::whole_body(body, LONGEST_ORDER, limits).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_leads_to_one_thing() {
        let question = |question| Some(Route::Question(question));
        let node = |verb| {
            Some(Route::Node {
                node: "esx01".into(),
                verb,
            })
        };
        let log = |after: Option<&str>| {
            let (node, after) = ("esx01".into(), after.map(Into::into));
            Question::Log { node, after }
        };
        for (uri, route) in [
            ("/api/v1/nodes", question(Question::Nodes)),
            ("/api/v1/status", question(Question::Status)),
            ("/api/v1/ansible-inventory", question(Question::Inventory)),
            (
                "/api/v1/nodes/esx01",
                question(Question::Node("esx01".into())),
            ),
            (
                "/api/v1/nodes/00%3A50:56:aa:bb:01",
                question(Question::Node("00:50:56:aa:bb:01".into())),
            ),
            ("/api/v1/nodes/esx01/log", question(log(None))),
            (
                "/api/v1/nodes/esx01/log?after=12%2F3",
                question(log(Some("12/3"))),
            ),
            (
                "/api/v1/nodes/esx01/log?follow=true&after=7",
                Some(Route::Follow {
                    node: "esx01".into(),
                    after: Some("7".into()),
                }),
            ),
            (
                "/api/v1/nodes/esx01/facts",
                question(Question::Facts("esx01".into())),
            ),
            (
                "/api/v1/nodes/esx01/explain",
                question(Question::Explain("esx01".into())),
            ),
            ("/api/v1/nodes/esx01/reinstall", node(Verb::Reinstall)),
            ("/api/v1/nodes/esx01/forget", node(Verb::Forget)),
            ("/api/v1/nodes/esx01/power-off", node(Verb::PowerOff)),
            ("/api/v1/pause", Some(Route::Order(Order::Pause))),
            ("/api/v1/resume", Some(Route::Order(Order::Resume))),
            ("/api/v1/release-all", Some(Route::Order(Order::ReleaseAll))),
            ("/api/v1/nodes/", None),
            ("/api/v1/nodes/a%20b", None),
            ("/api/v1/nodes/esx01/format", None),
            ("/api/v2/nodes", None),
            ("/", None),
        ] {
            assert_eq!(Route::read(&uri.parse().unwrap()), route, "{uri}");
        }
    }

    #[test]
    fn a_body_completes_an_order() {
        let node = || String::from("esx01");
        let hold = |reason: Option<&str>| {
            let (node, reason) = (node(), reason.map(Into::into));
            Order::Hold { node, reason }
        };
        for (verb, body, order) in [
            (Verb::Hold, "", hold(None)),
            (
                Verb::Hold,
                r#"{"reason":"new disk"}"#,
                hold(Some("new disk")),
            ),
            (Verb::Reinstall, "{}", Order::Reinstall(node())),
            (Verb::Release, "", Order::Release(node())),
            (
                Verb::Mark,
                r#"{"state":"installed"}"#,
                Order::Mark {
                    node: node(),
                    state: "installed".into(),
                },
            ),
            (
                Verb::Forget,
                "{}",
                Order::Forget {
                    node: node(),
                    wipe_allowed: false,
                },
            ),
            (
                Verb::Forget,
                r#"{"wipe-allowed":true}"#,
                Order::Forget {
                    node: node(),
                    wipe_allowed: true,
                },
            ),
        ] {
            assert_eq!(verb.order(node(), body.as_bytes()), Ok(order), "{body}");
        }
        for (verb, body) in [
            (Verb::Mark, "{}"),
            (Verb::Hold, r#"{"why":""}"#),
            (Verb::Reinstall, "["),
        ] {
            assert_eq!(
                verb.order(node(), body.as_bytes()).unwrap_err().status,
                400,
                "{body}"
            );
        }
    }
}
