//! The machines' listener.
//!
//! Its clients are loaders and the shells of installers: responses have a length and a body, there are no redirects, and
//! the response to a callback suits the smallest HTTP client.

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::{HOST, HeaderValue, RANGE, RETRY_AFTER},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{
    api::ApiError,
    control::{Callback, MAX_REPORT_BYTES},
};

use super::{
    Advertise, Backend, CallbackReply, CallbackRequest, CheckInReply, CheckInRequest,
    DocumentRequest, EntryRequest, FileReply, Limits, Listener, LoaderRequest, MbootRequest, Peer,
    Reply, RepoRequest, ServerHealth, Stop,
    body::ResponseBody,
    callback_body, connection, file, guard, host, listen,
    path::{MachineRoute, RouteError},
    pool::BufferPool,
    query,
    request_memory::RequestMemory,
    response::{self, HttpResponse, closing, text, with},
    throttle::Throttle,
};

/// The most bytes of a body that are received although its token is wrong: more than a report of the microkernel has.
const MAX_DISCARDED: usize = 64 << 10;

#[derive(Debug, Clone, Default)]
pub struct MachineListenerConfig {
    /// The addresses that machines get instead of the one they reached.
    pub advertise: Advertise,
    /// The names by which machines may address the server.
    pub names: Vec<String>,
    pub limits: Limits,
}

/// Serves machines until `stop`.
pub async fn serve_machines<B: Backend>(
    listener: Listener,
    backend: Arc<B>,
    config: MachineListenerConfig,
    stop: Stop,
) {
    let limits = config.limits;
    let handler = Arc::new(MachineHandler {
        backend,
        config,
        pool: Arc::default(),
        memory: RequestMemory::new(&limits),
        throttle: Throttle::default(),
    });
    let serve = |stream, address| handler.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// Shared by all connections.
struct MachineHandler<B> {
    backend: Arc<B>,
    config: MachineListenerConfig,
    pool: Arc<BufferPool>,
    memory: Arc<RequestMemory>,
    throttle: Throttle,
}

struct ConnectionHandler<B> {
    shared: Arc<MachineHandler<B>>,
    peer: Peer,
    base: Arc<str>,
}

impl<B: Backend> MachineHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, stop: Stop) {
        let Ok(peer) = connection::peer(&stream, address) else {
            return; // The connection is closed.
        };
        let connection = ConnectionHandler {
            base: self.config.advertise.base(peer.local).into(),
            shared: self,
            peer,
        };
        let limits = &connection.shared.config.limits;
        let memory = &connection.shared.memory;
        connection::serve(stream, limits, memory, stop, |request| {
            connection.respond(request)
        })
        .await;
    }
}

impl<B: Backend> ConnectionHandler<B> {
    async fn respond(&self, request: Request<Incoming>) -> HttpResponse {
        if connection::is_chunked(&request) {
            return closing(text(
                StatusCode::LENGTH_REQUIRED,
                "Content-Length required\n",
            ));
        }
        if guard::is_of_browser(request.headers()) {
            return closing(text(
                StatusCode::FORBIDDEN,
                "this port is for machines, not for web browsers\n",
            ));
        }
        let route = MachineRoute::parse(request.uri());
        if let Some(refusal) = self.refusal(&request, route == Ok(MachineRoute::ServerHealth)) {
            return refusal;
        }
        let route = match route {
            Ok(route) => route,
            Err(RouteError::NotFound) => return not_found(),
            Err(RouteError::InvalidPath) => {
                return text(StatusCode::BAD_REQUEST, "invalid path\n");
            }
        };
        if !route.allows(request.method()) {
            return response::method_not_allowed(route.methods());
        }
        let (parts, body) = request.into_parts();
        let (method, headers) = (&parts.method, &parts.headers);
        match route {
            MachineRoute::Entry => self.entry(headers).await,
            MachineRoute::Boot => {
                let query = parts.uri.query().unwrap_or_default();
                self.boot(query, headers).await
            }
            MachineRoute::ServerHealth => self.health(),
            MachineRoute::Loader { name } => self.loader(name, method, headers).await,
            MachineRoute::Mboot { repo, path } => self.mboot(repo, path, method, headers).await,
            MachineRoute::Document { token, name } => {
                self.document(token, name, method, headers).await
            }
            MachineRoute::Callback { token, callback } => {
                closing(self.callback(token, callback, method, body).await)
            }
            MachineRoute::Seal(request) => match self.shared.backend.seal(request).await {
                Some(reply) => closing(response::reply(reply)),
                None => self.unknown_token().await,
            },
            MachineRoute::Microkernel { name } => self.microkernel(name, method, headers).await,
            MachineRoute::Report { token } => self.report(token, body).await,
            MachineRoute::Instruction { token } => self.check_in(token, None).await,
            MachineRoute::Repo { repo, path } => self.repo(repo, path, method, headers).await,
        }
    }

    /// The answer to a request for another server, or from a network that is not served.
    fn refusal(&self, request: &Request<Incoming>, is_health: bool) -> Option<HttpResponse> {
        let (config, local) = (&self.shared.config, self.peer.local.ip());
        let of_uri = request
            .uri()
            .authority()
            .map(|authority| authority.as_str());
        let of_header = request.headers().get(HOST).map(|host| host.to_str());
        // A header that is no text is of no server.
        let host = of_uri.or(of_header.map(|host| host.unwrap_or_default()));
        if !host::is_own(host, local, &config.advertise, &config.names) {
            return Some(closing(text(StatusCode::MISDIRECTED_REQUEST, host::OTHER)));
        }
        let is_refused = !is_health && !self.shared.backend.serves(self.peer);
        is_refused.then(|| closing(text(StatusCode::FORBIDDEN, host::NOT_SERVED)))
    }

    /// The server's URL as this machine reaches it.
    fn base(&self, headers: &HeaderMap) -> Arc<str> {
        if !self.peer.local.ip().is_loopback() {
            return self.base.clone();
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let advertise = &self.shared.config.advertise;
        advertise.base_for(self.peer.local, host).into()
    }

    async fn entry(&self, headers: &HeaderMap) -> HttpResponse {
        let request = EntryRequest {
            peer: self.peer,
            base: self.base(headers),
        };
        response::reply(self.shared.backend.entry(request).await)
    }

    async fn boot(&self, query: &str, headers: &HeaderMap) -> HttpResponse {
        match query::boot_request(query, self.peer, self.base(headers)) {
            Ok(request) => response::reply(self.shared.backend.boot(request).await),
            Err(reason) => text(StatusCode::BAD_REQUEST, reason + "\n"),
        }
    }

    fn health(&self) -> HttpResponse {
        let body = match self.shared.backend.health() {
            ServerHealth::Ok => "ok\n".into(),
            ServerHealth::Degraded(reason) => format!("degraded: {reason}\n"),
        };
        text(StatusCode::OK, body)
    }

    async fn loader(&self, name: String, method: &Method, headers: &HeaderMap) -> HttpResponse {
        let whole = requests_whole(method, headers);
        let request = LoaderRequest {
            name,
            whole,
            peer: self.peer,
        };
        let reply = self.shared.backend.loader(request).await;
        self.file_reply(reply, whole, method, headers).await
    }

    async fn mboot(
        &self,
        repo: String,
        path: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let whole = requests_whole(method, headers);
        let request = MbootRequest {
            repo,
            path,
            head: method == Method::HEAD,
            whole,
            peer: self.peer,
            base: self.base(headers),
        };
        let reply = self.shared.backend.mboot(request).await;
        self.file_reply(reply, whole, method, headers).await
    }

    async fn document(
        &self,
        token: String,
        name: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let whole = requests_whole(method, headers);
        let request = DocumentRequest {
            token,
            name,
            head: method == Method::HEAD,
            whole,
            peer: self.peer,
        };
        let reply = self.shared.backend.document(request).await;
        self.file_reply(reply, whole, method, headers).await
    }

    async fn file_reply(
        &self,
        reply: FileReply,
        whole: bool,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        match reply {
            FileReply::Bytes {
                reply,
                receipt: Some(receipt),
            } if whole => {
                let status = response::status(reply.status);
                let body = ResponseBody::Tracked(reply.body, receipt);
                response::whole(status, reply.content_type, body)
            }
            FileReply::Bytes { reply, .. } => file::bytes(method, headers, reply),
            FileReply::File(file) => file::serve(method, headers, file, &self.shared.pool),
            FileReply::UnknownToken => self.unknown_token().await,
        }
    }

    async fn callback(
        &self,
        token: String,
        callback: Callback,
        method: &Method,
        body: Incoming,
    ) -> HttpResponse {
        if method == Method::HEAD {
            return response::callback_ok();
        }
        if !self.shared.backend.knows_attempt(&token) {
            return self.without_body(body).await;
        }
        let limits = &self.shared.config.limits;
        let callback = callback_body::with_reason(callback, body, limits).await;
        let request = CallbackRequest {
            token,
            callback,
            peer: self.peer,
        };
        match self.shared.backend.callback(request).await {
            CallbackReply::Recorded => response::callback_ok(),
            CallbackReply::UnknownToken => self.unknown_token().await,
            CallbackReply::Rejected(reply) => response::reply(reply),
        }
    }

    async fn microkernel(
        &self,
        name: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        match self.shared.backend.microkernel(name).await {
            Ok(file) => file::serve(method, headers, file, &self.shared.pool),
            Err(reply) => response::reply(reply),
        }
    }

    async fn report(&self, token: String, body: Incoming) -> HttpResponse {
        if !self.shared.backend.knows_check_in(&token) {
            return closing(self.without_body(body).await);
        }
        let (limits, memory) = (&self.shared.config.limits, &self.shared.memory);
        match connection::whole_body(body, MAX_REPORT_BYTES, limits, memory).await {
            Ok(report) => self.check_in(token, Some(Bytes::from_owner(report))).await,
            // The rest of the body would be parsed as another request.
            Err(error) => {
                let error = ApiError::from(error);
                closing(response::reply(Reply::error(
                    error.status,
                    format!("{}\n", error.error),
                )))
            }
        }
    }

    async fn check_in(&self, token: String, report: Option<Bytes>) -> HttpResponse {
        let request = CheckInRequest {
            token,
            report,
            peer: self.peer,
        };
        match self.shared.backend.check_in(request).await {
            CheckInReply::Instruction(instruction) => response::json(instruction),
            CheckInReply::TooOften => with(
                text(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many reports: poll at most once a second, and report only what has changed\n",
                ),
                RETRY_AFTER,
                HeaderValue::from_static("1"),
            ),
            CheckInReply::UnknownToken => self.unknown_token().await,
            CheckInReply::Rejected(reply) => response::reply(reply),
        }
    }

    async fn repo(
        &self,
        repo: String,
        path: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let request = RepoRequest {
            repo,
            path,
            head: method == Method::HEAD,
            peer: self.peer,
        };
        match self.shared.backend.repo(request).await {
            Ok(file) => file::serve(method, headers, file, &self.shared.pool),
            Err(reply) => response::reply(reply),
        }
    }

    /// The response to a request with an unknown token, of which no byte is stored.
    async fn without_body(&self, body: Incoming) -> HttpResponse {
        let limits = &self.shared.config.limits;
        connection::discard_body(body, MAX_DISCARDED, limits).await;
        self.unknown_token().await
    }

    /// The response to an unknown token, delayed after many of them.
    async fn unknown_token(&self) -> HttpResponse {
        let address = self.peer.address.ip();
        sleep(self.shared.throttle.delay(address, Instant::now())).await;
        not_found()
    }
}

/// Whether the whole body is requested. Only this counts as reading a document.
fn requests_whole(method: &Method, headers: &HeaderMap) -> bool {
    method != Method::HEAD && !headers.contains_key(RANGE)
}

fn not_found() -> HttpResponse {
    text(StatusCode::NOT_FOUND, "not found\n")
}
