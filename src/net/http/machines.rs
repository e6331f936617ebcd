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
    Advertise, Backend, CallbackAsk, CheckInAsk, CheckInReply, DocumentAsk, EntryAsk, Health,
    Heard, Limits, Listener, LoaderAsk, MbootAsk, Peer, Refusal, Reply, RepoAsk, Served, Stop,
    answer::{self, Answer, closing, with, words},
    body::AnswerBody,
    connection, file, listen,
    path::{LONGEST_LINE, Lost, Route},
    pool::Pool,
    query,
    throttle::Throttle,
};

/// A reason that comes in a body is read so far.
const LONGEST_REASON: usize = 4 << 10;

/// How the machines' listener is set up.
#[derive(Debug, Clone, Default)]
pub struct Machines {
    /// What machines are told in place of the address they reached.
    pub advertise: Advertise,
    /// The bounds.
    pub limits: Limits,
}

/// Serves machines until `stop`.
pub async fn machines<B: Backend>(
    listener: Listener,
    backend: Arc<B>,
    machines: Machines,
    stop: Stop,
) {
    let limits = machines.limits;
    let desk = Arc::new(Desk {
        backend,
        machines,
        pool: Arc::default(),
        throttle: Throttle::default(),
    });
    let serve = |stream, address| desk.clone().serve(stream, address, stop.clone());
    listen::accept(listener, &limits, stop.clone(), serve).await;
}

/// What all connections share.
struct Desk<B> {
    backend: Arc<B>,
    machines: Machines,
    pool: Arc<Pool>,
    throttle: Throttle,
}

/// One connection.
struct Visit<B> {
    desk: Arc<Desk<B>>,
    peer: Peer,
    base: Arc<str>,
}

impl<B: Backend> Desk<B> {
    async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr, stop: Stop) {
        let Ok(peer) = connection::peer(&stream, address) else {
            return; // It is gone already.
        };
        let visit = Visit {
            base: self.machines.advertise.base(peer.local).into(),
            desk: self,
            peer,
        };
        let limits = &visit.desk.machines.limits;
        connection::serve(stream, limits, stop, |request| visit.answer(request)).await;
    }
}

impl<B: Backend> Visit<B> {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if connection::is_chunked(&request) {
            return closing(words(
                StatusCode::LENGTH_REQUIRED,
                "say the body's length\n",
            ));
        }
        let route = match Route::read(request.uri()) {
            Ok(route) => route,
            Err(Lost::Nothing) => return nothing(),
            Err(Lost::Crooked) => {
                return words(StatusCode::BAD_REQUEST, "no path here looks like this\n");
            }
        };
        if !route.takes(request.method()) {
            return answer::wrong_method(route.methods());
        }
        let (parts, body) = request.into_parts();
        let (method, headers) = (&parts.method, &parts.headers);
        match route {
            Route::Entry => self.entry(headers).await,
            Route::Boot => {
                let query = parts.uri.query().unwrap_or_default();
                self.boot(query, headers).await
            }
            Route::Health => self.health(),
            Route::Loader { name } => self.loader(name, method, headers).await,
            Route::Mboot { repo, path } => self.mboot(repo, path, method, headers).await,
            Route::Document { token, name } => self.document(token, name, method, headers).await,
            Route::Callback { token, callback } => {
                closing(self.callback(token, callback, method, body).await)
            }
            Route::Microkernel { name } => self.microkernel(name, method, headers).await,
            Route::Report { token } => self.report(token, body).await,
            Route::Order { token } => self.check_in(token, None).await,
            Route::Repo { repo, path } => self.repo(repo, path, method, headers).await,
        }
    }

    /// Where this machine reaches us.
    fn base(&self, headers: &HeaderMap) -> Arc<str> {
        if !self.peer.local.ip().is_loopback() {
            return self.base.clone();
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let advertise = &self.desk.machines.advertise;
        advertise.base_for(self.peer.local, host).into()
    }

    async fn entry(&self, headers: &HeaderMap) -> Answer {
        let ask = EntryAsk {
            peer: self.peer,
            base: self.base(headers),
        };
        answer::reply(self.desk.backend.entry(ask).await)
    }

    async fn boot(&self, query: &str, headers: &HeaderMap) -> Answer {
        match query::boot_ask(query, self.peer, self.base(headers)) {
            Ok(ask) => answer::reply(self.desk.backend.boot(ask).await),
            Err(reason) => words(StatusCode::BAD_REQUEST, reason + "\n"),
        }
    }

    fn health(&self) -> Answer {
        let text = match self.desk.backend.health() {
            Health::Ok => "ok\n".into(),
            Health::Degraded(reason) => format!("degraded: {reason}\n"),
        };
        words(StatusCode::OK, text)
    }

    async fn loader(&self, name: String, method: &Method, headers: &HeaderMap) -> Answer {
        let whole = wants_all(method, headers);
        let ask = LoaderAsk {
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
    ) -> Answer {
        let whole = wants_all(method, headers);
        let ask = MbootAsk {
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
    ) -> Answer {
        let whole = wants_all(method, headers);
        let ask = DocumentAsk {
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
        served: Served,
        whole: bool,
        method: &Method,
        headers: &HeaderMap,
    ) -> Answer {
        match served {
            Served::Bytes {
                reply,
                receipt: Some(receipt),
            } if whole => {
                let status = answer::status(reply.status);
                let body = AnswerBody::Watched(reply.body, receipt);
                answer::whole(status, reply.content_type, body)
            }
            Served::Bytes { reply, .. } => file::bytes(method, headers, reply),
            Served::File(file) => file::repo(method, headers, file, &self.desk.pool),
            Served::UnknownToken => self.unknown_token().await,
        }
    }

    async fn callback(
        &self,
        token: String,
        callback: Callback,
        method: &Method,
        body: Incoming,
    ) -> Answer {
        if method == Method::HEAD {
            return answer::heard();
        }
        let callback = self.with_body(callback, body).await;
        let ask = CallbackAsk {
            token,
            callback,
            peer: self.peer,
        };
        match self.desk.backend.callback(ask).await {
            Heard::Taken => answer::heard(),
            Heard::UnknownToken => self.unknown_token().await,
            Heard::Refused(reply) => answer::reply(reply),
        }
    }

    /// Adds the reason that the body of a `POST` tells, where the path told none.
    async fn with_body(&self, callback: Callback, body: Incoming) -> Callback {
        let limits = &self.desk.machines.limits;
        let body = connection::some_body(body, LONGEST_REASON, limits).await;
        match callback {
            Callback::Stage { stage, reason } => Callback::Stage {
                stage,
                reason: reason.or_else(|| reason_in(&body)),
            },
            callback => callback,
        }
    }

    async fn microkernel(&self, name: String, method: &Method, headers: &HeaderMap) -> Answer {
        match self.desk.backend.microkernel(name).await {
            Ok(file) => file::repo(method, headers, file, &self.desk.pool),
            Err(reply) => answer::reply(reply),
        }
    }

    async fn report(&self, token: String, body: Incoming) -> Answer {
        let limits = &self.desk.machines.limits;
        match connection::whole_body(body, LONGEST_REPORT, limits).await {
            Ok(report) => self.check_in(token, Some(report)).await,
            // What was not read of the body would be taken for another request.
            Err(bad) => {
                let refusal = Refusal::from(bad);
                closing(answer::reply(Reply::refusal(
                    refusal.status,
                    format!("{}\n", refusal.error),
                )))
            }
        }
    }

    async fn check_in(&self, token: String, report: Option<Bytes>) -> Answer {
        let ask = CheckInAsk {
            token,
            report,
            peer: self.peer,
        };
        match self.desk.backend.check_in(ask).await {
            CheckInReply::Order(order) => answer::json(order),
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
    ) -> Answer {
        let ask = RepoAsk {
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
    async fn unknown_token(&self) -> Answer {
        let address = self.peer.address.ip();
        sleep(self.desk.throttle.wrong(address, Instant::now())).await;
        nothing()
    }
}

/// Whether the whole body is asked for: nothing else counts as reading.
fn wants_all(method: &Method, headers: &HeaderMap) -> bool {
    method != Method::HEAD && !headers.contains_key(RANGE)
}

fn nothing() -> Answer {
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
