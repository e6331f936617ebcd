//! What a reply depends on besides the client's message.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::v4::{DhcpOption, DhcpOptions, OptionCode};
use ipnet::Ipv4Net;

use super::{reply::raw, site_options::STATIC_ROUTES};
use crate::model::{DhcpMode, MAX_OPTION_BYTES, SiteOption};

/// The port at which a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DhcpPort {
    /// Port 67.
    Dhcp,
    /// Port 4011, the PXE boot server's (PXE 2.1 section 2.2.3).
    Pxe,
}

/// The client's state and the configuration of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyContext {
    pub port: DhcpPort,
    pub mode: DhcpMode,
    /// This server's address on that network.
    pub server_ip: Ipv4Addr,
    pub options: NetworkOptions,
    /// Whether a declaration matches the client.
    pub declared: bool,
    pub assignment: AddressAssignment,
    /// The boot file, or why the client gets none.
    pub boot: Result<BootFile, NoReply>,
    /// Another DHCP server that answers on this network.
    pub other_server: Option<Ipv4Addr>,
}

/// The settings of a network that its clients get as options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    pub subnet: Ipv4Net,
    pub gateways: Vec<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    /// DNS search domains.
    pub search: Vec<String>,
    /// NTP servers; only those given as addresses.
    pub ntp: Vec<Ipv4Addr>,
    /// In bytes.
    pub mtu: Option<u16>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Whether the gateways may be outside of the subnet.
    pub on_link: bool,
    /// The options of the site's own.
    pub site: Vec<SiteOption>,
}

/// The address that a client has or may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressAssignment {
    /// The address of its declaration.
    Reserved(Ipv4Addr),
    /// An address of the range, leased to it.
    Leased(Ipv4Addr),
    /// A free address of the range.
    Free(Ipv4Addr),
    /// The address of its declaration, which another host uses; the network has no range to take another one from.
    InUse(Ipv4Addr),
    /// None: its declaration has no address on this network, and there is no range or no free address in it.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFile {
    /// A file name for TFTP, or a URL.
    pub file: String,
    /// Options that the client's firmware needs with it.
    pub options: DhcpOptions,
}

/// Why a message gets no reply. It is a value, so that the log, `explain` and the tests can show it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    #[error("`dhcp` is off on this network")]
    Off,
    /// The client only wants an address, which another server assigns.
    #[error("it does not boot from the network")]
    NotBooting,
    #[error("it is not declared, and `dhcp = \"reserve\"` only answers declared machines")]
    Undeclared,
    #[error("it has accepted the offer of the DHCP server {0}")]
    OtherServerChosen(Ipv4Addr),
    /// Two servers that assign addresses on one network assign the same address twice.
    #[error("another DHCP server, {0}, answers on this network")]
    OtherServer(Ipv4Addr),
    #[error("the request is for the DHCP server that assigned its address")]
    AddressedToOther,
    #[error("its lease is not from this server")]
    NotOurs,
    #[error("no address is free for it: widen `range`, or declare its address")]
    NoAddress,
    #[error(
        "its address, {0}, is used by another host, and this network has no `range` to assign another one from"
    )]
    InUse(Ipv4Addr),
    /// A DHCPDECLINE or DHCPRELEASE.
    #[error("the message needs no reply")]
    NotNeeded,
    #[error("it is not declared, and this network's `unknown` gives it nothing to boot")]
    Unknown,
    /// The machine falls back to its disk when it gets no reply.
    #[error("no installation is due, and its `local-boot` is silent")]
    LocalBoot,
    #[error("{name} is missing: {help}")]
    NoLoader {
        /// The name that the loader is served under.
        name: String,
        /// What to do.
        help: String,
    },
    #[error(
        "with Secure Boot it can only boot by PXE: the signed GRUB fetches files over TFTP, not over HTTP"
    )]
    SecureHttp,
    #[error("there is no loader for {0} firmware: set `loader` to one of your own")]
    NoLoaderFor(String),
}

impl NetworkOptions {
    /// The options that every client needs to use its address.
    pub(super) fn required(&self) -> DhcpOptions {
        let all = [
            Some(DhcpOption::SubnetMask(self.subnet.netmask())),
            addresses(&self.gateways).map(DhcpOption::Router),
        ];
        let is_on_link = self.on_link && self.gateways.iter().any(|ip| !self.subnet.contains(ip));
        let routes = is_on_link.then(|| raw(STATIC_ROUTES, self.routes(&[])));
        let coded = all.into_iter().flatten();
        let coded = coded.map(|it| (OptionCode::from(&it), it));
        coded.chain(routes).collect()
    }

    /// The other options of the network, the most important ones first.
    pub(super) fn optional(&self) -> impl Iterator<Item = (OptionCode, DhcpOption)> {
        let domain = self.domain.clone();
        let domain = domain.filter(|name| name.len() <= MAX_OPTION_BYTES);
        let search = domain_names(&self.search);
        let search = Some(search).filter(|bytes| (1..=MAX_OPTION_BYTES).contains(&bytes.len()));
        let all = [
            addresses(&self.dns).map(DhcpOption::DomainNameServer),
            domain.map(DhcpOption::DomainName),
            self.mtu.map(DhcpOption::InterfaceMtu),
            addresses(&self.ntp).map(DhcpOption::NtpServers),
        ];
        let coded = all.into_iter().flatten();
        let coded = coded.map(|it| (OptionCode::from(&it), it));
        coded.chain(search.map(|bytes| raw(OptionCode::DomainSearch, bytes)))
    }

    /// The options of a lease: its length, and when the client renews it (RFC 2131 section 4.4.5).
    pub(super) fn lease_options(&self) -> [DhcpOption; 3] {
        let seconds = u32::try_from(self.lease.as_secs()).unwrap_or(u32::MAX);
        [
            DhcpOption::AddressLeaseTime(seconds),
            DhcpOption::Renewal(seconds / 2),
            DhcpOption::Rebinding(seconds / 8 * 7),
        ]
    }
}

/// A list of addresses that fits into an option. A longer list is left out rather than cut.
fn addresses(ips: &[Ipv4Addr]) -> Option<Vec<Ipv4Addr>> {
    (1..=MAX_OPTION_BYTES / 4)
        .contains(&ips.len())
        .then(|| ips.to_vec())
}

/// Encodes domain names as in DNS (RFC 1035 section 3.1, RFC 3397), without compression pointers, which
/// simple clients may not follow.
fn domain_names(list: &[String]) -> Vec<u8> {
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
