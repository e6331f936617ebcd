//! The options of a reply that not every client gets: those of the site's own, and those for which there is room.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, OptionCode};
use ipnet::Ipv4Net;

use super::{
    context::NetworkOptions,
    message::DhcpMessage,
    reply::{DhcpReply, raw},
};
use crate::model::{SiteOption, SiteOptionValue};

/// RFC 3442.
pub(super) const STATIC_ROUTES: OptionCode = OptionCode::ClasslessStaticRoute;
/// A client's largest message includes these headers: IPv4 without options, and UDP.
const HEADERS: usize = 28;
/// Firmware takes this option for the menu of a PXE boot server (PXE 2.1 section 2.4).
const VENDOR_OPTIONS: u8 = 43;

impl DhcpReply {
    /// Adds the options that the client may get, as long as there is room for them in its largest message. Firmware in ROM does
    /// not check what exceeds its buffer, and does not read options in the fields for names.
    pub(super) fn add_optional(&mut self, message: &DhcpMessage, network: &NetworkOptions) {
        let largest = usize::from(message.max_size).saturating_sub(HEADERS);
        let mut room = largest.saturating_sub(self.unpadded(message).len());
        let site = network.site_options(message);
        let mut added = Vec::new();
        for (code, option) in network.optional().chain(site) {
            let size = encoded_size(&option);
            // One from the site's declaration replaces nothing that the firmware needs.
            if self.options.contains(code) && code != STATIC_ROUTES {
                continue;
            }
            if size > room {
                self.left_out.push(code.into());
                continue;
            }
            room -= size;
            added.push((code, option));
        }
        let options = std::mem::take(&mut self.options);
        self.options = options.into_iter().chain(added).collect();
    }
}

/// The size in a message, with its code and length.
fn encoded_size(option: &DhcpOption) -> usize {
    let mut bytes = Vec::new();
    let mut encoder = dhcproto::Encoder::new(&mut bytes);
    dhcproto::Encodable::encode(option, &mut encoder).expect("an option of known size");
    bytes.len()
}

impl NetworkOptions {
    /// The site's options for a client: those that it requests in its order, then those that are always sent. A client without a
    /// list gets all of them.
    fn site_options(&self, message: &DhcpMessage) -> Vec<(OptionCode, DhcpOption)> {
        let position = |option: &SiteOption| match &message.parameters {
            Some(list) => list.iter().position(|code| *code == option.code),
            None => Some(usize::from(option.code)),
        };
        let mut chosen: Vec<(usize, &SiteOption)> = self
            .site
            .iter()
            .filter(|option| option.code != VENDOR_OPTIONS || !message.client.boots())
            .filter_map(|option| {
                let always = option.always.then_some(usize::MAX);
                Some((position(option).or(always)?, option))
            })
            .collect();
        chosen.sort_by_key(|(position, option)| (*position, option.code));
        let chosen = chosen.into_iter();
        chosen
            .map(|(_, option)| {
                let bytes = match &option.value {
                    SiteOptionValue::Bytes(bytes) => bytes.clone(),
                    SiteOptionValue::Routes(routes) => self.routes(routes),
                };
                raw(OptionCode::from(option.code), bytes)
            })
            .collect()
    }

    /// Encodes routes for option 121. A client that gets it ignores the option for gateways (RFC 3442), so it contains the
    /// default route too. A next hop outside of the subnet is on the link, which a route to it makes known.
    pub(super) fn routes(&self, routes: &[(Ipv4Net, Ipv4Addr)]) -> Vec<u8> {
        let default = Ipv4Net::default();
        let gateway = self.gateways.first();
        let gateway = gateway.filter(|_| routes.iter().all(|(to, _)| *to != default));
        let routes = routes.iter().copied();
        let routes: Vec<(Ipv4Net, Ipv4Addr)> =
            routes.chain(gateway.map(|via| (default, *via))).collect();
        let is_outside = |via: &Ipv4Addr| !via.is_unspecified() && !self.subnet.contains(via);
        let mut on_link: Vec<Ipv4Addr> = routes.iter().map(|(_, via)| *via).collect();
        on_link.retain(is_outside);
        on_link.dedup();
        let on_link = on_link
            .into_iter()
            .map(|hop| (Ipv4Net::from(hop), Ipv4Addr::UNSPECIFIED));
        let mut bytes = Vec::new();
        for (to, via) in on_link.chain(routes) {
            let significant = usize::from(to.prefix_len().div_ceil(8));
            bytes.push(to.prefix_len());
            bytes.extend(&to.addr().octets()[..significant]);
            bytes.extend(via.octets());
        }
        bytes
    }
}
