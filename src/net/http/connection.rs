//! One connection: requests one after another, each within its bounds.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    header::TRANSFER_ENCODING,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};

use super::{
    ApiError, Limits, Peer, Stop,
    answer::HttpResponse,
    body::TrackedBody,
    wire::{Wire, WireHandle},
};

/// More headers than this has no request.
const MOST_HEADERS: usize = 64;

/// Why a request's body cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadBody {
    /// It is longer than it may be.
    TooLong,
    /// It did not come in time, or not at all.
    Missing,
}

/// Returns the two ends of a connection.
pub(super) fn peer(stream: &TcpStream, address: SocketAddr) -> io::Result<Peer> {
    Ok(Peer {
        address: canonical(address),
        local: canonical(stream.local_addr()?),
    })
}

/// Shows an IPv4 address that came through an IPv6 socket as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Serves a connection to its end: every request is answered by `answer`. When the server stops, the
/// running answer is the last.
pub(super) async fn serve<A: Future<Output = HttpResponse>>(
    stream: TcpStream,
    limits: &Limits,
    mut stop: Stop,
    answer: impl Fn(Request<Incoming>) -> A,
) {
    if stream.set_nodelay(true).is_err() {
        return; // It is gone already.
    }
    let exchange = Arc::new(WireHandle::new(stream, limits.stall_time));
    let wire = Wire::new(exchange.clone());
    let service = service_fn(|request| {
        let (exchange, answer) = (exchange.clone(), answer(request));
        async move {
            let sent = answer.await.map(|body| TrackedBody::new(body, exchange));
            Ok::<Response<TrackedBody>, Infallible>(sent)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_headers(MOST_HEADERS)
        .max_buf_size(limits.head_size)
        // Small clients close their side once they have asked, and wait.
        .half_close(true)
        .serve_connection(TokioIo::new(wire), service);
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

/// Tells whether the length of a request's body is not said beforehand. No client of ours sends such a
/// body, and where proxies disagree about them one request can hide in another.
pub(super) fn is_chunked<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING)
}

/// Reads a request's body, which may be `most` long.
pub(super) async fn whole_body(
    body: Incoming,
    most: usize,
    limits: &Limits,
) -> Result<Bytes, BadBody> {
    if body.size_hint().lower() > most as u64 {
        return Err(BadBody::TooLong);
    }
    let body = Limited::new(body, most);
    match timeout(limits.body_time, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadBody::TooLong),
        Ok(Err(_)) | Err(_) => Err(BadBody::Missing),
    }
}

/// Reads as much of a request's body as comes, `most` at most. What is missing or too much does no harm.
pub(super) async fn some_body(mut body: Incoming, most: usize, limits: &Limits) -> Vec<u8> {
    let mut read = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            read.extend_from_slice(&data[..data.len().min(most - read.len())]);
            if read.len() == most {
                break;
            }
        }
    };
    if timeout(limits.body_time, reading).await.is_err() {
        tracing::debug!("a request's body did not come in time");
    }
    read
}

impl From<BadBody> for ApiError {
    fn from(bad: BadBody) -> ApiError {
        match bad {
            BadBody::TooLong => ApiError::new(413, "the request's body is too long"),
            BadBody::Missing => ApiError::new(408, "the request's body did not come"),
        }
    }
}
