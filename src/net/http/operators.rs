//! The operators' listener: the JSON API, and a page for web browsers.
//!
//! Which paths the API has, and what a body contains, is in [`crate::api`].

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::{
        ALLOW, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS,
    },
    http::request::Parts,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    Backend, Guard, Limits, Listener, Stop,
    body::ResponseBody,
    connection,
    guard::Access,
    listen, page,
    request_memory::RequestMemory,
    response::{self, HttpResponse, closing, text, with},
    throttle::Throttle,
    tls::Tls,
};
use crate::{
    api::{ApiError, ApiRequest, Endpoint, NodeStatus, PageLink, Query, ServerStatus},
    model::Timestamp,
};

const NO_SESSION: &str = "This page needs a session. Run this command on the server's host, and open the link that it prints:\n\n    \
    bootwright page\n";

const INVALID_LINK: &str = "This link was used already, or is older than ten minutes, or was created before the server was \
    restarted. This command prints another one:\n\n    bootwright page\n";

/// The largest body of a command in bytes.
const MAX_COMMAND: usize = 16 << 10;

#[derive(Debug, Clone)]
pub struct OperatorListenerConfig {
    pub guard: Guard,
    /// Without it, connections are not encrypted.
    pub tls: Option<Arc<Tls>>,
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
    let handler = Arc::new(OperatorHandler {
        backend,
        config,
        memory: RequestMemory::new(&limits),
        throttle: Throttle::default(),
    });
    let serve = |stream, address| handler.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// Shared by all connections.
struct OperatorHandler<B> {
    backend: Arc<B>,
    config: OperatorListenerConfig,
    memory: Arc<RequestMemory>,
    throttle: Throttle,
}

impl<B: Backend> OperatorHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, stop: Stop) {
        let (limits, memory) = (&self.config.limits, &*self.memory);
        let from = address.ip().to_canonical();
        let respond = |request| self.respond(request, from);
        match &self.config.tls {
            Some(tls) => {
                let acceptor = tls.acceptor();
                connection::serve_tls(stream, acceptor, limits, memory, stop, respond).await;
            }
            None => connection::serve(stream, limits, memory, stop, respond).await,
        }
    }

    async fn respond(&self, request: Request<Incoming>, from: IpAddr) -> HttpResponse {
        let chunked = connection::is_chunked(&request);
        let (parts, body) = request.into_parts();
        if chunked {
            let error = ApiError::new(411, "Content-Length required");
            return closing(response::api_error(error));
        }
        if let Some(route) = PageRoute::parse(parts.uri.path()) {
            return match parts.method {
                Method::GET => self.page(route, &parts, from).await,
                _ => response::method_not_allowed("GET"),
            };
        }
        let answered = match self.endpoint(&parts, from).await {
            Ok(endpoint) if parts.method != endpoint.method() => {
                return method_not_allowed(endpoint.method());
            }
            Ok(endpoint) => self.answer(endpoint, body).await,
            // The body is not read.
            Err(error) => return closing(response::api_error(error)),
        };
        answered.unwrap_or_else(response::api_error)
    }

    async fn endpoint(&self, parts: &Parts, from: IpAddr) -> Result<Endpoint, ApiError> {
        let access = self.check(parts, from).await?;
        let endpoint = Endpoint::parse(parts.uri.path(), parts.uri.query())
            .ok_or_else(|| ApiError::new(404, "not found"))?;
        match (access, &endpoint) {
            (Access::Session, Endpoint::PageLink) => Err(ApiError::new(
                403,
                "a link to the page needs the operator token",
            )),
            _ => Ok(endpoint),
        }
    }

    /// Checks a request's access. Wrong tokens are delayed.
    async fn check(&self, parts: &Parts, from: IpAddr) -> Result<Access, ApiError> {
        let guard = &self.config.guard;
        let checked = guard.check(parts, Instant::now());
        let is_wrong = checked.as_ref().is_err_and(|error| error.status == 401);
        if is_wrong && guard.has_credentials(&parts.headers) {
            self.delay(from).await;
        }
        checked
    }

    async fn delay(&self, from: IpAddr) {
        sleep(self.throttle.delay(from, Instant::now())).await;
    }

    async fn page(&self, route: PageRoute<'_>, parts: &Parts, from: IpAddr) -> HttpResponse {
        if let PageRoute::Link(key) = route {
            return self.open_link(key, parts, from).await;
        }
        if let Err(error) = self.check(parts, from).await {
            let reason = match error.status {
                401 => NO_SESSION.to_owned(),
                _ => error.error + "\n",
            };
            return for_browser(text(response::status(error.status), reason));
        }
        let shown = match route {
            PageRoute::Style => Ok(html("text/css; charset=utf-8", page::STYLE)),
            _ => self.machines_page().await,
        };
        for_browser(
            shown.unwrap_or_else(|error| text(response::status(error.status), error.error + "\n")),
        )
    }

    async fn machines_page(&self) -> Result<HttpResponse, ApiError> {
        let status = self.backend.query(Query::Status).await?;
        let nodes = self.backend.query(Query::Nodes).await?;
        let invalid = |error: serde_json::Error| ApiError::new(500, error.to_string());
        let status: ServerStatus = serde_json::from_slice(&status).map_err(invalid)?;
        let nodes: Vec<NodeStatus> = serde_json::from_slice(&nodes).map_err(invalid)?;
        let page = page::html(&status, &nodes, now());
        Ok(html("text/html; charset=utf-8", page))
    }

    /// Begins a session, and sends the browser to the page.
    async fn open_link(&self, key: &str, parts: &Parts, from: IpAddr) -> HttpResponse {
        if let Err(reason) = self.config.guard.check_navigation(&parts.headers) {
            return for_browser(text(StatusCode::FORBIDDEN, reason));
        }
        let guard = &self.config.guard;
        match guard.sessions.open(key, Instant::now()) {
            Ok(Some(session)) => {
                let redirect = text(StatusCode::SEE_OTHER, "the session has begun\n");
                let redirect = with(redirect, LOCATION, HeaderValue::from_static("/"));
                let cookie = HeaderValue::from_str(&guard.cookie(&session));
                let cookie = cookie.expect("a name, hexadecimal digits and attributes are ASCII");
                for_browser(with(redirect, SET_COOKIE, cookie))
            }
            Ok(None) => {
                self.delay(from).await;
                for_browser(text(StatusCode::FORBIDDEN, INVALID_LINK))
            }
            Err(error) => {
                let reason = format!("no random number is available: {error}\n");
                for_browser(text(StatusCode::INTERNAL_SERVER_ERROR, reason))
            }
        }
    }

    fn page_link(&self) -> Result<HttpResponse, ApiError> {
        let link = self.config.guard.page_link();
        let link = link.map_err(|error| ApiError::new(500, error.to_string()))?;
        let json = serde_json::to_vec(&link).expect("a link has only text keys");
        Ok(response::json(json.into()))
    }

    async fn answer(&self, endpoint: Endpoint, body: Incoming) -> Result<HttpResponse, ApiError> {
        let backend = &self.backend;
        let body = match &endpoint {
            Endpoint::Read(_) => None,
            Endpoint::NodeCommand { .. } | Endpoint::SiteCommand { .. } | Endpoint::PageLink => {
                let (limits, memory) = (&self.config.limits, &self.memory);
                Some(connection::whole_body(body, MAX_COMMAND, limits, memory).await?)
            }
        };
        let body = body.as_ref().map(AsRef::as_ref).unwrap_or_default();
        match endpoint.with_body(body)? {
            ApiRequest::Query(query @ Query::Log { .. }) => {
                backend.query(query).await.map(response::json_lines)
            }
            ApiRequest::Query(query) => backend.query(query).await.map(response::json),
            ApiRequest::Follow { node, after } => {
                let lines = backend.follow(node, after).await;
                lines.map(response::json_stream)
            }
            ApiRequest::Command(command) => backend.command(command).await.map(response::json),
            ApiRequest::PageLink => self.page_link(),
        }
    }
}

fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    let error = ApiError::new(405, format!("method not allowed (use {allowed})"));
    let allowed = HeaderValue::from_static(allowed);
    with(response::api_error(error), ALLOW, allowed)
}

/// A path for web browsers.
enum PageRoute<'a> {
    Machines,
    Style,
    /// A one-time link with this key.
    Link(&'a str),
}

impl PageRoute<'_> {
    fn parse(path: &str) -> Option<PageRoute<'_>> {
        match path {
            "/" => Some(PageRoute::Machines),
            page::STYLE_PATH => Some(PageRoute::Style),
            _ => path.strip_prefix(PageLink::PREFIX).map(PageRoute::Link),
        }
    }
}

fn html(content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    response::whole(
        StatusCode::OK,
        content_type,
        ResponseBody::Bytes(body.into()),
    )
}

/// Adds what browsers have to obey.
fn for_browser(response: HttpResponse) -> HttpResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    headers
        .into_iter()
        .fold(response, |response, (name, value)| {
            with(response, name, HeaderValue::from_static(value))
        })
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 is wrong anyway.
    Timestamp(since_epoch.map_or(0, |time| time.as_millis() as i64))
}
