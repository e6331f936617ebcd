//! The HTTP client of a simulated machine: plain HTTP, no redirects.

use std::{
    io::{self, Read},
    time::Duration,
};

use ureq::Agent;

/// The number of bytes of a body that are kept; further ones are only counted.
const MAX_BODY: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    /// The first bytes of the body.
    pub(super) body: Vec<u8>,
    /// The length of the whole body.
    pub(super) length: u64,
}

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

    /// Requests `url`; an error if there is no complete response.
    pub(super) fn get(&self, url: &str) -> io::Result<HttpAnswer> {
        let response = self.0.get(url).call().map_err(ureq::Error::into_io)?;
        let status = response.status().as_u16();
        let mut reader = response.into_body().into_reader();
        let mut body = Vec::new();
        let kept = reader.by_ref().take(MAX_BODY).read_to_end(&mut body)? as u64;
        let rest = io::copy(&mut reader, &mut io::sink())?;
        Ok(HttpAnswer {
            status,
            body,
            length: kept + rest,
        })
    }
}
