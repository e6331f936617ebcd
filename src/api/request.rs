//! Requests as HTTP carries them: method, path, query and body.

use std::{borrow::Cow, collections::BTreeMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json};

use super::{ApiError, Command, NodeCommand, Query, SiteCommand, variant_names::variant_names};

/// Every path starts with it.
const PREFIX: &str = "/api/v1/";

const PAGE_LINK: &str = "page-link";

/// What [`encoded`] replaces. A MAC stays readable: `:` is allowed in a segment (RFC 3986 section 3.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b':');

/// A request of the operator API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiRequest {
    Query(Query),
    /// A machine's log, including new entries.
    Follow {
        node: String,
        /// Only entries after this time, in the format of an entry's `at`.
        after: Option<String>,
    },
    Command(Command),
    /// A link to the page for web browsers.
    PageLink,
}

/// A request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpForm {
    pub method: &'static str,
    /// The path, and the query if there is one.
    pub target: String,
    /// JSON; empty for `GET`.
    pub body: String,
}

/// A received path. A command is complete with the request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A query, or a log to follow.
    Read(ApiRequest),
    NodeCommand {
        node: String,
        name: &'static str,
    },
    SiteCommand {
        name: &'static str,
    },
    PageLink,
}

impl ApiRequest {
    pub fn to_http(&self) -> HttpForm {
        match self {
            ApiRequest::Query(query) => get(query_target(query)),
            ApiRequest::Follow { node, after } => get(log_target(node, after.as_deref(), true)),
            ApiRequest::Command(Command::Node { node, command }) => {
                let (name, body) = named(command);
                post(node_target(node, &name), body)
            }
            ApiRequest::Command(Command::Site(command)) => {
                let (name, body) = named(command);
                post(name, body)
            }
            ApiRequest::PageLink => post(PAGE_LINK.into(), json!({})),
        }
    }
}

impl Endpoint {
    /// Parses a path and its query.
    pub fn parse(path: &str, query: Option<&str>) -> Option<Endpoint> {
        let path = path.strip_prefix(PREFIX)?;
        let segments: Vec<&str> = path.split('/').collect();
        let query = match segments.as_slice() {
            ["nodes"] => Query::Nodes,
            ["ansible-inventory"] => Query::Inventory,
            ["status"] => Query::Status,
            ["nodes", node] => Query::Node(node_name(node)?),
            ["nodes", node, "facts"] => Query::Facts(node_name(node)?),
            ["nodes", node, "explain"] => Query::Explain(node_name(node)?),
            ["nodes", node, "log"] => {
                return Some(Endpoint::Read(log_request(node_name(node)?, query)));
            }
            ["nodes", node, name] => {
                return Some(Endpoint::NodeCommand {
                    node: node_name(node)?,
                    name: command_name::<NodeCommand>(name)?,
                });
            }
            [PAGE_LINK] => return Some(Endpoint::PageLink),
            [name] => {
                let name = command_name::<SiteCommand>(name)?;
                return Some(Endpoint::SiteCommand { name });
            }
            _ => return None,
        };
        Some(Endpoint::Read(ApiRequest::Query(query)))
    }

    /// The only method that this path accepts.
    pub fn method(&self) -> &'static str {
        match self {
            Endpoint::Read(_) => "GET",
            Endpoint::NodeCommand { .. } | Endpoint::SiteCommand { .. } | Endpoint::PageLink => {
                "POST"
            }
        }
    }

    /// Completes the request. An empty body counts as an empty object.
    pub fn with_body(self, body: &[u8]) -> Result<ApiRequest, ApiError> {
        let command = match self {
            Endpoint::Read(request) => return Ok(request),
            Endpoint::PageLink => return Ok(ApiRequest::PageLink),
            Endpoint::NodeCommand { node, name } => Command::Node {
                node,
                command: from_named(name, body)?,
            },
            Endpoint::SiteCommand { name } => Command::Site(from_named(name, body)?),
        };
        Ok(ApiRequest::Command(command))
    }
}

fn get(path: String) -> HttpForm {
    HttpForm {
        method: "GET",
        target: format!("{PREFIX}{path}"),
        body: String::new(),
    }
}

fn post(path: String, body: Value) -> HttpForm {
    HttpForm {
        method: "POST",
        target: format!("{PREFIX}{path}"),
        body: body.to_string(),
    }
}

fn query_target(query: &Query) -> String {
    match query {
        Query::Nodes => "nodes".into(),
        Query::Inventory => "ansible-inventory".into(),
        Query::Status => "status".into(),
        Query::Node(node) => format!("nodes/{}", encoded(node)),
        Query::Facts(node) => node_target(node, "facts"),
        Query::Explain(node) => node_target(node, "explain"),
        Query::Log { node, after } => log_target(node, after.as_deref(), false),
    }
}

fn node_target(node: &str, last: &str) -> String {
    format!("nodes/{}/{last}", encoded(node))
}

fn log_target(node: &str, after: Option<&str>, follow: bool) -> String {
    let follow = follow.then(|| String::from("follow=true"));
    let after = after.map(|after| format!("after={}", encoded(after)));
    let pairs: Vec<String> = follow.into_iter().chain(after).collect();
    let question_mark = if pairs.is_empty() { "" } else { "?" };
    node_target(node, "log") + question_mark + &pairs.join("&")
}

fn log_request(node: String, query: Option<&str>) -> ApiRequest {
    let after = query_value(query, "after").map(Cow::into_owned);
    match query_value(query, "follow").as_deref() {
        Some("true" | "1") => ApiRequest::Follow { node, after },
        _ => ApiRequest::Query(Query::Log { node, after }),
    }
}

/// The first value of `key` in a URL's query.
fn query_value<'a>(query: Option<&'a str>, key: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    Some(percent_decode_str(value).decode_utf8_lossy())
}

/// Parses a segment as a machine's name or MAC.
fn node_name(segment: &str) -> Option<String> {
    // Text that is not UTF-8 names no machine.
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    (!name.is_empty() && name.chars().all(is_valid)).then(|| name.into_owned())
}

/// A name as one segment of a path, or one value of a query.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// The name of a command of type `C`, if this is one.
fn command_name<C: DeserializeOwned>(segment: &str) -> Option<&'static str> {
    let names = variant_names::<C>();
    names.iter().copied().find(|name| *name == segment)
}

/// A command's name, and its fields as a JSON object.
fn named<C: Serialize>(command: &C) -> (String, Value) {
    let value = serde_json::to_value(command).expect("a command has only text keys");
    let Value::Object(object) = value else {
        unreachable!("every command is a variant with named fields");
    };
    object
        .into_iter()
        .next()
        .expect("serde writes a variant as an object with one key")
}

/// The command with this name and these fields.
fn from_named<C: DeserializeOwned>(name: &str, body: &[u8]) -> Result<C, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    // Only an object is accepted. Serde reads it again from the text, so that it finds a key that occurs twice.
    let object = serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body);
    let command = object.and_then(|_| {
        let variant = [b"{\"", name.as_bytes(), b"\":", body, b"}"].concat();
        serde_json::from_slice(&variant)
    });
    command.map_err(|error| ApiError::new(400, format!("invalid body: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MarkedState;

    /// Every request, with its form in HTTP.
    fn requests() -> Vec<(ApiRequest, &'static str, &'static str)> {
        let node = |command| ApiRequest::Command(Command::node("esx01", command));
        let site = |command| ApiRequest::Command(Command::Site(command));
        let name = || String::from("esx01");
        let log = |after: Option<&str>| Query::Log {
            node: name(),
            after: after.map(Into::into),
        };
        let follow = |after: Option<&str>| ApiRequest::Follow {
            node: name(),
            after: after.map(Into::into),
        };
        let hold = |reason: Option<&str>| NodeCommand::Hold {
            reason: reason.map(Into::into),
        };
        let state = MarkedState::Installed;
        let mut requests: Vec<_> = [
            (Query::Nodes, "/api/v1/nodes"),
            (Query::Node(name()), "/api/v1/nodes/esx01"),
            (Query::Facts(name()), "/api/v1/nodes/esx01/facts"),
            (Query::Explain(name()), "/api/v1/nodes/esx01/explain"),
            (log(None), "/api/v1/nodes/esx01/log"),
            (log(Some("12/3")), "/api/v1/nodes/esx01/log?after=12%2F3"),
            (Query::Inventory, "/api/v1/ansible-inventory"),
            (Query::Status, "/api/v1/status"),
        ]
        .into_iter()
        .map(|(query, target)| (ApiRequest::Query(query), target, ""))
        .collect();
        requests.extend([
            (follow(None), "/api/v1/nodes/esx01/log?follow=true", ""),
            (
                follow(Some("7")),
                "/api/v1/nodes/esx01/log?follow=true&after=7",
                "",
            ),
            (
                node(NodeCommand::Reinstall {}),
                "/api/v1/nodes/esx01/reinstall",
                "{}",
            ),
            (
                node(hold(None)),
                "/api/v1/nodes/esx01/hold",
                r#"{"reason":null}"#,
            ),
            (
                node(hold(Some("new disk"))),
                "/api/v1/nodes/esx01/hold",
                r#"{"reason":"new disk"}"#,
            ),
            (
                node(NodeCommand::Release {}),
                "/api/v1/nodes/esx01/release",
                "{}",
            ),
            (
                node(NodeCommand::Mark { state }),
                "/api/v1/nodes/esx01/mark",
                r#"{"state":"installed"}"#,
            ),
            (
                node(NodeCommand::Forget { wipe_allowed: true }),
                "/api/v1/nodes/esx01/forget",
                r#"{"wipe-allowed":true}"#,
            ),
            (
                node(NodeCommand::PowerOff {}),
                "/api/v1/nodes/esx01/power-off",
                "{}",
            ),
            (
                node(NodeCommand::Simulate {
                    macs: vec![crate::model::Mac([0x52, 0x54, 0, 0, 0, 1])],
                }),
                "/api/v1/nodes/esx01/simulate",
                r#"{"macs":["52:54:00:00:00:01"]}"#,
            ),
            (site(SiteCommand::Pause {}), "/api/v1/pause", "{}"),
            (site(SiteCommand::Resume {}), "/api/v1/resume", "{}"),
            (
                site(SiteCommand::ReleaseAll {}),
                "/api/v1/release-all",
                "{}",
            ),
            (ApiRequest::PageLink, "/api/v1/page-link", "{}"),
        ]);
        requests
    }

    fn parsed(target: &str) -> Option<Endpoint> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Endpoint::parse(path, query)
    }

    #[test]
    fn every_request_survives_the_way_to_http_and_back() {
        let requests = requests();
        for (request, target, body) in &requests {
            let http = request.to_http();
            assert_eq!((http.target.as_str(), http.body.as_str()), (*target, *body));
            let endpoint = parsed(target).unwrap_or_else(|| panic!("{target}"));
            assert_eq!(endpoint.method(), http.method, "{target}");
            assert_eq!(
                endpoint.with_body(body.as_bytes()),
                Ok(request.clone()),
                "{target}"
            );
        }
        let commands = variant_names::<NodeCommand>()
            .iter()
            .chain(variant_names::<SiteCommand>());
        for command in commands {
            let end = format!("/{command}");
            let is_listed = |(_, target, _): &(_, &str, _)| target.ends_with(&end);
            assert!(requests.iter().any(is_listed), "{command}");
        }
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        let target = |name: &str| ApiRequest::Query(Query::Node(name.into())).to_http().target;
        assert_eq!(
            target("00:50:56:aa:bb:01"),
            "/api/v1/nodes/00:50:56:aa:bb:01"
        );
        assert_eq!(target("../x y"), "/api/v1/nodes/..%2Fx%20y");
        let node = Query::Node("00:50:56:aa:bb:01".into());
        assert_eq!(
            parsed("/api/v1/nodes/00%3A50:56:aa:bb:01"),
            Some(Endpoint::Read(ApiRequest::Query(node)))
        );
    }

    #[test]
    fn other_paths_have_no_endpoint() {
        for target in [
            "/api/v1/nodes/",
            "/api/v1/nodes/a%20b",
            "/api/v1/nodes/a%ff",
            "/api/v1/nodes/esx01/format",
            "/api/v1/nodes/esx01/pause",
            "/api/v1/reinstall",
            "/api/v2/nodes",
            "/api/v1/",
            "/",
        ] {
            assert_eq!(parsed(target), None, "{target}");
        }
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        let with = |path: &str, body: &str| {
            let endpoint = parsed(&format!("/api/v1/{path}")).unwrap();
            endpoint.with_body(body.as_bytes())
        };
        let node = |command| Ok(ApiRequest::Command(Command::node("a", command)));
        let hold = NodeCommand::Hold { reason: None };
        assert_eq!(with("nodes/a/hold", ""), node(hold.clone()));
        assert_eq!(with("nodes/a/hold", "{}"), node(hold));
        let wipe_allowed = false;
        assert_eq!(
            with("nodes/a/forget", ""),
            node(NodeCommand::Forget { wipe_allowed })
        );
        let pause = Command::Site(SiteCommand::Pause {});
        assert_eq!(with("pause", ""), Ok(ApiRequest::Command(pause)));
        for (path, body) in [
            ("nodes/a/mark", "{}"),
            ("nodes/a/mark", r#"{"state":"finished"}"#),
            ("nodes/a/hold", r#"{"why":""}"#),
            ("nodes/a/hold", r#"{"reason":"a","reason":"b"}"#),
            (
                "nodes/a/forget",
                r#"{"wipe-allowed":false,"wipe-allowed":true}"#,
            ),
            ("nodes/a/reinstall", r#"{"reason":""}"#),
            ("nodes/a/reinstall", "["),
            ("nodes/a/reinstall", "[]"),
            ("pause", r#"{"for":"1h"}"#),
            ("pause", "{} {}"),
        ] {
            let refused = with(path, body).unwrap_err();
            assert_eq!(refused.status, 400, "{path} {body}");
            assert!(
                refused.error.starts_with("invalid body: "),
                "{}",
                refused.error
            );
        }
    }
}
