//! The server: what is told to it, and what it says is to be done.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::json;
use ureq::Agent;

use crate::model::{AgentInstruction, Facts};

/// The longest order that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where this machine checks in.
pub(super) struct CheckInServer {
    url: String,
    agent: Agent,
}

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InstructionError {
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

/// Who asks a server, and waits so long for the whole of an answer.
pub(super) fn asker(whole: Duration) -> Agent {
    let config = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(whole))
        .http_status_as_error(false)
        .user_agent(concat!("bootwright-agent/", env!("CARGO_PKG_VERSION")))
        .build();
    config.into()
}

impl CheckInServer {
    pub(super) fn new(url: &str) -> CheckInServer {
        CheckInServer {
            url: url.into(),
            agent: asker(Duration::from_secs(30)),
        }
    }

    /// Tells what this machine is, and asks what to do.
    pub(super) fn report(&self, facts: &Facts) -> Result<AgentInstruction, InstructionError> {
        let body = json!({"version": 1, "facts": facts}).to_string();
        let report = self.agent.post(format!("{}/report", self.url));
        order(report.content_type("application/json").send(body))
    }

    /// Asks what to do.
    pub(super) fn order(&self) -> Result<AgentInstruction, InstructionError> {
        order(self.agent.get(format!("{}/order", self.url)).call())
    }
}

/// The server of an installation: documents, and where stages and lines for the log are told.
pub(super) struct InstallServer {
    agent: Agent,
}

impl InstallServer {
    pub(super) fn new() -> InstallServer {
        InstallServer {
            agent: asker(Duration::from_secs(30)),
        }
    }

    /// What is at a URL of this installation.
    pub(super) fn get(&self, url: &str) -> Result<String, InstructionError> {
        text(self.agent.get(url).call())
    }
}

type HttpResult = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn order(answer: HttpResult) -> Result<AgentInstruction, InstructionError> {
    read(&text(answer)?)
}

/// Reads an order.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, InstructionError> {
    let strange = |error| format!("an order that this agent does not know ({error})");
    serde_json::from_str(text).map_err(|error| InstructionError::Refused(strange(error)))
}

fn text(answer: HttpResult) -> Result<String, InstructionError> {
    let unreachable = |error: ureq::Error| InstructionError::Unreachable(error.to_string());
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(LONGEST)
        .read_to_string();
    let body = body.map_err(unreachable)?;
    match status {
        200 => Ok(body),
        404 => Err(InstructionError::Unknown),
        _ => Err(InstructionError::Refused(
            body.lines().next().unwrap_or_default().to_owned(),
        )),
    }
}
