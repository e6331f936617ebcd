//! Asking whether another server gives addresses on a link.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use tokio::time::timeout;

use super::{CLIENT_PORT, DhcpSocket, SERVER_PORT};
use crate::{
    boot::dhcp::{offered_by, probe},
    model::Mac,
    net::interfaces::Interface,
};

/// How often is asked.
const ASKS: usize = 3;
/// For how long is then listened each time: others ping an address for three seconds before they offer it.
const LISTEN: Duration = Duration::from_secs(2);

/// Asks on a link as a client would, three times; returns a server that is not we, none when nobody has answered in
/// six seconds. `us` is our address there. The client's port is needed, and with it the right to have it.
pub async fn find_other_server(link: &Interface, us: Ipv4Addr) -> io::Result<Option<Ipv4Addr>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let [a, b, c, d, xid @ ..] = random;
    // A locally administered address: nobody's card.
    let mac = Mac([2, 0xb0, a, b, c, d]);
    let xid = u32::from_be_bytes(xid);
    let socket = DhcpSocket::open(CLIENT_PORT)?;
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
    for _ in 0..ASKS {
        socket.send(&probe(xid, mac), everybody, us, Some(link.index))?;
        // Nobody has answered in time: nobody is there, or it was lost.
        if let Ok(heard) = timeout(LISTEN, heard(&socket, xid, us)).await {
            return heard.map(Some);
        }
    }
    Ok(None)
}

/// Waits for a server that is not we.
async fn heard(socket: &DhcpSocket, xid: u32, us: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let mut buffer = [0; 2_048];
    loop {
        let arrived = socket.receive(&mut buffer).await?;
        let server = offered_by(&buffer[..arrived.length], xid);
        if let Some(server) = server.filter(|server| *server != us) {
            return Ok(server);
        }
    }
}
