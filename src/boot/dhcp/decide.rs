//! What a question is answered with: a table.

use std::net::Ipv4Addr;

use super::{
    answer::{Answer, Kind, To},
    code,
    ground::{Door, Given, Ground, Held, Silence},
    query::{Asks, Query},
};
use crate::model::DhcpMode;

/// Decides what to answer, or why not to.
pub fn decide(query: &Query, ground: &Ground) -> Result<Answer, Silence> {
    match (ground.mode, ground.door) {
        (DhcpMode::Off, _) => Err(Silence::Off),
        (_, Door::Pxe) => at_boot_server(query, ground),
        (DhcpMode::Proxy, Door::Dhcp) => as_proxy(query, ground),
        (DhcpMode::Reserve, Door::Dhcp) if !ground.declared => Err(Silence::Undeclared),
        (DhcpMode::Reserve | DhcpMode::Server, Door::Dhcp) => as_server(query, ground),
    }
}

/// Port 4011: the machine has its address, and asks for the boot file alone.
fn at_boot_server(query: &Query, ground: &Ground) -> Result<Answer, Silence> {
    match query.asks {
        Asks::Discover | Asks::Request | Asks::Inform if query.client.boots() => {
            Ok(boot_alone(Kind::Ack, query, ground, ground.boot.clone()?))
        }
        Asks::Decline | Asks::Release => Err(Silence::Noted),
        _ => Err(Silence::Host),
    }
}

/// Beside another server: an offer with no address, which firmware adds to the other one's.
fn as_proxy(query: &Query, ground: &Ground) -> Result<Answer, Silence> {
    if !query.client.boots() {
        return Err(Silence::Host);
    }
    match query.asks {
        Asks::Discover => Ok(boot_alone(Kind::Offer, query, ground, ground.boot.clone()?)),
        Asks::Inform => Ok(boot_alone(Kind::Ack, query, ground, ground.boot.clone()?)),
        Asks::Request if query.server == Some(ground.us) => {
            Ok(boot_alone(Kind::Ack, query, ground, ground.boot.clone()?))
        }
        Asks::Request => Err(Silence::ForAnother),
        Asks::Decline | Asks::Release => Err(Silence::Noted),
    }
}

fn boot_alone(kind: Kind, query: &Query, ground: &Ground, given: Given) -> Answer {
    let mut options = given.options;
    if options.iter().all(|(known, _)| *known != code::CLASS) {
        options.push((code::CLASS, b"PXEClient".to_vec()));
    }
    Answer {
        kind,
        yiaddr: None,
        us: ground.us,
        file: Some(given.file),
        options,
        to: to(kind, query, None),
    }
}

/// As the server that gives addresses, of the whole network or of declared machines.
fn as_server(query: &Query, ground: &Ground) -> Result<Answer, Silence> {
    if let Some(other) = ground.other.filter(|_| ground.mode == DhcpMode::Server) {
        return Err(Silence::Another(other));
    }
    if ground.boot == Err(Silence::Local) && query.client.boots() {
        return Err(Silence::Local);
    }
    match query.asks {
        Asks::Discover => {
            let none = match ground.held {
                Held::Taken(ip) => Silence::InUse(ip),
                _ => Silence::NoAddress,
            };
            let address = ground.held.address().ok_or(none)?;
            Ok(complete(Kind::Offer, query, ground, address))
        }
        Asks::Request => requested(query, ground),
        Asks::Inform => Ok(informed(query, ground)),
        Asks::Decline | Asks::Release => Err(Silence::Noted),
    }
}

/// RFC 2131 section 4.3.2.
fn requested(query: &Query, ground: &Ground) -> Result<Answer, Silence> {
    let held = ground.held;
    let wanted = query.requested.or(query.ciaddr);
    match query.server {
        Some(server) if server != ground.us => return Err(Silence::Chosen(server)),
        // It has chosen our offer.
        Some(_) => {
            return match (wanted, held.address()) {
                (Some(wanted), Some(address)) if wanted == address => {
                    Ok(complete(Kind::Ack, query, ground, address))
                }
                _ => Ok(refused(query, ground)),
            };
        }
        None => {}
    }
    // It has an address already, or had it before: only what we gave is ours to take back.
    match held {
        Held::Reserved(address) | Held::Leased(address) if wanted == Some(address) => {
            Ok(complete(Kind::Ack, query, ground, address))
        }
        Held::Reserved(_) | Held::Leased(_) if ground.mode == DhcpMode::Server => {
            Ok(refused(query, ground))
        }
        _ => Err(Silence::NotOurs),
    }
}

/// It has its address by other means and wants the rest (RFC 2131 section 4.3.5).
fn informed(query: &Query, ground: &Ground) -> Answer {
    let mut answer = complete(Kind::Ack, query, ground, Ipv4Addr::UNSPECIFIED);
    answer.yiaddr = None;
    let lease = [code::LEASE, code::RENEWAL, code::REBINDING];
    answer.options.retain(|(known, _)| !lease.contains(known));
    answer.to = to(Kind::Ack, query, None);
    answer
}

fn refused(query: &Query, ground: &Ground) -> Answer {
    Answer {
        kind: Kind::Nak,
        yiaddr: None,
        us: ground.us,
        file: None,
        options: Vec::new(),
        to: to(Kind::Nak, query, None),
    }
}

fn complete(kind: Kind, query: &Query, ground: &Ground, address: Ipv4Addr) -> Answer {
    let mut options = ground.terms.options();
    options.extend(ground.terms.lease_options());
    let given = ground.boot.as_ref().ok().filter(|_| query.client.boots());
    if let Some(given) = given {
        options.extend(given.options.iter().cloned());
        // U-Boot and boot code in ROM look here when `siaddr` is not enough.
        options.push((code::TFTP_SERVER, ground.us.to_string().into_bytes()));
    }
    Answer {
        kind,
        yiaddr: Some(address),
        us: ground.us,
        file: given.map(|given| given.file.clone()),
        options,
        to: to(kind, query, Some(address)),
    }
}

/// RFC 2131 section 4.1.
fn to(kind: Kind, query: &Query, yiaddr: Option<Ipv4Addr>) -> To {
    match (query.giaddr, query.ciaddr, yiaddr) {
        (Some(relay), _, _) => To::Relay(relay),
        _ if kind == Kind::Nak => To::Everybody,
        (None, Some(client), _) => To::Client(client),
        _ if query.broadcast => To::Everybody,
        (None, None, Some(address)) => To::Card(address),
        (None, None, None) => To::Everybody,
    }
}

impl Held {
    /// The address, whatever it is.
    pub fn address(self) -> Option<Ipv4Addr> {
        match self {
            Held::Reserved(ip) | Held::Leased(ip) | Held::Free(ip) => Some(ip),
            Held::Taken(_) | Held::None => None,
        }
    }
}
