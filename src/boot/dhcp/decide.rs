//! What a question is answered with: a table.

use std::net::Ipv4Addr;

use super::{
    code,
    context::{AddressAssignment, BootFile, DhcpPort, NoReply, ReplyContext},
    message::{DhcpMessage, DhcpMessageType},
    reply::{Destination, DhcpReply, ReplyType},
};
use crate::model::DhcpMode;

/// Decides what to answer, or why not to.
pub fn decide(query: &DhcpMessage, ground: &ReplyContext) -> Result<DhcpReply, NoReply> {
    match (ground.mode, ground.port) {
        (DhcpMode::Off, _) => Err(NoReply::Off),
        (_, DhcpPort::Pxe) => at_boot_server(query, ground),
        (DhcpMode::Proxy, DhcpPort::Dhcp) => as_proxy(query, ground),
        (DhcpMode::Reserve, DhcpPort::Dhcp) if !ground.declared => Err(NoReply::Undeclared),
        (DhcpMode::Reserve | DhcpMode::Server, DhcpPort::Dhcp) => as_server(query, ground),
    }
}

/// Port 4011: the machine has its address, and asks for the boot file alone.
fn at_boot_server(query: &DhcpMessage, ground: &ReplyContext) -> Result<DhcpReply, NoReply> {
    match query.message_type {
        DhcpMessageType::Discover | DhcpMessageType::Request | DhcpMessageType::Inform
            if query.client.boots() =>
        {
            Ok(boot_alone(
                ReplyType::Ack,
                query,
                ground,
                ground.boot.clone()?,
            ))
        }
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
        _ => Err(NoReply::NotBooting),
    }
}

/// Beside another server: an offer with no address, which firmware adds to the other one's.
fn as_proxy(query: &DhcpMessage, ground: &ReplyContext) -> Result<DhcpReply, NoReply> {
    if !query.client.boots() {
        return Err(NoReply::NotBooting);
    }
    match query.message_type {
        DhcpMessageType::Discover => Ok(boot_alone(
            ReplyType::Offer,
            query,
            ground,
            ground.boot.clone()?,
        )),
        DhcpMessageType::Inform => Ok(boot_alone(
            ReplyType::Ack,
            query,
            ground,
            ground.boot.clone()?,
        )),
        DhcpMessageType::Request if query.server == Some(ground.server_ip) => Ok(boot_alone(
            ReplyType::Ack,
            query,
            ground,
            ground.boot.clone()?,
        )),
        DhcpMessageType::Request => Err(NoReply::AddressedToOther),
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
    }
}

fn boot_alone(
    kind: ReplyType,
    query: &DhcpMessage,
    ground: &ReplyContext,
    given: BootFile,
) -> DhcpReply {
    let mut options = given.options;
    if options.iter().all(|(known, _)| *known != code::CLASS) {
        options.push((code::CLASS, b"PXEClient".to_vec()));
    }
    DhcpReply {
        kind,
        yiaddr: None,
        server_ip: ground.server_ip,
        file: Some(given.file),
        options,
        destination: to(kind, query, None),
    }
}

/// As the server that gives addresses, of the whole network or of declared machines.
fn as_server(query: &DhcpMessage, ground: &ReplyContext) -> Result<DhcpReply, NoReply> {
    if let Some(other) = ground
        .other_server
        .filter(|_| ground.mode == DhcpMode::Server)
    {
        return Err(NoReply::OtherServer(other));
    }
    if ground.boot == Err(NoReply::LocalBoot) && query.client.boots() {
        return Err(NoReply::LocalBoot);
    }
    match query.message_type {
        DhcpMessageType::Discover => {
            let none = match ground.assignment {
                AddressAssignment::InUse(ip) => NoReply::InUse(ip),
                _ => NoReply::NoAddress,
            };
            let address = ground.assignment.address().ok_or(none)?;
            Ok(complete(ReplyType::Offer, query, ground, address))
        }
        DhcpMessageType::Request => requested(query, ground),
        DhcpMessageType::Inform => Ok(informed(query, ground)),
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
    }
}

/// RFC 2131 section 4.3.2.
fn requested(query: &DhcpMessage, ground: &ReplyContext) -> Result<DhcpReply, NoReply> {
    let held = ground.assignment;
    let wanted = query.requested.or(query.ciaddr);
    match query.server {
        Some(server) if server != ground.server_ip => {
            return Err(NoReply::OtherServerChosen(server));
        }
        // It has chosen our offer.
        Some(_) => {
            return match (wanted, held.address()) {
                (Some(wanted), Some(address)) if wanted == address => {
                    Ok(complete(ReplyType::Ack, query, ground, address))
                }
                _ => Ok(refused(query, ground)),
            };
        }
        None => {}
    }
    // It has an address already, or had it before: only what we gave is ours to take back.
    match held {
        AddressAssignment::Reserved(address) | AddressAssignment::Leased(address)
            if wanted == Some(address) =>
        {
            Ok(complete(ReplyType::Ack, query, ground, address))
        }
        AddressAssignment::Reserved(_) | AddressAssignment::Leased(_)
            if ground.mode == DhcpMode::Server =>
        {
            Ok(refused(query, ground))
        }
        _ => Err(NoReply::NotOurs),
    }
}

/// It has its address by other means and wants the rest (RFC 2131 section 4.3.5).
fn informed(query: &DhcpMessage, ground: &ReplyContext) -> DhcpReply {
    let mut answer = complete(ReplyType::Ack, query, ground, Ipv4Addr::UNSPECIFIED);
    answer.yiaddr = None;
    let lease = [code::LEASE, code::RENEWAL, code::REBINDING];
    answer.options.retain(|(known, _)| !lease.contains(known));
    answer.destination = to(ReplyType::Ack, query, None);
    answer
}

fn refused(query: &DhcpMessage, ground: &ReplyContext) -> DhcpReply {
    DhcpReply {
        kind: ReplyType::Nak,
        yiaddr: None,
        server_ip: ground.server_ip,
        file: None,
        options: Vec::new(),
        destination: to(ReplyType::Nak, query, None),
    }
}

fn complete(
    kind: ReplyType,
    query: &DhcpMessage,
    ground: &ReplyContext,
    address: Ipv4Addr,
) -> DhcpReply {
    let mut options = ground.options.options();
    options.extend(ground.options.lease_options());
    let given = ground.boot.as_ref().ok().filter(|_| query.client.boots());
    if let Some(given) = given {
        options.extend(given.options.iter().cloned());
        // U-Boot and boot code in ROM look here when `siaddr` is not enough.
        options.push((code::TFTP_SERVER, ground.server_ip.to_string().into_bytes()));
    }
    DhcpReply {
        kind,
        yiaddr: Some(address),
        server_ip: ground.server_ip,
        file: given.map(|given| given.file.clone()),
        options,
        destination: to(kind, query, Some(address)),
    }
}

/// RFC 2131 section 4.1.
fn to(kind: ReplyType, query: &DhcpMessage, yiaddr: Option<Ipv4Addr>) -> Destination {
    match (query.giaddr, query.ciaddr, yiaddr) {
        (Some(relay), _, _) => Destination::Relay(relay),
        _ if kind == ReplyType::Nak => Destination::Broadcast,
        (None, Some(client), _) => Destination::Client(client),
        _ if query.broadcast => Destination::Broadcast,
        (None, None, Some(address)) => Destination::Mac(address),
        (None, None, None) => Destination::Broadcast,
    }
}

impl AddressAssignment {
    /// The address, whatever it is.
    pub fn address(self) -> Option<Ipv4Addr> {
        match self {
            AddressAssignment::Reserved(ip)
            | AddressAssignment::Leased(ip)
            | AddressAssignment::Free(ip) => Some(ip),
            AddressAssignment::InUse(_) | AddressAssignment::None => None,
        }
    }
}
