//! Netplan's format (netplan-yaml(5), version 2), which cloud-init reads too: every link, found by its card's MAC address.
//!
//! Cards get names, since what cloud-init makes of this on systems without netplan goes by names; `lan0`, `lan1` and so
//! on, which no kernel gives. A default route is written as `0.0.0.0/0` or `::/0`: older releases of cloud-init do not
//! take `default`. What installs an image runs by DHCP, so it needs no words of its own.

use serde_json::{Map, Value, json};

use crate::site::{LinkKind, PlannedLink};

use super::{
    super::{installer_setting::InstallerSetting, quote},
    NetText, UnsupportedSetting,
    keyfile::machine_wide,
    view::{LinkLabel, LinkView, mac},
};

/// The lines of a `network-config`.
pub(super) fn express(view: &LinkView<'_>) -> NetText {
    let mut text = NetText::default();
    let mut whole: Map<String, Value> = Map::new();
    whole.insert("version".into(), json!(2));
    for (at, link) in view.plan.links.iter().enumerate() {
        let section = match link.kind {
            LinkKind::Card { .. } => "ethernets",
            LinkKind::Bond { .. } => "bonds",
            LinkKind::Vlan { .. } => "vlans",
            LinkKind::Bridge { .. } => "bridges",
        };
        let mut said = device(view, at, &mut text.losses);
        configure(view, at, &mut said);
        let section = whole.entry(section).or_insert_with(|| json!({}));
        section[id(view, at)] = Value::Object(said);
    }
    lines(&Value::Object(whole), 0, &mut text.lines);
    text
}

/// What a link is called.
fn id(view: &LinkView<'_>, at: usize) -> String {
    let links = &view.plan.links;
    let own = links[at].name.as_ref().map(ToString::to_string);
    own.unwrap_or_else(|| {
        let cards = links[..at].iter();
        let before = cards.filter(|link| matches!(link.kind, LinkKind::Card { .. }));
        format!("lan{}", before.count())
    })
}

/// What a link is.
fn device(
    view: &LinkView<'_>,
    at: usize,
    losses: &mut Vec<UnsupportedSetting>,
) -> Map<String, Value> {
    let link = &view.plan.links[at];
    let names =
        |ports: &[usize]| -> Vec<String> { ports.iter().map(|port| id(view, *port)).collect() };
    let said = match &link.kind {
        LinkKind::Card { .. } => card(view, at, link),
        LinkKind::Bond {
            mode,
            ports,
            options,
        } => {
            let mut parameters = json!({ "mode": mode });
            for (option, value) in options {
                match bond_parameter(option) {
                    Some(name) => parameters[name] = number_or_text(value),
                    None => losses.push(UnsupportedSetting {
                        setting: InstallerSetting::Bond,
                        what: format!(
                            "{}: netplan has nothing like the option {option}",
                            LinkLabel(link)
                        ),
                        span: link.span,
                        later: Vec::new(),
                    }),
                }
            }
            json!({ "interfaces": names(ports), "parameters": parameters })
        }
        LinkKind::Vlan { id: tag, on } => json!({ "id": tag, "link": id(view, *on) }),
        LinkKind::Bridge { ports, stp } => {
            json!({ "interfaces": names(ports), "parameters": { "stp": stp } })
        }
    };
    match said {
        Value::Object(said) => said,
        _ => Map::new(),
    }
}

fn card(view: &LinkView<'_>, at: usize, link: &PlannedLink) -> Value {
    let of_boot = || link.name.is_none().then_some(view.plan.boot_mac).flatten();
    match (mac(link).or_else(of_boot), &link.name) {
        (Some(mac), _) => json!({
            "match": { "macaddress": mac.to_string() },
            "set-name": id(view, at),
        }),
        (None, Some(_)) => json!({}),
        // Ethernet cards have names that begin with `en` or `eth`.
        (None, None) => json!({ "match": { "name": "e*" } }),
    }
}

fn bond_parameter(option: &str) -> Option<&'static str> {
    Some(match option {
        "miimon" => "mii-monitor-interval",
        "lacp_rate" => "lacp-rate",
        "xmit_hash_policy" => "transmit-hash-policy",
        "updelay" => "up-delay",
        "downdelay" => "down-delay",
        "min_links" => "min-links",
        "ad_select" => "ad-select",
        "fail_over_mac" => "fail-over-mac-policy",
        _ => return None,
    })
}

fn number_or_text(value: &str) -> Value {
    value
        .parse::<u64>()
        .map_or_else(|_| json!(value), |number| json!(number))
}

/// Its addresses, routes and name servers.
fn configure(view: &LinkView<'_>, at: usize, said: &mut Map<String, Value>) {
    let link = &view.plan.links[at];
    let mut say = |key: &str, value: Value| {
        said.insert(key.into(), value);
    };
    if let Some(mtu) = link.mtu {
        say("mtu", json!(mtu));
    }
    say("dhcp4", json!(link.dhcp));
    if !link.addresses.is_empty() {
        say("addresses", texts(&link.addresses));
    }
    let defaults = link.gateways.iter().map(|via| {
        let all = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        json!({ "to": all, "via": via.to_string() })
    });
    let others = link.routes.iter().map(|route| {
        let mut said = json!({ "to": route.to.to_string(), "via": route.via.to_string() });
        if let Some(metric) = route.metric {
            said["metric"] = json!(metric);
        }
        said
    });
    let routes: Vec<Value> = defaults.chain(others).collect();
    if !routes.is_empty() {
        say("routes", json!(routes));
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
        say("nameservers", Value::Object(nameservers));
    }
}

fn texts<T: ToString>(list: &[T]) -> Value {
    list.iter().map(ToString::to_string).collect()
}

/// YAML, a table's entries below each other and a list of plain values in one line.
fn lines(value: &Value, depth: usize, written: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    for (key, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                written.push(format!("{indent}{key}:"));
                lines(value, depth + 1, written);
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                written.push(format!("{indent}{key}:"));
                let all = list
                    .iter()
                    .map(|one| format!("{indent}  - {}", inline(one)));
                written.extend(all);
            }
            plain => written.push(format!("{indent}{key}: {}", inline(plain))),
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quote::yaml(text).expect("every text has a form in YAML"),
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
