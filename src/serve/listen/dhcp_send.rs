//! Sends the replies of the DHCP listener: to the relay, to the client, or by broadcast.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use crate::{
    boot::dhcp::{Destination, DhcpMessage, DhcpPort, DhcpReply},
    net::dhcp::{CLIENT_PORT, DhcpSocket, SERVER_PORT, UdpRoute},
    serve::listen::dhcp::{DhcpListener, IncomingQuery},
};

impl DhcpListener {
    pub(super) fn send(&self, socket: &DhcpSocket, incoming: &IncomingQuery, answer: &DhcpReply) {
        let DhcpMessage { mac, max_size, .. } = incoming.query.query;
        if !answer.left_out.is_empty() && self.small_clients.is_first(&mac.0) {
            let left_out: Vec<String> = answer.left_out.iter().map(u8::to_string).collect();
            tracing::warn!(
                "DHCP: the answer to {mac} has no room for the options {}: the client accepts {max_size} bytes",
                left_out.join(", ")
            );
        }
        if let Err(error) = self.try_send(socket, incoming, answer) {
            let mac = incoming.query.query.mac;
            tracing::warn!("DHCP: the answer to {mac} was not sent: {error}");
        }
    }

    fn try_send(
        &self,
        socket: &DhcpSocket,
        incoming: &IncomingQuery,
        answer: &DhcpReply,
    ) -> io::Result<()> {
        let IncomingQuery {
            query,
            link,
            received,
        } = incoming;
        let bytes = answer.datagram(&query.query);
        let (server_ip, index) = (query.server_ip, Some(link.index));
        let broadcast = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
        match answer.destination {
            Destination::Relay(relay) => socket.send(
                &bytes,
                SocketAddrV4::new(relay, SERVER_PORT),
                server_ip,
                None,
            ),
            Destination::Client(client) => {
                // Replies of the boot server go to the client's source port.
                let port = match self.dhcp_port {
                    DhcpPort::Pxe => received.from.port(),
                    DhcpPort::Dhcp => CLIENT_PORT,
                };
                socket.send(&bytes, SocketAddrV4::new(client, port), server_ip, None)
            }
            Destination::Broadcast
                if self.dhcp_port == DhcpPort::Pxe && !received.from.ip().is_unspecified() =>
            {
                socket.send(&bytes, received.from, server_ip, None)
            }
            Destination::Broadcast => socket.send(&bytes, broadcast, server_ip, index),
            Destination::Mac(address) => {
                let route = UdpRoute {
                    from: server_ip,
                    from_port: self.port,
                    to: address,
                    to_port: CLIENT_PORT,
                    mac: query.query.mac,
                };
                let sent = self.links.send(link, &route, &bytes);
                // Without CAP_NET_RAW the reply is broadcast.
                sent.or_else(|_| socket.send(&bytes, broadcast, server_ip, index))
            }
        }
    }
}
