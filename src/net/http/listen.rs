//! Listening: accepting connections up to the limit and rejecting the others with 503.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    Limits,
    connection_limit::{ConnectionLimit, ConnectionPermit},
};

/// The most connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// The most rejected connections that get a response at a time; further ones are closed without one.
const MAX_REJECTIONS: usize = 64;

pub(super) const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 21\r\n\
    retry-after: 5\r\nconnection: close\r\n\r\ntoo many connections\n";

/// A listening TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; on `[::]` for IPv6 and IPv4, or only for IPv4 if the host has no IPv6.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let unspecified = address.is_ipv6() && address.ip().is_unspecified();
        let without_ipv6 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let socket = match open(address) {
            Err(error) if unspecified && error.kind() != io::ErrorKind::AddrInUse => {
                open(without_ipv6)?
            }
            socket => socket?,
        };
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket.into())?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The address on which it listens. If port 0 was requested, it has the assigned port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// The signal to stop a server: a sent `true`, or the sender being dropped.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn new(receiver: watch::Receiver<bool>) -> Stop {
        Stop(receiver)
    }

    /// Waits for the signal.
    pub(super) async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the listener stops: the sender of its stop signal was dropped");
        }
    }
}

/// Accepts connections and passes them to `serve` until `stop`. Then waits for open connections, up to the limit
/// `stop_time`.
pub(super) async fn accept<S: Future<Output = ()> + Send + 'static>(
    listener: Listener,
    limits: &Limits,
    mut stop: Stop,
    serve: impl Fn(TcpStream, SocketAddr) -> S,
) {
    let connections = ConnectionLimit::new(limits.connections, limits.connections_per_address);
    let rejections = Arc::new(Semaphore::new(MAX_REJECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stop.requested() => break,
        };
        match accepted {
            Ok((stream, address)) => match connections.acquire(address.ip().to_canonical()) {
                Some(permit) => spawn_connection(permit, serve(stream, address)),
                None => reject(stream, &rejections),
            },
            Err(error) => recover(&error).await,
        }
    }
    drop(listener);
    let deadline = Instant::now() + limits.stop_time;
    while !connections.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Serves a connection on its own task and releases its permit at the end.
fn spawn_connection(permit: ConnectionPermit, serving: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        serving.await;
        drop(permit);
    });
}

/// Sends 503. What the client has sent is read, because the kernel would otherwise reset the connection and discard the
/// response.
fn reject(mut stream: TcpStream, rejections: &Arc<Semaphore>) {
    let Ok(permit) = rejections.clone().try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let mut rest = [0; 1024];
        let response = async {
            stream.writable().await?;
            stream.try_write(TOO_MANY_CONNECTIONS)?;
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        match timeout(Duration::from_secs(1), response).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::debug!("a rejected client did not read its response"),
        }
        drop(permit);
    });
}

/// Waits after an error of `accept` that would repeat at once: no file descriptor or memory is left. Other errors concern
/// one connection, which is closed.
async fn recover(error: &io::Error) {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    if error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
    {
        tracing::warn!("cannot accept connections: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}
