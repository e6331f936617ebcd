//! Netplan's format (netplan-yaml(5), version 2), which cloud-init reads as well. NICs are identified by MAC address.
//!
//! NICs are named `lan0`, `lan1` and so on, which are no names of the kernel: on systems without netplan, cloud-init writes
//! configurations that refer to names. Default gateways are `gateway4` and `gateway6`: of a route to `::/0`, cloud-init before
//! 23.4 makes `::/64` or fails on such systems. The agent that installs an image uses DHCP, so it needs no kernel arguments.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::site::{BondOption, LinkKind, PlannedLink};

use super::{
    super::quote,
    NetText, ReaderRisk, bond,
    keyfile::machine_wide,
    view::{LinkLabel, LinkView, joined, mac},
};

/// The lines of a `network-config`.
pub(super) fn express(view: &LinkView<'_>) -> NetText {
    let mut text = NetText::default();
    let mut whole: Map<String, Value> = Map::new();
    whole.insert("version".into(), json!(2));
    for (at, link) in view.plan.links.iter().enumerate() {
        let section = match link.kind {
            LinkKind::Nic { .. } => "ethernets",
            LinkKind::Bond { .. } => "bonds",
            LinkKind::Vlan { .. } => "vlans",
            LinkKind::Bridge { .. } => "bridges",
        };
        let mut table = device(view, at, &mut text);
        configure(view, at, &mut table);
        text.risks.extend(on_link_risk(link));
        let section = whole.entry(section).or_insert_with(|| json!({}));
        section[id(view, at)] = Value::Object(table);
    }
    lines(&Value::Object(whole), 0, &mut text.lines);
    text
}

/// The name of a link.
fn id(view: &LinkView<'_>, at: usize) -> String {
    let links = &view.plan.links;
    let own = links[at].name.as_ref().map(ToString::to_string);
    own.unwrap_or_else(|| {
        let nics = links[..at].iter();
        let before = nics.filter(|link| matches!(link.kind, LinkKind::Nic { .. }));
        format!("lan{}", before.count())
    })
}

/// The device of a link, without addresses.
fn device(view: &LinkView<'_>, at: usize, text: &mut NetText) -> Map<String, Value> {
    let link = &view.plan.links[at];
    let names =
        |ports: &[usize]| -> Vec<String> { ports.iter().map(|port| id(view, *port)).collect() };
    let table = match &link.kind {
        LinkKind::Nic { .. } => nic(view, at, link),
        LinkKind::Bond {
            mode,
            ports,
            options,
        } => {
            let mut parameters = json!({ "mode": mode });
            let written = bond::netplan(link, options, |port| id(view, port));
            for (name, value) in written.known {
                parameters[name] = value;
            }
            text.unsupported.extend(written.unsupported);
            text.risks.extend(cloud_init_risk(link, options));
            json!({ "interfaces": names(ports), "parameters": parameters })
        }
        LinkKind::Vlan { id: tag, on } => json!({ "id": tag, "link": id(view, *on) }),
        LinkKind::Bridge { ports, stp } => {
            json!({ "interfaces": names(ports), "parameters": { "stp": stp } })
        }
    };
    match table {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

fn nic(view: &LinkView<'_>, at: usize, link: &PlannedLink) -> Value {
    let of_boot = || link.name.is_none().then_some(view.plan.boot_mac).flatten();
    match (mac(link).or_else(of_boot), &link.name) {
        (Some(mac), _) => json!({
            "match": { "macaddress": mac.to_string() },
            "set-name": id(view, at),
        }),
        (None, Some(_)) => json!({}),
        // Names of Ethernet NICs begin with `en` or `eth`.
        (None, None) => json!({ "match": { "name": "e*" } }),
    }
}

/// Next hops outside of the subnets, which only netplan reaches.
fn on_link_risk(link: &PlannedLink) -> Option<ReaderRisk> {
    let routes = link.routes.iter().map(|route| &route.via);
    let hops: Vec<&IpAddr> = link.gateways.iter().chain(routes).collect();
    let hops: Vec<&IpAddr> = hops
        .into_iter()
        .filter(|hop| link.is_off_subnet(**hop))
        .collect();
    (!hops.is_empty()).then(|| ReaderRisk {
        message: format!(
            "{}: on an image with ifupdown, cloud-init does not set routes through gateways outside of the subnets: {}",
            LinkLabel(link),
            joined(hops, ", ")
        ),
        help: "Ubuntu, and Debian from release 12 on, have netplan, and the RHEL family has NetworkManager: both set them",
        span: link.span,
    })
}

/// The options with which cloud-init fails on images without netplan.
fn cloud_init_risk(link: &PlannedLink, options: &[BondOption]) -> Option<ReaderRisk> {
    let names = bond::not_in_cloud_init(options);
    (!names.is_empty()).then(|| ReaderRisk {
        message: format!(
            "{}: on an image without netplan, cloud-init fails with the option {}, and the machine has no network",
            LinkLabel(link),
            joined(names, ", ")
        ),
        help: "Ubuntu, and Debian from release 12 on, have netplan; for other images, leave the option out",
        span: link.span,
    })
}

/// Adds addresses, routes and name servers.
fn configure(view: &LinkView<'_>, at: usize, table: &mut Map<String, Value>) {
    let link = &view.plan.links[at];
    let mut set = |key: &str, value: Value| {
        table.insert(key.into(), value);
    };
    if let Some(mtu) = link.mtu {
        set("mtu", json!(mtu));
    }
    set("dhcp4", json!(link.dhcp));
    if !link.addresses.is_empty() {
        set("addresses", texts(&link.addresses));
    }
    for via in link
        .gateways
        .iter()
        .filter(|via| !link.is_off_subnet(**via))
    {
        let key = if via.is_ipv4() {
            "gateway4"
        } else {
            "gateway6"
        };
        set(key, json!(via));
    }
    // netplan has `on-link` only in routes.
    let off_subnet = link.gateways.iter().filter(|via| link.is_off_subnet(**via));
    let defaults = off_subnet.map(|via| {
        let all = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        json!({ "to": all, "via": via, "on-link": true })
    });
    let others = link.routes.iter().map(|route| {
        let mut table = json!({ "to": route.to.to_string(), "via": route.via.to_string() });
        if let Some(metric) = route.metric {
            table["metric"] = json!(metric);
        }
        if link.is_off_subnet(route.via) {
            table["on-link"] = json!(true);
        }
        table
    });
    let routes: Vec<Value> = defaults.chain(others).collect();
    if !routes.is_empty() {
        set("routes", json!(routes));
    }
    let is_primary = at == view.plan.primary;
    let dns = machine_wide(&view.plan.dns, &link.dns, is_primary);
    let search = machine_wide(&view.plan.search, &link.search, is_primary);
    let mut nameservers = Map::new();
    if !dns.is_empty() {
        nameservers.insert("addresses".into(), texts(&dns));
    }
    if !search.is_empty() {
        nameservers.insert("search".into(), json!(search));
    }
    if !nameservers.is_empty() {
        set("nameservers", Value::Object(nameservers));
    }
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter().map(ToString::to_string).collect()
}

/// Writes YAML: one line for each entry of a table, and lists of plain values in one line.
fn lines(value: &Value, depth: usize, output: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                output.push(format!("{indent}{key}:"));
                lines(value, depth + 1, output);
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                output.push(format!("{indent}{key}:"));
                let all = list
                    .iter()
                    .map(|one| format!("{indent}  - {}", inline(one)));
                output.extend(all);
            }
            plain => output.push(format!("{indent}{key}: {}", inline(plain))),
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quote::yaml(text).expect("YAML can represent every text"),
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(inline).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(table) => {
            let entries = table.iter();
            let entries = entries.map(|(key, value)| format!("{key}: {}", inline(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}
