//! Checks the DHCP options of each network: each value fits its option, and all of them fit into an answer.

use std::{collections::BTreeMap, net::IpAddr};

use crate::model::{
    DhcpMode, DhcpOptionError, DhcpOptionKey, DhcpOptionSetting, MAX_OPTION_BYTES, Network,
    SiteOption, SiteOptionValue, Spanned,
};

use super::SiteCheck;
use crate::site::{Diagnostic, ObjectKind, free_addresses::subnets};

/// The most bytes of all options of a network, with two more for each. An answer in one Ethernet frame has 1,472; the rest are
/// fixed fields and the options of the server itself.
const MAX_BYTES: usize = 1_024;

impl SiteCheck<'_> {
    pub(super) fn dhcp_options(&mut self, network: &Network) {
        let mut first: BTreeMap<u8, (&DhcpOptionKey, &Spanned<DhcpOptionSetting>)> =
            BTreeMap::new();
        let unread = &self.site.unread;
        let is_flawed = unread.has_flawed(ObjectKind::Network, network.name.as_str());
        let mut total = 0;
        let mut options: Vec<_> = network.body.options.iter().collect();
        options.sort_by_key(|(_, setting)| setting.span);
        for (key, setting) in options.iter().copied() {
            if let Some((other, at)) = first.get(&key.code) {
                let message = format!(
                    "DHCP option {} is set twice, as `{other}` and as `{key}`",
                    key.code
                );
                self.report(Diagnostic::error(message, setting.span).other(at.span, "the first"));
                continue;
            }
            first.insert(key.code, (key, setting));
            // An invalid value is reported where it is read.
            if is_flawed && !setting.value.has_value() {
                continue;
            }
            match setting.value.encode(key, setting.span) {
                Ok(option) => total += self.dhcp_option(network, setting, &option),
                Err(DhcpOptionError {
                    message,
                    help,
                    span,
                }) => {
                    let mut mistake = Diagnostic::error(message, span);
                    mistake.help = help;
                    self.report(mistake);
                }
            }
        }
        let Some((_, last)) = options.last() else {
            return;
        };
        if total > MAX_BYTES {
            let message = format!(
                "the DHCP options of network `{}` have {total} bytes: an answer has room for {MAX_BYTES}",
                network.name
            );
            self.report(Diagnostic::error(message, last.span));
        }
        let mode = network.body.effective().dhcp;
        if !matches!(mode, DhcpMode::Server | DhcpMode::Reserve) {
            let message = "`options` has no effect without dhcp = \"server\" or \"reserve\"";
            self.report(Diagnostic::warning(message, options[0].1.span));
        }
    }

    /// Returns the size of an option in an answer.
    fn dhcp_option(
        &mut self,
        network: &Network,
        setting: &Spanned<DhcpOptionSetting>,
        option: &SiteOption,
    ) -> usize {
        let routes = match &option.value {
            SiteOptionValue::Bytes(bytes) => return bytes.len() + 2,
            SiteOptionValue::Routes(routes) => routes,
        };
        let is_inside = |ip: IpAddr| subnets(network).any(|subnet| subnet.contains(&ip));
        let is_on_link = network.body.effective().on_link;
        for (to, via) in routes {
            if !via.is_unspecified() && !is_on_link && !is_inside((*via).into()) {
                let message = format!(
                    "next hop {via} of the route to {to} is outside network `{}`",
                    network.name
                );
                self.report(Diagnostic::error(message, setting.span));
            }
        }
        // With the default route and a route to each next hop, at most: one of five bytes and one of nine.
        let size = routes.len() * 18 + 14;
        if size > MAX_OPTION_BYTES {
            let message = format!(
                "{} routes are too many for one DHCP option of {MAX_OPTION_BYTES} bytes: it holds 13",
                routes.len()
            );
            self.report(Diagnostic::error(message, setting.span));
        }
        size + 2
    }
}
