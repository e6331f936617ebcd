//! Converts a layout into the plan that tasks render, which has no spans.

use crate::model::{List, Network, Settings, Spanned};

use super::{LinkDraft, LinkLayout};
use crate::site::{NetPlan, PlannedLink, PlannedRoute, layers::SettingsLayers};

impl<'a> LinkLayout<'a> {
    /// Returns the plan.
    pub(in crate::site) fn plan(&self, layers: &SettingsLayers<'a>) -> NetPlan {
        let ntp = layers.find_with(
            self.network,
            |settings| settings.ntp.as_deref(),
            |network| network.body.ntp.as_ref(),
        );
        NetPlan {
            links: self.links.iter().map(link).collect(),
            primary: self.primary,
            boot_mac: self.boot_mac,
            dns: self.gathered(
                layers,
                |link| link.own.dns,
                |settings| settings.dns.as_deref(),
                |network| network.body.dns.as_ref(),
            ),
            search: self.gathered(
                layers,
                |link| link.own.search,
                |settings| settings.search.as_deref(),
                |network| network.body.search.as_ref(),
            ),
            ntp: ntp.iter().flat_map(|list| list.values().cloned()).collect(),
            boot_network: self.boot_network.map(|network| network.name.value.clone()),
        }
    }

    /// Merges the values of a list for the whole machine. The first values are those of the primary link, followed by those of
    /// node or policy. If the primary link sets none, they are those of the highest layer, including the network. The values of
    /// the other links come last.
    fn gathered<T: Clone + PartialEq + 'a>(
        &self,
        layers: &SettingsLayers<'a>,
        of_link: impl Fn(&LinkDraft<'a>) -> Option<&'a List<T>>,
        of_settings: impl Fn(&'a Settings) -> Option<&'a Spanned<Vec<Spanned<T>>>>,
        of_network: impl Fn(&'a Network) -> Option<&'a List<T>>,
    ) -> Vec<T> {
        let primary = self.links.get(self.primary).and_then(&of_link);
        let general = match primary {
            Some(_) => layers.upper().find_map(&of_settings),
            None => layers.find_with(self.network, &of_settings, &of_network),
        };
        let others = self.links.iter().filter_map(&of_link);
        let mut gathered: Vec<T> = Vec::new();
        for value in primary
            .into_iter()
            .chain(general)
            .chain(others)
            .flat_map(|list| list.values())
        {
            if !gathered.contains(value) {
                gathered.push(value.clone());
            }
        }
        gathered
    }
}

fn link(draft: &LinkDraft<'_>) -> PlannedLink {
    let routes = draft.own.routes.iter().flat_map(|list| list.values());
    PlannedLink {
        name: draft.name.clone(),
        kind: draft.kind.clone(),
        addresses: draft.addresses.iter().map(|address| address.net).collect(),
        dhcp: draft.dhcp,
        gateways: draft.gateways.iter().map(|gateway| gateway.ip).collect(),
        routes: routes
            .map(|route| PlannedRoute {
                to: route.to.value.0,
                via: route.via.value,
                metric: route.metric.as_ref().map(|at| at.value),
            })
            .collect(),
        dns: listed(draft.own.dns),
        search: listed(draft.own.search),
        mtu: draft.mtu.as_ref().map(|at| at.value),
        network: draft.network.map(|network| network.name.value.clone()),
        span: draft.span,
    }
}

fn listed<T: Clone>(list: Option<&List<T>>) -> Vec<T> {
    list.iter()
        .flat_map(|list| list.values().cloned())
        .collect()
}
