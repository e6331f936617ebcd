//! Listening: connections are accepted, counted, and sent away when there are too many.

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
    seats::{ConnectionLimit, ConnectionPermit},
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Connections that are told that there are too many, at once; those beyond it are closed without a word.
const TOLD: usize = 64;

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 21\r\n\
    retry-after: 5\r\nconnection: close\r\n\r\ntoo many connections\n";

/// A socket that waits for connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens on `address`; on `[::]` for both families, and for IPv4 alone where there is no IPv6.
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

    /// Returns the address on which it listens, with the port that was chosen where 0 was asked for.
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

/// The wish that a server ends. It is said by sending `true`, or by dropping the sender.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Hears the wish from `said`.
    pub fn new(said: watch::Receiver<bool>) -> Stop {
        Stop(said)
    }

    /// Waits until it is said.
    pub(super) async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("whoever could stop the listener is gone");
        }
    }
}

/// Accepts connections and hands them to `serve` until `stop`; then waits for those that are still open, as
/// long as the limits allow.
pub(super) async fn accept<S: Future<Output = ()> + Send + 'static>(
    listener: Listener,
    limits: &Limits,
    mut stop: Stop,
    serve: impl Fn(TcpStream, SocketAddr) -> S,
) {
    let seats = ConnectionLimit::new(limits.connections, limits.connections_per_address);
    let told = Arc::new(Semaphore::new(TOLD));
    loop {
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stop.requested() => break,
        };
        match accepted {
            Ok((stream, address)) => match seats.take(address.ip().to_canonical()) {
                Some(seat) => occupy(seat, serve(stream, address)),
                None => send_away(stream, &told),
            },
            Err(error) => recover(&error).await,
        }
    }
    drop(listener);
    let last = Instant::now() + limits.stop_time;
    while !seats.is_empty() && Instant::now() < last {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Serves a connection on a task of its own for as long as it has its seat.
fn occupy(seat: ConnectionPermit, serving: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        serving.await;
        drop(seat);
    });
}

/// Tells a client that there are too many. What it has sent is read, or the kernel would take back the
/// answer with a reset.
fn send_away(mut stream: TcpStream, told: &Arc<Semaphore>) {
    let Ok(turn) = told.clone().try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let mut rest = [0; 1024];
        let telling = async {
            stream.writable().await?;
            stream.try_write(FULL)?;
            tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
            while stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        match timeout(Duration::from_secs(1), telling).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::debug!("a client that was sent away did not listen"),
        }
        drop(turn);
    });
}

/// Waits after an error of accepting where going on at once would only spin: no file or memory is left.
/// Anything else concerns one connection, which is gone.
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
