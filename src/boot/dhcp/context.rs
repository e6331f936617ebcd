//! What an answer rests on besides the question.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;

use super::{code, reply::Options};
use crate::model::DhcpMode;

/// Where a question arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DhcpPort {
    /// Port 67.
    Dhcp,
    /// Port 4011, the boot server's own (PXE 2.1 section 2.2.3).
    Pxe,
}

/// What is known of the asker and of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyContext {
    /// Where the question arrived.
    pub port: DhcpPort,
    /// What DHCP does on this network.
    pub mode: DhcpMode,
    /// Our address there.
    pub server_ip: Ipv4Addr,
    /// The network's settings.
    pub options: NetworkOptions,
    /// Whether a declaration has the asker.
    pub declared: bool,
    /// The asker's address.
    pub assignment: AddressAssignment,
    /// What it boots, or why nothing.
    pub boot: Result<BootFile, NoReply>,
    /// Another server that answers on this network.
    pub other_server: Option<Ipv4Addr>,
}

/// A network's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// Routers.
    pub gateways: Vec<Ipv4Addr>,
    /// DNS servers.
    pub dns: Vec<Ipv4Addr>,
    /// The domain.
    pub domain: Option<String>,
    /// DNS search domains.
    pub search: Vec<String>,
    /// NTP servers, those that are addresses.
    pub ntp: Vec<Ipv4Addr>,
    /// The largest packet in bytes.
    pub mtu: Option<u16>,
    /// How long a lease lasts.
    pub lease: Duration,
}

/// Which address the asker has or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressAssignment {
    /// Its declaration's.
    Reserved(Ipv4Addr),
    /// One of the range that it has.
    Leased(Ipv4Addr),
    /// One of the range that it may have.
    Free(Ipv4Addr),
    /// Its declaration's, which somebody else uses, and there is no other for it.
    InUse(Ipv4Addr),
    /// None: its declaration has none on this network, and there is no range, or nothing is free in it.
    None,
}

/// What a machine boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// A file's name for TFTP, or a URL.
    pub file: String,
    /// Options that its firmware wants beside it.
    pub options: Options,
}

/// Why nothing is answered. Silence is a value: the log, `explain` and the tests see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The network's mode.
    #[error("`dhcp` is off on this network")]
    Off,
    /// It wants an address alone, and another server gives those.
    #[error("it does not boot from the network")]
    NotBooting,
    /// No declaration has it.
    #[error("it is not declared, and `dhcp = \"reserve\"` answers declared machines alone")]
    Undeclared,
    /// It has chosen another server.
    #[error("it has chosen the server {0}")]
    OtherServerChosen(Ipv4Addr),
    /// Two servers on one network give addresses twice.
    #[error("another DHCP server, {0}, answers on this network")]
    OtherServer(Ipv4Addr),
    /// It asks the server that gave it its address.
    #[error("it asks the server that gave it its address")]
    AddressedToOther,
    /// We gave it no lease.
    #[error("its lease is none of ours")]
    NotOurs,
    /// There is no address for it.
    #[error("no address is free for it: widen `range`, or declare its address")]
    NoAddress,
    /// Two machines with one address disturb each other.
    #[error(
        "its address, {0}, is used by somebody else, and this network has no `range` to give another one from"
    )]
    InUse(Ipv4Addr),
    /// It needs no answer.
    #[error("it wants no answer")]
    NotNeeded,
    /// An unknown machine.
    #[error("it is unknown, and this network's `unknown` gives it nothing to boot")]
    Unknown,
    /// A machine that is sent to its disk by silence.
    #[error("nothing is due, and its `local-boot` is silent")]
    LocalBoot,
    /// Its loader is not there.
    #[error("{name} is not there: {help}")]
    NoLoader {
        /// The name that it is served under.
        name: String,
        /// What to do.
        help: String,
    },
    /// Secure Boot's GRUB has no HTTP.
    #[error(
        "with Secure Boot it boots by PXE alone: the signed GRUB fetches over TFTP and not over HTTP"
    )]
    SecureHttp,
    /// Nothing boots this architecture.
    #[error("nothing boots {0} firmware unless the site brings a `loader`")]
    NoLoaderFor(String),
}

impl NetworkOptions {
    /// The options that say them.
    pub(super) fn options(&self) -> Options {
        let list = |ips: &[Ipv4Addr]| ips.iter().flat_map(|ip| ip.octets()).collect::<Vec<u8>>();
        let domain = self.domain.as_ref().map(|name| name.clone().into_bytes());
        let all = [
            (code::MASK, Some(self.subnet.netmask().octets().to_vec())),
            (code::ROUTER, Some(list(&self.gateways))),
            (code::DNS, Some(list(&self.dns))),
            (code::DOMAIN, domain),
            (code::MTU, self.mtu.map(|mtu| mtu.to_be_bytes().to_vec())),
            (code::NTP, Some(list(&self.ntp))),
            (code::SEARCH, Some(names(&self.search))),
        ];
        let said = all
            .into_iter()
            .filter_map(|(code, value)| Some((code, value?)));
        // An option holds 255 bytes; what is longer is left out rather than cut.
        said.filter(|(_, value)| !value.is_empty() && value.len() <= 255)
            .collect()
    }

    /// The options of a lease: its length, and when the client asks again (RFC 2131 section 4.4.5).
    pub(super) fn lease_options(&self) -> Options {
        let seconds = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        let times = [
            (code::LEASE, seconds),
            (code::RENEWAL, seconds / 2),
            (code::REBINDING, seconds / 8 * 7),
        ];
        times
            .map(|(code, value)| (code, value.to_be_bytes().to_vec()))
            .to_vec()
    }
}

/// Domain names as DNS has them on the wire, without compression (RFC 1035 section 3.1, RFC 3397).
fn names(list: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in list {
        for label in name
            .split('.')
            .filter(|label| !label.is_empty() && label.len() < 64)
        {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
    }
    bytes
}
