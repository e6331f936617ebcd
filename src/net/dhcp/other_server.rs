//! Finding another DHCP server on a link.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use tokio::time::timeout;

use super::{CLIENT_PORT, DhcpSocket, SERVER_PORT};
use crate::{
    boot::dhcp::{discover, offering_server},
    model::Mac,
    net::interfaces::Interface,
};

/// How often a DHCPDISCOVER is sent.
const ATTEMPTS: usize = 3;
/// How long offers are awaited after each. Some servers ping an address for three seconds before they offer it.
const REPLY_TIME: Duration = Duration::from_secs(2);

/// Sends three DHCPDISCOVERs on a link, as a client would; returns a server that offers an address and is not this one,
/// none when there is no offer within six seconds. `own_ip` is this host's address on the link. It binds the client's
/// port, which needs root or CAP_NET_BIND_SERVICE.
pub async fn find_other_server(link: &Interface, own_ip: Ipv4Addr) -> io::Result<Option<Ipv4Addr>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let [a, b, c, d, xid @ ..] = random;
    // A locally administered address, which no NIC has.
    let mac = Mac([2, 0xb0, a, b, c, d]);
    let xid = u32::from_be_bytes(xid);
    let socket = DhcpSocket::open(CLIENT_PORT)?;
    let broadcast = SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT);
    for _ in 0..ATTEMPTS {
        socket.send(&discover(xid, mac), broadcast, own_ip, Some(link.index))?;
        // No offer in time: there is no server, or a packet was lost.
        if let Ok(server) = timeout(REPLY_TIME, receive_offer(&socket, xid, own_ip)).await {
            return server.map(Some);
        }
    }
    Ok(None)
}

/// Waits for the offer of another server.
async fn receive_offer(socket: &DhcpSocket, xid: u32, own_ip: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let mut buffer = [0; 2_048];
    loop {
        let received = socket.receive(&mut buffer).await?;
        let server = offering_server(&buffer[..received.length], xid);
        if let Some(server) = server.filter(|server| *server != own_ip) {
            return Ok(server);
        }
    }
}
