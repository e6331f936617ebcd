//! How a virtual machine asks a server: plain HTTP, one answer at a time, no redirects.

use std::{
    io::{self, Read},
    time::Duration,
};

use ureq::Agent;

/// So much of a file is kept; the rest is only counted.
const KEPT: u64 = 1 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body's beginning.
    pub(super) body: Vec<u8>,
    /// The body's length.
    pub(super) length: u64,
}

/// A machine's network card.
#[derive(Debug, Clone)]
pub(super) struct HttpClient(Agent);

impl HttpClient {
    pub(super) fn new() -> HttpClient {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .user_agent(concat!("bootwright-play/", env!("CARGO_PKG_VERSION")))
            .build();
        HttpClient(config.into())
    }

    /// Asks for `url`; an error means that no whole answer came.
    pub(super) fn get(&self, url: &str) -> io::Result<HttpAnswer> {
        let response = self.0.get(url).call().map_err(ureq::Error::into_io)?;
        let status = response.status().as_u16();
        let mut reader = response.into_body().into_reader();
        let mut body = Vec::new();
        let kept = reader.by_ref().take(KEPT).read_to_end(&mut body)? as u64;
        let rest = io::copy(&mut reader, &mut io::sink())?;
        Ok(HttpAnswer {
            status,
            body,
            length: kept + rest,
        })
    }
}
