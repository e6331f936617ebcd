//! The machines' listener.
//!
//! Its clients are loaders and installers' shells: whole answers with a length and a body, no redirects, and
//! a callback's answer that the smallest of them understands.

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

use crate::control::{Callback, LONGEST_REPORT};

use super::{
    Advertise, ApiError, Backend, CallbackReply, CallbackRequest, CheckInReply, CheckInRequest,
    DocumentRequest, EntryRequest, FileReply, Limits, Listener, LoaderRequest, MbootRequest, Peer,
    Reply, RepoRequest, ServerHealth, Stop,
    answer::{self, HttpResponse, closing, with, words},
    body::ResponseBody,
    connection, file, listen,
    path::{LONGEST_LINE, MachineRoute, RouteError},
    pool::BufferPool,
    query,
    throttle::Throttle,
};

/// A reason that comes in a body is read so far.
const LONGEST_REASON: usize = 4 << 10;

/// How the machines' listener is set up.
#[derive(Debug, Clone, Default)]
pub struct MachineListenerConfig {
    /// What machines are told in place of the address they reached.
    pub advertise: Advertise,
    /// The bounds.
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
    let desk = Arc::new(MachineHandler {
        backend,
        config,
        pool: Arc::default(),
        throttle: Throttle::default(),
    });
    let serve = |stream, address| desk.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// What all connections share.
struct MachineHandler<B> {
    backend: Arc<B>,
    config: MachineListenerConfig,
    pool: Arc<BufferPool>,
    throttle: Throttle,
}

/// One connection.
struct ConnectionHandler<B> {
    desk: Arc<MachineHandler<B>>,
    peer: Peer,
    base: Arc<str>,
}

impl<B: Backend> MachineHandler<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, stop: Stop) {
        let Ok(peer) = connection::peer(&stream, address) else {
            return; // It is gone already.
        };
        let visit = ConnectionHandler {
            base: self.config.advertise.base(peer.local).into(),
            desk: self,
            peer,
        };
        let limits = &visit.desk.config.limits;
        connection::serve(stream, limits, stop, |request| visit.answer(request)).await;
    }
}

impl<B: Backend> ConnectionHandler<B> {
    async fn answer(&self, request: Request<Incoming>) -> HttpResponse {
        if connection::is_chunked(&request) {
            return closing(words(
                StatusCode::LENGTH_REQUIRED,
                "say the body's length\n",
            ));
        }
        let route = match MachineRoute::read(request.uri()) {
            Ok(route) => route,
            Err(RouteError::NotFound) => return nothing(),
            Err(RouteError::InvalidPath) => {
                return words(StatusCode::BAD_REQUEST, "no path here looks like this\n");
            }
        };
        if !route.takes(request.method()) {
            return answer::wrong_method(route.methods());
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
            MachineRoute::Microkernel { name } => self.microkernel(name, method, headers).await,
            MachineRoute::Report { token } => self.report(token, body).await,
            MachineRoute::Instruction { token } => self.check_in(token, None).await,
            MachineRoute::Repo { repo, path } => self.repo(repo, path, method, headers).await,
        }
    }

    /// Where this machine reaches us.
    fn base(&self, headers: &HeaderMap) -> Arc<str> {
        if !self.peer.local.ip().is_loopback() {
            return self.base.clone();
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let advertise = &self.desk.config.advertise;
        advertise.base_for(self.peer.local, host).into()
    }

    async fn entry(&self, headers: &HeaderMap) -> HttpResponse {
        let ask = EntryRequest {
            peer: self.peer,
            base: self.base(headers),
        };
        answer::reply(self.desk.backend.entry(ask).await)
    }

    async fn boot(&self, query: &str, headers: &HeaderMap) -> HttpResponse {
        match query::boot_ask(query, self.peer, self.base(headers)) {
            Ok(ask) => answer::reply(self.desk.backend.boot(ask).await),
            Err(reason) => words(StatusCode::BAD_REQUEST, reason + "\n"),
        }
    }

    fn health(&self) -> HttpResponse {
        let text = match self.desk.backend.health() {
            ServerHealth::Ok => "ok\n".into(),
            ServerHealth::Degraded(reason) => format!("degraded: {reason}\n"),
        };
        words(StatusCode::OK, text)
    }

    async fn loader(&self, name: String, method: &Method, headers: &HeaderMap) -> HttpResponse {
        let whole = wants_all(method, headers);
        let ask = LoaderRequest {
            name,
            whole,
            peer: self.peer,
        };
        let served = self.desk.backend.loader(ask).await;
        self.served(served, whole, method, headers).await
    }

    async fn mboot(
        &self,
        repo: String,
        path: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let whole = wants_all(method, headers);
        let ask = MbootRequest {
            repo,
            path,
            head: method == Method::HEAD,
            whole,
            peer: self.peer,
            base: self.base(headers),
        };
        let served = self.desk.backend.mboot(ask).await;
        self.served(served, whole, method, headers).await
    }

    async fn document(
        &self,
        token: String,
        name: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let whole = wants_all(method, headers);
        let ask = DocumentRequest {
            token,
            name,
            head: method == Method::HEAD,
            whole,
            peer: self.peer,
        };
        let served = self.desk.backend.document(ask).await;
        self.served(served, whole, method, headers).await
    }

    async fn served(
        &self,
        served: FileReply,
        whole: bool,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        match served {
            FileReply::Bytes {
                reply,
                receipt: Some(receipt),
            } if whole => {
                let status = answer::status(reply.status);
                let body = ResponseBody::Watched(reply.body, receipt);
                answer::whole(status, reply.content_type, body)
            }
            FileReply::Bytes { reply, .. } => file::bytes(method, headers, reply),
            FileReply::File(file) => file::repo(method, headers, file, &self.desk.pool),
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
            return answer::heard();
        }
        let callback = self.with_body(callback, body).await;
        let ask = CallbackRequest {
            token,
            callback,
            peer: self.peer,
        };
        match self.desk.backend.callback(ask).await {
            CallbackReply::Recorded => answer::heard(),
            CallbackReply::UnknownToken => self.unknown_token().await,
            CallbackReply::Refused(reply) => answer::reply(reply),
        }
    }

    /// Adds the reason that the body of a `POST` tells, where the path told none.
    async fn with_body(&self, callback: Callback, body: Incoming) -> Callback {
        let limits = &self.desk.config.limits;
        let body = connection::some_body(body, LONGEST_REASON, limits).await;
        match callback {
            Callback::Stage { stage, reason } => Callback::Stage {
                stage,
                reason: reason.or_else(|| reason_in(&body)),
            },
            callback => callback,
        }
    }

    async fn microkernel(
        &self,
        name: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        match self.desk.backend.microkernel(name).await {
            Ok(file) => file::repo(method, headers, file, &self.desk.pool),
            Err(reply) => answer::reply(reply),
        }
    }

    async fn report(&self, token: String, body: Incoming) -> HttpResponse {
        let limits = &self.desk.config.limits;
        match connection::whole_body(body, LONGEST_REPORT, limits).await {
            Ok(report) => self.check_in(token, Some(report)).await,
            // What was not read of the body would be taken for another request.
            Err(bad) => {
                let refusal = ApiError::from(bad);
                closing(answer::reply(Reply::refusal(
                    refusal.status,
                    format!("{}\n", refusal.error),
                )))
            }
        }
    }

    async fn check_in(&self, token: String, report: Option<Bytes>) -> HttpResponse {
        let ask = CheckInRequest {
            token,
            report,
            peer: self.peer,
        };
        match self.desk.backend.check_in(ask).await {
            CheckInReply::Instruction(order) => answer::json(order),
            CheckInReply::TooOften => with(
                words(StatusCode::TOO_MANY_REQUESTS, "once a second is enough\n"),
                RETRY_AFTER,
                HeaderValue::from_static("1"),
            ),
            CheckInReply::UnknownToken => self.unknown_token().await,
            CheckInReply::Refused(reply) => answer::reply(reply),
        }
    }

    async fn repo(
        &self,
        repo: String,
        path: String,
        method: &Method,
        headers: &HeaderMap,
    ) -> HttpResponse {
        let ask = RepoRequest {
            repo,
            path,
            head: method == Method::HEAD,
            peer: self.peer,
        };
        match self.desk.backend.repo(ask).await {
            Ok(file) => file::repo(method, headers, file, &self.desk.pool),
            Err(reply) => answer::reply(reply),
        }
    }

    /// Says that nothing is there, late where it was said often. Who is only waiting takes nobody's place.
    async fn unknown_token(&self) -> HttpResponse {
        let address = self.peer.address.ip();
        sleep(self.desk.throttle.wrong(address, Instant::now())).await;
        nothing()
    }
}

/// Whether the whole body is asked for: nothing else counts as reading.
fn wants_all(method: &Method, headers: &HeaderMap) -> bool {
    method != Method::HEAD && !headers.contains_key(RANGE)
}

fn nothing() -> HttpResponse {
    words(StatusCode::NOT_FOUND, "nothing is here\n")
}

/// Reads a reason from a body: the text itself, or a form's field `reason`.
fn reason_in(body: &[u8]) -> Option<String> {
    let reason = match body.strip_prefix(b"reason=") {
        Some(field) => query::told(&query::unescaped_bytes(field), LONGEST_LINE),
        None => query::told(body, LONGEST_LINE),
    };
    (!reason.is_empty()).then_some(reason)
}
