//! The server: what is told to it, and what it says is to be done.

use std::time::Duration;

use serde_json::json;
use ureq::Agent;

use crate::model::{Facts, Order};

/// The longest order that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where this machine checks in.
pub(super) struct Server {
    url: String,
    agent: Agent,
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoOrder {
    /// The token is not one of the server's any more.
    #[error("the server does not know this machine any more")]
    Unknown,
    /// It says no, or something that is no order.
    #[error("the server says: {0}")]
    Refused(String),
    /// It cannot be reached.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
}

impl Server {
    pub(super) fn new(url: &str) -> Server {
        let config = Agent::config_builder()
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .user_agent(concat!("bootwright-agent/", env!("CARGO_PKG_VERSION")))
            .build();
        Server {
            url: url.into(),
            agent: config.into(),
        }
    }

    /// Tells what this machine is, and asks what to do.
    pub(super) fn report(&self, facts: &Facts) -> Result<Order, NoOrder> {
        let body = json!({"version": 1, "facts": facts}).to_string();
        let report = self.agent.post(format!("{}/report", self.url));
        order(report.content_type("application/json").send(body))
    }

    /// Asks what to do.
    pub(super) fn order(&self) -> Result<Order, NoOrder> {
        order(self.agent.get(format!("{}/order", self.url)).call())
    }
}

type Answer = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn order(answer: Answer) -> Result<Order, NoOrder> {
    let unreachable = |error: ureq::Error| NoOrder::Unreachable(error.to_string());
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(LONGEST)
        .read_to_string();
    let body = body.map_err(unreachable)?;
    match status {
        200 => serde_json::from_str(&body).map_err(|error| {
            NoOrder::Refused(format!("an order that this agent does not know ({error})"))
        }),
        404 => Err(NoOrder::Unknown),
        _ => Err(NoOrder::Refused(
            body.lines().next().unwrap_or_default().to_owned(),
        )),
    }
}
