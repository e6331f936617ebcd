//! Serving one connection: its requests one after another, within the limits.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    header::TRANSFER_ENCODING,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::SemaphorePermit,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Limits, Peer, Stop,
    body::TrackedBody,
    listen::TOO_MANY_CONNECTIONS,
    request_memory::{RequestMemory, StoredBody},
    response::HttpResponse,
    wire::{Wire, WireHandle},
};
use crate::api::ApiError;

/// A request with more headers is rejected.
const MAX_HEADERS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestBodyError {
    TooLong,
    /// It did not arrive in time, or the connection ended.
    Missing,
    /// The bodies of other requests take all memory that bodies may take.
    NoRoom,
}

pub(super) fn peer(stream: &TcpStream, address: SocketAddr) -> io::Result<Peer> {
    Ok(Peer {
        address: canonical(address),
        local: canonical(stream.local_addr()?),
    })
}

/// An IPv4 address of an IPv6 socket as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Serves a connection until it ends; `respond` handles each request. When the server stops, the response in progress is
/// the last.
pub(super) async fn serve<A: Future<Output = HttpResponse>>(
    stream: TcpStream,
    limits: &Limits,
    memory: &RequestMemory,
    stop: Stop,
    respond: impl Fn(Request<Incoming>) -> A,
) {
    let Some(handle) = handle(stream, limits) else {
        return; // The connection is closed.
    };
    let Some(_permit) = buffers(&handle, limits, memory, &stop).await else {
        return; // The connection is closed.
    };
    let wire = Wire::new(handle.clone());
    Box::pin(serve_over(wire, handle, limits, stop, respond)).await;
}

/// The same with TLS. It must not be used to serve files, which the kernel would send unencrypted.
pub(super) async fn serve_tls<A: Future<Output = HttpResponse>>(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    limits: &Limits,
    memory: &RequestMemory,
    stop: Stop,
    respond: impl Fn(Request<Incoming>) -> A,
) {
    let Some(handle) = handle(stream, limits) else {
        return; // The connection is closed.
    };
    let Some(_permit) = buffers(&handle, limits, memory, &stop).await else {
        return; // The connection is closed.
    };
    let wire = Wire::new(handle.clone());
    match timeout(limits.head_time, acceptor.accept(wire)).await {
        Ok(Ok(stream)) => Box::pin(serve_over(stream, handle, limits, stop, respond)).await,
        Ok(Err(error)) => tracing::debug!("no TLS connection: {error}"),
        Err(_) => tracing::debug!("no TLS connection: the client did not complete the handshake"),
    }
}

fn handle(stream: TcpStream, limits: &Limits) -> Option<Arc<WireHandle>> {
    stream.set_nodelay(true).ok()?;
    Some(Arc::new(WireHandle::new(stream, limits.stall_time)))
}

/// Waits for the first byte of a client, and then for buffers. Until then a connection takes little memory: the state of HTTP is
/// on the heap, and allocated afterwards.
async fn buffers<'a>(
    handle: &WireHandle,
    limits: &Limits,
    memory: &'a RequestMemory,
    stop: &Stop,
) -> Option<SemaphorePermit<'a>> {
    if !handle.is_used(limits.head_time, stop.clone()).await {
        return None;
    }
    let permit = memory.buffers().await;
    if permit.is_none() {
        handle.refuse(TOO_MANY_CONNECTIONS);
    }
    permit
}

async fn serve_over<A: Future<Output = HttpResponse>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handle: Arc<WireHandle>,
    limits: &Limits,
    mut stop: Stop,
    respond: impl Fn(Request<Incoming>) -> A,
) {
    let service = service_fn(|request| {
        let (handle, response) = (handle.clone(), respond(request));
        // On the heap: otherwise each idle connection had memory for the largest response in progress.
        Box::pin(async move {
            let response = response.await.map(|body| TrackedBody::new(body, handle));
            Ok::<Response<TrackedBody>, Infallible>(response)
        })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(MAX_HEADERS)
        .max_buf_size(limits.head_size)
        // Small clients close their sending side after the request.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("connection ended early: {error}");
    }
}

/// Whether the request has a `Transfer-Encoding`. No supported client sends one, and rejecting it prevents request
/// smuggling through proxies.
pub(super) fn is_chunked<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING)
}

/// Reads a request's body of at most `max` bytes, as far as `memory` has room.
pub(super) async fn whole_body(
    mut body: Incoming,
    max: usize,
    limits: &Limits,
    memory: &Arc<RequestMemory>,
) -> Result<StoredBody, RequestBodyError> {
    if body.size_hint().lower() > max as u64 {
        return Err(RequestBodyError::TooLong);
    }
    let mut stored = StoredBody::new(memory);
    let reading = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| RequestBodyError::Missing)?;
            let data = frame.into_data().unwrap_or_default();
            if stored.len() + data.len() > max {
                return Err(RequestBodyError::TooLong);
            }
            if !stored.add(&data) {
                return Err(RequestBodyError::NoRoom);
            }
        }
        Ok(())
    };
    let read = timeout(limits.body_time, reading).await;
    read.unwrap_or(Err(RequestBodyError::Missing))?;
    Ok(stored)
}

/// Receives a request's body of at most `max` bytes without storing it: the client reads the response only after it has sent the
/// body, and a connection that is closed before that resets. Nothing of a longer body is received.
pub(super) async fn discard_body(mut body: Incoming, max: usize, limits: &Limits) {
    if body.size_hint().lower() > max as u64 {
        return;
    }
    let reading = async { while let Some(Ok(_)) = body.frame().await {} };
    if timeout(limits.body_time, reading).await.is_err() {
        tracing::debug!("a request body did not arrive in time");
    }
}

/// Reads up to `max` bytes of a request's body. A body that is incomplete or longer is accepted.
pub(super) async fn partial_body(mut body: Incoming, max: usize, limits: &Limits) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            read.extend_from_slice(&data[..data.len().min(max - read.len())]);
            if read.len() == max {
                break;
            }
        }
    };
    if timeout(limits.body_time, reading).await.is_err() {
        tracing::debug!("a request body did not arrive in time");
    }
    read
}

impl From<RequestBodyError> for ApiError {
    fn from(error: RequestBodyError) -> ApiError {
        match error {
            RequestBodyError::TooLong => ApiError::new(413, "the request body is too long"),
            RequestBodyError::Missing => ApiError::new(408, "the request body did not arrive"),
            RequestBodyError::NoRoom => {
                ApiError::new(503, "too many requests with a body, try again later")
            }
        }
    }
}
