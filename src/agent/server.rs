//! The server's API for agents: reports, instructions, callbacks.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use ureq::{Agent, config::ConfigBuilder, typestate::AgentScope};

use crate::model::{AgentInstruction, Facts, ImageInstruction};

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The URL of this machine's check-in.
pub(super) struct CheckInServer {
    url: String,
    agent: Agent,
}

/// Why there is no instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InstructionError {
    /// The token is not valid any more.
    #[error("the server has no record of this machine any more")]
    Unknown,
    /// It refused, or sent something other than an instruction.
    #[error("unexpected answer from the server: {0}")]
    Refused(String),
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
}

/// An HTTP client with this timeout for a whole response.
pub(super) fn http_client(timeout: Duration) -> Agent {
    client_config(timeout).build().into()
}

pub(super) fn client_config(timeout: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .user_agent(concat!("bootwright-agent/", env!("CARGO_PKG_VERSION")))
}

impl CheckInServer {
    pub(super) fn new(url: &str) -> CheckInServer {
        CheckInServer {
            url: url.into(),
            agent: http_client(Duration::from_secs(30)),
        }
    }

    /// Reports the machine's facts; the answer is an instruction.
    pub(super) fn report(&self, facts: &Facts) -> Result<AgentInstruction, InstructionError> {
        let body = json!({"version": 1, "facts": facts}).to_string();
        let report = self.agent.post(format!("{}/report", self.url));
        instruction(report.content_type("application/json").send(body))
    }

    /// Polls for an instruction.
    pub(super) fn poll(&self) -> Result<AgentInstruction, InstructionError> {
        instruction(self.agent.get(format!("{}/order", self.url)).call())
    }
}

/// The version of an instruction, whose other fields depend on it.
#[derive(Deserialize)]
struct ImageVersion {
    version: u32,
}

/// The URLs of an installation: its documents, and callbacks for stages and log lines.
pub(super) struct InstallServer {
    agent: Agent,
}

impl InstallServer {
    pub(super) fn new() -> InstallServer {
        InstallServer {
            agent: http_client(Duration::from_secs(30)),
        }
    }

    /// Fetches the instruction.
    pub(super) fn instruction(&self, url: &str) -> Result<ImageInstruction, InstructionError> {
        let text = self.get(url)?;
        let ImageVersion { version } = parse(&text)?;
        match version {
            ImageInstruction::VERSION => parse(&text),
            // The site's own template may be from an earlier release.
            1 => Err(InstructionError::Refused(
                "the instruction has version 1, from before disks had seals: update the site's own `order.json.j2`".into(),
            )),
            _ => Err(InstructionError::Refused(format!(
                "the instruction has version {version}, but this agent supports only version {}: rebuild the microkernel \
                 with `bootwright microkernel build`",
                ImageInstruction::VERSION
            ))),
        }
    }

    /// Fetches a URL of this installation.
    pub(super) fn get(&self, url: &str) -> Result<String, InstructionError> {
        text(self.agent.get(url).call())
    }
}

type HttpResult = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

fn instruction(answer: HttpResult) -> Result<AgentInstruction, InstructionError> {
    parse(&text(answer)?)
}

/// Parses an instruction.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, InstructionError> {
    let unsupported = |error| format!("unsupported instruction ({error})");
    serde_json::from_str(text).map_err(|error| InstructionError::Refused(unsupported(error)))
}

fn text(answer: HttpResult) -> Result<String, InstructionError> {
    let unreachable = |error: ureq::Error| InstructionError::Unreachable(error.to_string());
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
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
