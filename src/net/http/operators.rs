//! The operators' listener: the JSON API.
//!
//! Which paths exist, and what a body contains, is in [`crate::api`].

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Request,
    body::{Bytes, Incoming},
    header::{ALLOW, HeaderValue},
    http::request::Parts,
};
use tokio::net::TcpStream;

use super::{
    Backend, Guard, Limits, Listener, Stop, connection, listen,
    response::{self, HttpResponse, closing, with},
};
use crate::api::{ApiError, ApiRequest, Endpoint, Query};

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

impl<B: Backend> OperatorHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, _address: SocketAddr, stop: Stop) {
        let limits = &self.config.limits;
        connection::serve(stream, limits, stop, |request| self.respond(request)).await;
    }

    async fn respond(&self, request: Request<Incoming>) -> HttpResponse {
        let chunked = connection::is_chunked(&request);
        let (parts, body) = request.into_parts();
        if chunked {
            let error = ApiError::new(411, "Content-Length required");
            return closing(response::api_error(error));
        }
        let answered = match self.endpoint(&parts) {
            Ok(endpoint) if parts.method != endpoint.method() => {
                return method_not_allowed(endpoint.method());
            }
            Ok(endpoint) => self.answer(endpoint, body).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(response::api_error)
    }

    fn endpoint(&self, parts: &Parts) -> Result<Endpoint, ApiError> {
        self.config.guard.check(parts)?;
        Endpoint::parse(parts.uri.path(), parts.uri.query())
            .ok_or_else(|| ApiError::new(404, "not found"))
    }

    async fn answer(&self, endpoint: Endpoint, body: Incoming) -> Result<HttpResponse, ApiError> {
        let backend = &self.backend;
        let body = match &endpoint {
            Endpoint::Read(_) => Bytes::new(),
            Endpoint::NodeCommand { .. } | Endpoint::SiteCommand { .. } => self.body(body).await?,
        };
        match endpoint.with_body(&body)? {
            ApiRequest::Query(query @ Query::Log { .. }) => {
                backend.query(query).await.map(response::json_lines)
            }
            ApiRequest::Query(query) => backend.query(query).await.map(response::json),
            ApiRequest::Follow { node, after } => {
                let lines = backend.follow(node, after).await;
                lines.map(response::json_stream)
            }
            ApiRequest::Command(command) => backend.command(command).await.map(response::json),
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, ApiError> {
        let limits = &self.config.limits;
        Ok(connection::whole_body(body, MAX_COMMAND, limits).await?)
    }
}

fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let error = ApiError::new(405, format!("method not allowed (use {allowed})"));
    let allowed = HeaderValue::from_static(allowed);
    with(response::api_error(error), ALLOW, allowed)
}
