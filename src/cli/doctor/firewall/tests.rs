//! Tests of firewall findings, with the output of the firewalls' tools.

use serde_json::json;

use super::*;
use crate::cli::doctor::{finding::finding_lines as lines, firewall_state::FirewalldZone};

fn firewall() -> Firewall {
    Firewall {
        nft: ToolOutput::Missing,
        ufw: ToolOutput::Missing,
        firewalld: ToolOutput::Missing,
        only_iptables: false,
        has_legacy_iptables: false,
        interfaces: vec!["br0".into()],
        openings: vec![
            (Protocol::Udp, 67),
            (Protocol::Udp, 69),
            (Protocol::Tcp, 80),
        ],
    }
}

/// A ruleset as nft 1.0.6 prints it: a chain `input`, with these rules, and a chain `more` with those.
fn ruleset(policy: &str, input: &[Value], more: &[Value]) -> Value {
    let chain = |name: &str, hook: Value| {
        let mut chain = json!({"family": "inet", "table": "filter", "name": name, "handle": 1});
        if let (Some(chain), Some(hook)) = (chain.as_object_mut(), hook.as_object()) {
            chain.extend(hook.clone());
        }
        json!({ "chain": chain })
    };
    let rule = |chain: &str, expr: &Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "handle": 2, "expr": expr}});
    let mut entries = vec![
        json!({"metainfo": {"version": "1.0.6", "json_schema_version": 1}}),
        json!({"table": {"family": "inet", "name": "filter", "handle": 1}}),
        json!({"set": {"family": "inet", "name": "ok", "table": "filter", "type": "inet_service", "handle": 3,
            "flags": ["interval"], "elem": [{"range": [60, 90]}]}}),
        chain(
            "input",
            json!({"type": "filter", "hook": "input", "prio": 0, "policy": policy}),
        ),
        chain("more", json!({})),
    ];
    entries.extend(input.iter().map(|expr| rule("input", expr)));
    entries.extend(more.iter().map(|expr| rule("more", expr)));
    json!({ "nftables": entries })
}

fn matches(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn port(protocol: &str, right: Value) -> Value {
    matches(
        json!({"payload": {"protocol": protocol, "field": "dport"}}),
        right,
    )
}

fn meta(key: &str, right: Value) -> Value {
    matches(json!({"meta": {"key": key}}), right)
}

/// Returns the result for UDP 67 on `br0` as a letter: accepted, dropped, unclear.
fn letter(ruleset: &Value) -> char {
    let packet = TestPacket {
        interface: Some("br0"),
        protocol: Protocol::Udp,
        port: 67,
    };
    match filter_result(ruleset, packet) {
        FilterResult::Accepted => 'a',
        FilterResult::Dropped(_) => 'd',
        FilterResult::Unknown(_) => 'u',
    }
}

#[test]
fn a_packet_is_followed_through_the_rules() {
    let accept = || json!({"accept": null});
    let drop = || json!({"drop": null});
    let from = || {
        matches(
            json!({"payload": {"protocol": "ip", "field": "saddr"}}),
            json!("192.0.2.7"),
        )
    };
    let state = |state: Value| matches(json!({"ct": {"key": "state"}}), state);
    let vmap = |new: Value| json!({"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], new]}}});
    let not = |key: &str, right: &str| json!({"match": {"op": "!=", "left": {"meta": {"key": key}}, "right": right}});
    let counter = || json!({"counter": {"packets": 0, "bytes": 0}});
    let jump = || json!({"jump": {"target": "more"}});
    let xt = || json!({"xt": {"type": "match", "name": "multiport"}});
    // The policy, the rules of `input`, those of `more`, the result for the packet.
    let cases: Vec<(&str, Vec<Value>, Vec<Value>, char)> = vec![
        ("accept", vec![], vec![], 'a'),
        ("drop", vec![], vec![], 'd'),
        (
            "drop",
            vec![json!([port("udp", json!(67)), counter(), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([port("udp", json!(68)), accept()])],
            vec![],
            'd',
        ),
        (
            "drop",
            vec![json!([port("tcp", json!(67)), accept()])],
            vec![],
            'd',
        ),
        (
            "drop",
            vec![json!([port("th", json!(67)), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([port("udp", json!({"set": [69, 67]})), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([
                port("udp", json!({"set": [{"range": [66, 68]}]})),
                accept()
            ])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([port("udp", json!({"range": [1, 66]})), accept()])],
            vec![],
            'd',
        ),
        (
            "drop",
            vec![json!([port("udp", json!("@ok")), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([port("udp", json!("@other")), accept()])],
            vec![],
            'u',
        ),
        (
            "drop",
            vec![json!([meta("iifname", json!("br0")), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([meta("iifname", json!("br*")), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([meta("iif", json!("lo")), accept()])],
            vec![],
            'd',
        ),
        (
            "accept",
            vec![json!([not("iifname", "lo"), drop()])],
            vec![],
            'd',
        ),
        (
            "accept",
            vec![json!([not("iifname", "br0"), drop()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([
                meta("l4proto", json!({"set": ["tcp", "udp"]})),
                accept()
            ])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([state(json!(["established", "related"])), accept()])],
            vec![],
            'd',
        ),
        (
            "drop",
            vec![json!([state(json!("new")), accept()])],
            vec![],
            'a',
        ),
        (
            "drop",
            vec![json!([vmap(json!(["invalid", {"drop": null}]))])],
            vec![],
            'd',
        ),
        (
            "accept",
            vec![json!([vmap(json!(["new", {"drop": null}]))])],
            vec![],
            'd',
        ),
        (
            "drop",
            vec![json!([vmap(json!(["new", {"jump": {"target": "more"}}]))])],
            vec![json!([accept()])],
            'a',
        ),
        ("drop", vec![json!([from(), accept()])], vec![], 'u'),
        (
            "drop",
            vec![
                json!([from(), drop()]),
                json!([port("udp", json!(67)), accept()]),
            ],
            vec![],
            'u',
        ),
        ("drop", vec![json!([xt(), accept()])], vec![], 'u'),
        // A certain result takes precedence over an unclear one.
        (
            "drop",
            vec![
                json!([port("udp", json!(67)), accept()]),
                json!([xt(), drop()]),
            ],
            vec![],
            'a',
        ),
        (
            "accept",
            vec![json!([jump()])],
            vec![json!([{"reject": null}])],
            'd',
        ),
        (
            "accept",
            vec![json!([jump()])],
            vec![json!([{"return": null}]), json!([drop()])],
            'a',
        ),
        (
            "accept",
            vec![json!([{"goto": {"target": "more"}}])],
            vec![json!([drop()])],
            'd',
        ),
        (
            "drop",
            vec![json!([jump()]), json!([accept()])],
            vec![json!([from(), drop()])],
            'u',
        ),
        ("drop", vec![json!([jump()])], vec![json!([jump()])], 'u'),
    ];
    for (policy, input, more, expected) in cases {
        assert_eq!(
            letter(&ruleset(policy, &input, &more)),
            expected,
            "{policy} {input:?} {more:?}"
        );
    }
    assert_eq!(letter(&json!({"nftables": []})), 'a');
    let without_name = TestPacket {
        interface: None,
        protocol: Protocol::Tcp,
        port: 80,
    };
    let by_name = ruleset(
        "drop",
        &[json!([meta("iifname", json!("br0")), accept()])],
        &[],
    );
    assert!(matches!(
        filter_result(&by_name, without_name),
        FilterResult::Unknown(_)
    ));
}

#[test]
fn blocked_ports_are_named_with_the_rules_that_allow_them() {
    let dns = json!([port("udp", json!(53)), {"accept": null}]);
    let tftp = json!([port("udp", json!({"set": [67, 69]})), {"accept": null}]);
    let web = json!([matches(json!({"payload": {"protocol": "ip", "field": "saddr"}}), json!("192.0.2.7")), port("tcp", json!(80)), {"accept": null}]);
    let keep =
        "> to keep the rule, add it to /etc/nftables.conf, or to the file that defines the chain";
    let chain = "the chain inet filter input, with policy drop,";
    for (nft, expected) in [
        (
            ruleset("accept", &[], &[]),
            "ok: nftables allows machines to reach 67/udp, 69/udp and 80/tcp on br0".to_string(),
        ),
        (
            ruleset("drop", &[dns], &[]),
            format!(
                "error: {chain} blocks 67/udp, 69/udp and 80/tcp on br0 \
                 $ nft insert rule inet filter input iifname \"br0\" udp dport {{ 67, 69 }} accept \
                 $ nft insert rule inet filter input iifname \"br0\" tcp dport 80 accept {keep}"
            ),
        ),
        (
            ruleset("drop", &[tftp.clone(), web], &[]),
            format!(
                "warning: {chain} may block 80/tcp on br0: it depends on conditions that doctor does not evaluate \
                 $ nft insert rule inet filter input iifname \"br0\" tcp dport 80 accept {keep}"
            ),
        ),
        (
            ruleset("accept", &[tftp, json!([{"drop": null}])], &[]),
            format!(
                "error: the chain inet filter input blocks 80/tcp on br0 \
                 $ nft insert rule inet filter input iifname \"br0\" tcp dport 80 accept {keep}"
            ),
        ),
    ] {
        let firewall = Firewall {
            nft: ToolOutput::Output(nft),
            ..firewall()
        };
        assert_eq!(lines(&findings(&firewall)), [expected]);
    }
    for (firewall, expected) in [
        (
            firewall(),
            "ok: none of nft, ufw, firewalld and iptables is installed",
        ),
        (
            Firewall {
                only_iptables: true,
                ..firewall()
            },
            "unknown: iptables is installed without nft: its rules were not checked $ iptables -S INPUT > machines must reach 67/udp, 69/udp and 80/tcp",
        ),
        (
            Firewall {
                nft: ToolOutput::Unavailable("needs root".into()),
                ..firewall()
            },
            "unknown: cannot read the nftables rules: needs root $ nft list chains > if a chain with `hook input` has the policy drop, machines must still reach 67/udp, 69/udp and 80/tcp",
        ),
    ] {
        assert_eq!(lines(&findings(&firewall)), [expected]);
    }
}

/// The output of `ufw status verbose` (ufw 0.36) with these rules.
fn ufw(incoming: &str, rules: &str) -> ToolOutput<String> {
    ToolOutput::Output(format!(
        "Status: active\nLogging: on (low)\nDefault: {incoming} (incoming), allow (outgoing), disabled (routed)\nNew profiles: skip\n\n\
         To                         Action      From\n--                         ------      ----\n{rules}"
    ))
}

#[test]
fn ufw_rules_are_checked_for_each_port_and_interface() {
    let line = |port: u16, protocol: &str| {
        format!(" $ ufw allow in on br0 to any port {port} proto {protocol}")
    };
    let cases = [
        (
            ufw("allow", ""),
            "ok: ufw is active and allows all incoming traffic".to_string(),
        ),
        (
            ufw(
                "deny",
                "22/tcp                     ALLOW IN    Anywhere\n67/udp (v6)                ALLOW IN    Anywhere (v6)\n",
            ),
            format!(
                "error: ufw blocks 67/udp, 69/udp and 80/tcp on br0{}{}{}",
                line(67, "udp"),
                line(69, "udp"),
                line(80, "tcp")
            ),
        ),
        (
            ufw(
                "deny",
                "67,69,4011/udp             ALLOW IN    Anywhere\n80 on br0                  ALLOW IN    Anywhere\n",
            ),
            "ok: ufw allows machines to reach 67/udp, 69/udp and 80/tcp on br0".into(),
        ),
        (
            ufw("deny", "Anywhere on br0            ALLOW IN    Anywhere\n"),
            "ok: ufw allows machines to reach 67/udp, 69/udp and 80/tcp on br0".into(),
        ),
        (
            ufw(
                "deny",
                "Anywhere on eth9           ALLOW IN    Anywhere\n60:70/udp                  ALLOW IN    Anywhere\n80/tcp                     ALLOW IN    192.0.2.0/24\n",
            ),
            format!(
                "warning: ufw may block 80/tcp on br0: it depends on conditions that doctor does not evaluate{}",
                line(80, "tcp")
            ),
        ),
        (
            ToolOutput::Unavailable("needs root".into()),
            format!(
                "unknown: ufw is active, but its rules cannot be read: needs root{}{}{} > these commands allow machines in, if no rule does yet",
                line(67, "udp"),
                line(69, "udp"),
                line(80, "tcp")
            ),
        ),
        (
            ToolOutput::Output("Status: inactive\n".into()),
            "ok: none of nft, ufw, firewalld and iptables is installed".into(),
        ),
    ];
    for (ufw, expected) in cases {
        let firewall = Firewall { ufw, ..firewall() };
        assert_eq!(lines(&findings(&firewall)), [expected]);
    }
}

#[test]
fn firewalld_zones_of_the_interfaces_are_checked() {
    // The output of `firewall-cmd --zone=public --list-all` (firewalld 1.3).
    let zone = |target: &str, services: &str, ports: &str| FirewalldZone {
        interface: "br0".into(),
        name: "public".into(),
        listed: format!(
            "public (active)\n  target: {target}\n  icmp-block-inversion: no\n  interfaces: br0\n  sources: \n  services: {services}\n  ports: {ports}\n  protocols: \n  rich rules: \n"
        ),
    };
    let open =
        "ok: firewalld allows machines to reach 67/udp, 69/udp and 80/tcp on br0 (zone public)";
    for (zone, expected) in [
        (
            zone("default", "dhcpv6-client ssh", ""),
            "error: firewalld blocks 67/udp, 69/udp and 80/tcp on br0 (zone public) \
             $ firewall-cmd --permanent --zone=public --add-port=67/udp --add-port=69/udp --add-port=80/tcp $ firewall-cmd --reload",
        ),
        (zone("default", "dhcp http ssh tftp", ""), open),
        (zone("default", "", "60-70/udp 80/tcp"), open),
        (zone("ACCEPT", "", ""), open),
        (
            zone("default", "http", "67/tcp 69/udp"),
            "error: firewalld blocks 67/udp on br0 (zone public) \
             $ firewall-cmd --permanent --zone=public --add-port=67/udp $ firewall-cmd --reload",
        ),
    ] {
        let firewall = Firewall {
            firewalld: ToolOutput::Output(vec![zone]),
            ..firewall()
        };
        assert_eq!(lines(&findings(&firewall)), [expected]);
    }
    let legacy = Firewall {
        nft: ToolOutput::Output(ruleset("accept", &[], &[])),
        has_legacy_iptables: true,
        ..firewall()
    };
    assert_eq!(
        lines(&findings(&legacy)),
        [
            "ok: nftables allows machines to reach 67/udp, 69/udp and 80/tcp on br0",
            "unknown: the kernel also has rules of iptables-legacy, which nft does not show $ iptables-legacy -S INPUT > machines must reach 67/udp, 69/udp and 80/tcp",
        ]
    );
    let hidden = Firewall {
        firewalld: ToolOutput::Unavailable("needs root".into()),
        ..firewall()
    };
    assert_eq!(
        lines(&findings(&hidden)),
        ["unknown: cannot query firewalld: needs root"]
    );
}
