//! Which reply a message gets: a table over network mode, port and message type.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, DhcpOptions, OptionCode};

use super::{
    context::{AddressAssignment, BootFile, DhcpPort, NoReply, ReplyContext},
    message::{DhcpMessage, DhcpMessageType},
    reply::{Destination, DhcpReply, ReplyType},
};
use crate::model::DhcpMode;

/// Returns the reply to a message, or why it gets none.
pub fn decide(message: &DhcpMessage, context: &ReplyContext) -> Result<DhcpReply, NoReply> {
    match (context.mode, context.port) {
        (DhcpMode::Off, _) => Err(NoReply::Off),
        (_, DhcpPort::Pxe) => as_boot_server(message, context),
        (DhcpMode::Proxy, DhcpPort::Dhcp) => as_proxy(message, context),
        (DhcpMode::Reserve, DhcpPort::Dhcp) if !context.declared => Err(NoReply::Undeclared),
        (DhcpMode::Reserve | DhcpMode::Server, DhcpPort::Dhcp) => as_server(message, context),
    }
}

/// Port 4011: the machine has its address and only requests the boot file.
fn as_boot_server(message: &DhcpMessage, context: &ReplyContext) -> Result<DhcpReply, NoReply> {
    match message.message_type {
        DhcpMessageType::Discover | DhcpMessageType::Request | DhcpMessageType::Inform
            if message.client.boots() =>
        {
            boot_only(ReplyType::Ack, message, context)
        }
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
        _ => Err(NoReply::NotBooting),
    }
}

/// Beside another DHCP server: an offer without an address, which firmware combines with the other server's offer.
fn as_proxy(message: &DhcpMessage, context: &ReplyContext) -> Result<DhcpReply, NoReply> {
    if !message.client.boots() {
        return Err(NoReply::NotBooting);
    }
    match message.message_type {
        DhcpMessageType::Discover => boot_only(ReplyType::Offer, message, context),
        DhcpMessageType::Inform => boot_only(ReplyType::Ack, message, context),
        DhcpMessageType::Request if message.server == Some(context.server_ip) => {
            boot_only(ReplyType::Ack, message, context)
        }
        DhcpMessageType::Request => Err(NoReply::AddressedToOther),
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
    }
}

fn boot_only(
    kind: ReplyType,
    message: &DhcpMessage,
    context: &ReplyContext,
) -> Result<DhcpReply, NoReply> {
    let BootFile { file, mut options } = context.boot.clone()?;
    if !options.contains(OptionCode::ClassIdentifier) {
        options.insert(DhcpOption::ClassIdentifier(b"PXEClient".to_vec()));
    }
    Ok(DhcpReply {
        kind,
        yiaddr: None,
        server_ip: context.server_ip,
        file: Some(file),
        options,
        destination: destination(kind, message, None),
        left_out: Vec::new(),
    })
}

/// As the server that assigns addresses, for all clients of the network or only for declared machines.
fn as_server(message: &DhcpMessage, context: &ReplyContext) -> Result<DhcpReply, NoReply> {
    if let Some(other) = context
        .other_server
        .filter(|_| context.mode == DhcpMode::Server)
    {
        return Err(NoReply::OtherServer(other));
    }
    if context.boot == Err(NoReply::LocalBoot) && message.client.boots() {
        return Err(NoReply::LocalBoot);
    }
    match message.message_type {
        DhcpMessageType::Discover => {
            let none = match context.assignment {
                AddressAssignment::InUse(ip) => NoReply::InUse(ip),
                _ => NoReply::NoAddress,
            };
            let address = context.assignment.address().ok_or(none)?;
            Ok(with_address(ReplyType::Offer, message, context, address))
        }
        DhcpMessageType::Request => on_request(message, context),
        DhcpMessageType::Inform => Ok(on_inform(message, context)),
        DhcpMessageType::Decline | DhcpMessageType::Release => Err(NoReply::NotNeeded),
    }
}

/// RFC 2131 section 4.3.2.
fn on_request(message: &DhcpMessage, context: &ReplyContext) -> Result<DhcpReply, NoReply> {
    let assignment = context.assignment;
    let wanted = message.requested.or(message.ciaddr);
    match message.server {
        Some(server) if server != context.server_ip => {
            return Err(NoReply::OtherServerChosen(server));
        }
        // The client has accepted this server's offer.
        Some(_) => {
            return match (wanted, assignment.address()) {
                (Some(wanted), Some(address)) if wanted == address => {
                    Ok(with_address(ReplyType::Ack, message, context, address))
                }
                _ => Ok(nak(message, context)),
            };
        }
        None => {}
    }
    // The client renews an address, or requests one that it had before. Only an address that this server assigned may be
    // refused.
    match assignment {
        AddressAssignment::Reserved(address) | AddressAssignment::Leased(address)
            if wanted == Some(address) =>
        {
            Ok(with_address(ReplyType::Ack, message, context, address))
        }
        AddressAssignment::Reserved(_) | AddressAssignment::Leased(_)
            if context.mode == DhcpMode::Server =>
        {
            Ok(nak(message, context))
        }
        _ => Err(NoReply::NotOurs),
    }
}

/// The client has an address and requests the other options (RFC 2131 section 4.3.5).
fn on_inform(message: &DhcpMessage, context: &ReplyContext) -> DhcpReply {
    let mut reply = with_address(ReplyType::Ack, message, context, Ipv4Addr::UNSPECIFIED);
    reply.yiaddr = None;
    let lease = [
        OptionCode::AddressLeaseTime,
        OptionCode::Renewal,
        OptionCode::Rebinding,
    ];
    reply.options.retain(|code, _| !lease.contains(code));
    reply.destination = destination(ReplyType::Ack, message, None);
    reply
}

fn nak(message: &DhcpMessage, context: &ReplyContext) -> DhcpReply {
    DhcpReply {
        kind: ReplyType::Nak,
        yiaddr: None,
        server_ip: context.server_ip,
        file: None,
        options: DhcpOptions::new(),
        destination: destination(ReplyType::Nak, message, None),
        left_out: Vec::new(),
    }
}

fn with_address(
    kind: ReplyType,
    message: &DhcpMessage,
    context: &ReplyContext,
    address: Ipv4Addr,
) -> DhcpReply {
    let mut options = context.options.required();
    for option in context.options.lease_options() {
        options.insert(option);
    }
    let boot = context.boot.as_ref().ok();
    let boot = boot.filter(|_| message.client.boots());
    if let Some(boot) = boot {
        for (_, option) in &boot.options {
            options.insert(option.clone());
        }
        // U-Boot and boot code in ROM read this when `siaddr` is not enough.
        let server = context.server_ip.to_string().into_bytes();
        options.insert(DhcpOption::TFTPServerName(server));
    }
    let mut reply = DhcpReply {
        kind,
        yiaddr: Some(address),
        server_ip: context.server_ip,
        file: boot.map(|boot| boot.file.clone()),
        options,
        destination: destination(kind, message, Some(address)),
        left_out: Vec::new(),
    };
    reply.add_optional(message, &context.options);
    reply
}

/// RFC 2131 section 4.1.
fn destination(kind: ReplyType, message: &DhcpMessage, yiaddr: Option<Ipv4Addr>) -> Destination {
    match (message.giaddr, message.ciaddr, yiaddr) {
        (Some(relay), _, _) => Destination::Relay(relay),
        _ if kind == ReplyType::Nak => Destination::Broadcast,
        (None, Some(client), _) => Destination::Client(client),
        _ if message.broadcast => Destination::Broadcast,
        (None, None, Some(address)) => Destination::Mac(address),
        (None, None, None) => Destination::Broadcast,
    }
}

impl AddressAssignment {
    /// The address that the client may use.
    pub fn address(self) -> Option<Ipv4Addr> {
        match self {
            AddressAssignment::Reserved(ip)
            | AddressAssignment::Leased(ip)
            | AddressAssignment::Free(ip) => Some(ip),
            AddressAssignment::InUse(_) | AddressAssignment::None => None,
        }
    }
}
