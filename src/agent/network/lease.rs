//! A DHCP client for one card.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    dhcp::{ClientLease, DhcpReply, DhcpTransaction},
    netlink::Netlink,
};
use crate::agent::{backoff, hardware::Nic};

/// How long the first question waits for its answer; each further one waits twice as long.
const FIRST: Duration = Duration::from_secs(2);

/// A card that got no address is asked for again after so long.
const REST: Duration = Duration::from_secs(60);

/// The client of one card.
pub(crate) struct DhcpClient {
    card: Nic,
    lease: Option<(ClientLease, Instant)>,
    /// When it last got no address.
    failed: Option<Instant>,
}

impl DhcpClient {
    pub(crate) fn new(card: Nic) -> DhcpClient {
        DhcpClient {
            card,
            lease: None,
            failed: None,
        }
    }

    pub(crate) fn card(&self) -> &Nic {
        &self.card
    }

    /// The card as it is now.
    pub(crate) fn see(&mut self, card: Nic) {
        self.card = card;
    }

    pub(crate) fn lease(&self) -> Option<&ClientLease> {
        self.lease.as_ref().map(|(lease, _)| lease)
    }

    /// Whether it got no address a short while ago.
    pub(crate) fn rests(&self) -> bool {
        self.lease.is_none() && self.failed.is_some_and(|failed| failed.elapsed() < REST)
    }

    /// Gets an address if there is none, and renews it when half of its time is over. What goes on takes as long as
    /// `tries` questions; an error says why there is no address.
    pub(crate) fn keep(&mut self, links: &Netlink, with_route: bool, tries: u32) -> io::Result<()> {
        let Some((lease, since)) = self.lease.clone() else {
            return self.obtain(links, with_route, tries);
        };
        let (age, term) = (since.elapsed(), Duration::from_secs(lease.seconds.into()));
        if age < term / 2 {
            return Ok(());
        }
        let (socket, talk) = (self.socket()?, self.talk());
        match asked(&socket, &talk, &talk.renew(&lease), DhcpReply::is_final, 1)? {
            Some(DhcpReply::Ack(again)) if again.address == lease.address => {
                self.lease = Some((again, Instant::now()));
                Ok(())
            }
            // Somebody who answers says no; nobody's silence ends an address before its time.
            None if age < term => Ok(()),
            _ => {
                links.remove_address(self.card.index, lease.address)?;
                self.lease = None;
                self.obtain(links, with_route, tries)
            }
        }
    }

    fn obtain(&mut self, links: &Netlink, with_route: bool, tries: u32) -> io::Result<()> {
        let obtained = self.ask(links, with_route, tries);
        self.failed = obtained.is_err().then(Instant::now);
        obtained
    }

    fn ask(&mut self, links: &Netlink, with_route: bool, tries: u32) -> io::Result<()> {
        let (socket, talk) = (self.socket()?, self.talk());
        let nobody = || io::Error::other("no DHCP server gives an address");
        let offer = match asked(&socket, &talk, &talk.discover(), DhcpReply::is_offer, tries)? {
            Some(DhcpReply::Offer(offer)) => offer,
            _ => return Err(nobody()),
        };
        let lease = match asked(
            &socket,
            &talk,
            &talk.request(&offer),
            DhcpReply::is_final,
            tries,
        )? {
            Some(DhcpReply::Ack(lease)) => lease,
            Some(_) => return Err(io::Error::other("the DHCP server takes its offer back")),
            None => return Err(nobody()),
        };
        links.add_address(self.card.index, lease.address)?;
        if let (true, Some(gateway)) = (with_route, lease.gateway) {
            links.add_default_route(self.card.index, gateway)?;
        }
        self.lease = Some((lease, Instant::now()));
        Ok(())
    }

    fn talk(&self) -> DhcpTransaction {
        DhcpTransaction {
            mac: self.card.mac,
            xid: backoff::chance(),
        }
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(self.card.name.as_bytes()))?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())?;
        Ok(socket.into())
    }
}

/// Asks, until somebody says what is an answer, or so many questions are lost.
fn asked(
    socket: &UdpSocket,
    talk: &DhcpTransaction,
    datagram: &[u8],
    is_answer: fn(&DhcpReply) -> bool,
    tries: u32,
) -> io::Result<Option<DhcpReply>> {
    for attempt in 0..tries {
        socket.send_to(datagram, (Ipv4Addr::BROADCAST, 67))?;
        let until = Instant::now() + FIRST * 2_u32.saturating_pow(attempt.min(4));
        while let Some(heard) = heard(socket, talk, until)? {
            if is_answer(&heard) {
                return Ok(Some(heard));
            }
        }
    }
    Ok(None)
}

/// What is said to this talk next; none when nothing is until then.
fn heard(
    socket: &UdpSocket,
    talk: &DhcpTransaction,
    until: Instant,
) -> io::Result<Option<DhcpReply>> {
    let mut buffer = [0; 1500];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let heard = talk.read(&buffer[..length]);
                if heard.is_some() {
                    return Ok(heard);
                }
            }
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
