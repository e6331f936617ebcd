//! The DHCP client of one NIC.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    dhcp::{ClientLease, DhcpServerReply, DhcpTransaction},
    netlink::Netlink,
};
use crate::agent::{backoff, hardware::Nic};

/// The timeout of the first message; it is doubled for each further one.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// The delay before another attempt on a NIC that got no address.
const RETRY_DELAY: Duration = Duration::from_secs(60);

pub(crate) struct DhcpClient {
    nic: Nic,
    lease: Option<(ClientLease, Instant)>,
    /// The time of the last failure.
    failed: Option<Instant>,
}

impl DhcpClient {
    pub(crate) fn new(nic: Nic) -> DhcpClient {
        DhcpClient {
            nic,
            lease: None,
            failed: None,
        }
    }

    pub(crate) fn nic(&self) -> &Nic {
        &self.nic
    }

    /// Updates the NIC's link state.
    pub(crate) fn set_nic(&mut self, nic: Nic) {
        self.nic = nic;
    }

    pub(crate) fn lease(&self) -> Option<&ClientLease> {
        self.lease.as_ref().map(|(lease, _)| lease)
    }

    /// Whether the last attempt failed less than [`RETRY_DELAY`] ago.
    pub(crate) fn is_backing_off(&self) -> bool {
        self.lease.is_none()
            && self
                .failed
                .is_some_and(|failed| failed.elapsed() < RETRY_DELAY)
    }

    /// Gets an address if there is none, and renews it after half of the lease time. Sends at most `tries` messages of each
    /// kind.
    pub(crate) fn maintain(
        &mut self,
        netlink: &Netlink,
        with_route: bool,
        tries: u32,
    ) -> io::Result<()> {
        let Some((lease, since)) = self.lease.clone() else {
            return self.obtain(netlink, with_route, tries);
        };
        let (age, term) = (since.elapsed(), Duration::from_secs(lease.seconds.into()));
        if age < term / 2 {
            return Ok(());
        }
        let (socket, transaction) = (self.socket()?, self.transaction());
        match exchange(
            &socket,
            &transaction,
            &transaction.renew(&lease),
            DhcpServerReply::is_final,
            1,
        )? {
            Some(DhcpServerReply::Ack(again)) if again.address == lease.address => {
                self.lease = Some((again, Instant::now()));
                Ok(())
            }
            // Without a reply the address is kept until the lease expires; only a DHCPNAK ends it earlier.
            None if age < term => Ok(()),
            _ => {
                netlink.remove_address(self.nic.index, lease.address)?;
                self.lease = None;
                self.obtain(netlink, with_route, tries)
            }
        }
    }

    fn obtain(&mut self, netlink: &Netlink, with_route: bool, tries: u32) -> io::Result<()> {
        let obtained = self.request(netlink, with_route, tries);
        self.failed = obtained.is_err().then(Instant::now);
        obtained
    }

    fn request(&mut self, netlink: &Netlink, with_route: bool, tries: u32) -> io::Result<()> {
        let (socket, transaction) = (self.socket()?, self.transaction());
        let no_server = || io::Error::other("no DHCP server answered");
        let offer = match exchange(
            &socket,
            &transaction,
            &transaction.discover(),
            DhcpServerReply::is_offer,
            tries,
        )? {
            Some(DhcpServerReply::Offer(offer)) => offer,
            _ => return Err(no_server()),
        };
        let lease = match exchange(
            &socket,
            &transaction,
            &transaction.request(&offer),
            DhcpServerReply::is_final,
            tries,
        )? {
            Some(DhcpServerReply::Ack(lease)) => lease,
            Some(_) => {
                return Err(io::Error::other(
                    "the DHCP server refused the address it had offered (DHCPNAK)",
                ));
            }
            None => return Err(no_server()),
        };
        netlink.add_address(self.nic.index, lease.address)?;
        if let (true, Some(gateway)) = (with_route, lease.gateway) {
            netlink.add_default_route(self.nic.index, lease.address, gateway)?;
        }
        self.lease = Some((lease, Instant::now()));
        Ok(())
    }

    fn transaction(&self) -> DhcpTransaction {
        DhcpTransaction {
            mac: self.nic.mac,
            xid: backoff::random(),
        }
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_broadcast(true)?;
        socket.bind_device(Some(self.nic.name.as_bytes()))?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into())?;
        Ok(socket.into())
    }
}

/// Sends a message until an accepted reply arrives, at most `tries` times.
fn exchange(
    socket: &UdpSocket,
    transaction: &DhcpTransaction,
    datagram: &[u8],
    is_accepted: fn(&DhcpServerReply) -> bool,
    tries: u32,
) -> io::Result<Option<DhcpServerReply>> {
    for attempt in 0..tries {
        socket.send_to(datagram, (Ipv4Addr::BROADCAST, 67))?;
        let until = Instant::now() + FIRST_TIMEOUT * 2_u32.saturating_pow(attempt.min(4));
        while let Some(reply) = receive(socket, transaction, until)? {
            if is_accepted(&reply) {
                return Ok(Some(reply));
            }
        }
    }
    Ok(None)
}

/// Receives the next reply of this transaction; `None` at the deadline.
fn receive(
    socket: &UdpSocket,
    transaction: &DhcpTransaction,
    until: Instant,
) -> io::Result<Option<DhcpServerReply>> {
    let mut buffer = [0; 1500];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let reply = transaction.read(&buffer[..length]);
                if reply.is_some() {
                    return Ok(reply);
                }
            }
            Err(error) if is_retryable(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_retryable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
