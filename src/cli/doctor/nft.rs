//! Evaluates an nftables ruleset for a new packet from a machine.
//!
//! The input is the output of `nft -j list ruleset` (libnftables-json(5)). A rule with an unsupported condition may match or
//! not, and the result is then unknown.

use serde_json::Value;

use crate::net::ports::Protocol;

/// The result for a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FilterResult {
    /// Every chain accepts it.
    Accepted,
    /// This chain drops it.
    Dropped(NftChain),
    /// This chain may drop it: that depends on an unsupported condition.
    Unknown(NftChain),
}

/// A chain with the hook `input`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NftChain {
    /// For example `inet`.
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    /// Whether its policy is drop.
    pub(super) drops_by_policy: bool,
}

/// The first packet of a connection from a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestPacket<'a> {
    /// The incoming interface; `None` if it is not known.
    pub(super) interface: Option<&'a str>,
    pub(super) protocol: Protocol,
    /// The destination port.
    pub(super) port: u16,
}

/// The depth up to which jumps are followed.
const MAX_JUMPS: usize = 16;

/// The result of a rule or a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleResult {
    Accept,
    Drop,
    Return,
    /// Evaluation continues with the next rule.
    Continue,
    /// It depends on an unsupported condition.
    Unknown,
}

/// Whether a condition matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConditionResult {
    Yes,
    No,
    Maybe,
}

/// Evaluates all input chains of a ruleset for a packet.
pub(super) fn filter_result(ruleset: &Value, packet: TestPacket<'_>) -> FilterResult {
    let rules = Ruleset(ruleset["nftables"].as_array().map_or(&[], Vec::as_slice));
    let mut unclear = None;
    for chain in rules.input_chains() {
        let result = rules.evaluate_chain(&chain.family, &chain.table, &chain.name, packet, 0);
        match result {
            RuleResult::Drop => return FilterResult::Dropped(chain),
            RuleResult::Unknown => unclear = unclear.or(Some(chain)),
            RuleResult::Continue | RuleResult::Return if chain.drops_by_policy => {
                return FilterResult::Dropped(chain);
            }
            RuleResult::Accept | RuleResult::Continue | RuleResult::Return => {}
        }
    }
    unclear.map_or(FilterResult::Accepted, FilterResult::Unknown)
}

struct Ruleset<'a>(&'a [Value]);

impl Ruleset<'_> {
    /// The chains that every IPv4 packet to this machine passes.
    fn input_chains(&self) -> Vec<NftChain> {
        let chains = self.0.iter().filter_map(|entry| entry.get("chain"));
        let input = chains.filter(|chain| {
            let family = chain["family"].as_str();
            chain["hook"] == "input" && matches!(family, Some("ip" | "inet"))
        });
        input
            .map(|chain| NftChain {
                family: text(&chain["family"]),
                table: text(&chain["table"]),
                name: text(&chain["name"]),
                drops_by_policy: chain["policy"] == "drop",
            })
            .collect()
    }

    fn evaluate_chain(
        &self,
        family: &str,
        table: &str,
        chain: &str,
        packet: TestPacket<'_>,
        depth: usize,
    ) -> RuleResult {
        if depth == MAX_JUMPS {
            return RuleResult::Unknown;
        }
        let rules = self
            .0
            .iter()
            .filter_map(|entry| entry.get("rule"))
            .filter(|rule| {
                rule["family"] == family && rule["table"] == table && rule["chain"] == chain
            });
        let mut unclear = false;
        for rule in rules {
            let (matches, verdict) = self.evaluate_rule(rule, packet);
            if matches == ConditionResult::No {
                continue;
            }
            let result = match verdict {
                RuleVerdict::None => continue,
                RuleVerdict::Final(result) => result,
                RuleVerdict::Jump(target) => {
                    match self.evaluate_chain(family, table, target, packet, depth + 1) {
                        // After a return, evaluation continues with the next rule.
                        RuleResult::Return | RuleResult::Continue => continue,
                        result => result,
                    }
                }
            };
            match (matches, result) {
                (ConditionResult::Yes, RuleResult::Unknown) | (ConditionResult::Maybe, _) => {
                    unclear = true
                }
                _ if unclear => return RuleResult::Unknown,
                _ => return result,
            }
        }
        match unclear {
            true => RuleResult::Unknown,
            false => RuleResult::Continue,
        }
    }

    /// Whether a rule's conditions match, and its verdict.
    fn evaluate_rule<'r>(
        &self,
        rule: &'r Value,
        packet: TestPacket<'_>,
    ) -> (ConditionResult, RuleVerdict<'r>) {
        let mut all = ConditionResult::Yes;
        for statement in rule["expr"].as_array().into_iter().flatten() {
            let Some((name, value)) = statement.as_object().and_then(|one| one.iter().next())
            else {
                continue;
            };
            let matches = match name.as_str() {
                "match" => self.evaluate_condition(rule, value, packet),
                // No effect on the verdict.
                "counter" | "log" | "comment" | "mangle" | "meta" | "notrack" => {
                    ConditionResult::Yes
                }
                "accept" => return (all, RuleVerdict::Final(RuleResult::Accept)),
                "drop" | "reject" => return (all, RuleVerdict::Final(RuleResult::Drop)),
                "return" => return (all, RuleVerdict::Final(RuleResult::Return)),
                "jump" | "goto" => {
                    let target = value["target"].as_str().unwrap_or_default();
                    return (all, RuleVerdict::Jump(target));
                }
                "vmap" => return (all, state_map_verdict(value)),
                _ => ConditionResult::Maybe,
            };
            match matches {
                ConditionResult::No => return (ConditionResult::No, RuleVerdict::None),
                ConditionResult::Maybe => all = ConditionResult::Maybe,
                ConditionResult::Yes => {}
            }
        }
        (all, RuleVerdict::None)
    }

    fn evaluate_condition(
        &self,
        rule: &Value,
        condition: &Value,
        packet: TestPacket<'_>,
    ) -> ConditionResult {
        let (left, right) = (&condition["left"], &condition["right"]);
        let matches = match (left["meta"]["key"].as_str(), left["ct"]["key"].as_str()) {
            (Some("iif" | "iifname"), _) => match packet.interface {
                Some(name) => self.has(rule, right, &|value| is_name(value, name)),
                None => ConditionResult::Maybe,
            },
            (Some("l4proto"), _) => {
                let name = packet.protocol.to_string();
                self.has(rule, right, &|value| value == name.as_str())
            }
            (Some("nfproto"), _) => self.has(rule, right, &|value| value == "ipv4"),
            (_, Some("state")) => self.has(rule, right, &|value| value == "new"),
            _ => {
                let payload = &left["payload"];
                let protocol = payload["protocol"].as_str();
                let own = packet.protocol.to_string();
                match (protocol, payload["field"].as_str()) {
                    (Some(name), Some("dport")) if name == own || name == "th" => {
                        self.has(rule, right, &|value| matches_port(value, packet.port))
                    }
                    // A match on another protocol never matches this packet.
                    (Some("tcp" | "udp" | "icmp" | "icmpv6" | "ip6" | "sctp" | "dccp"), _)
                        if protocol != Some(own.as_str()) =>
                    {
                        return ConditionResult::No;
                    }
                    _ => return ConditionResult::Maybe,
                }
            }
        };
        match condition["op"].as_str() {
            Some("==" | "in") => matches,
            Some("!=") => match matches {
                ConditionResult::Yes => ConditionResult::No,
                ConditionResult::No => ConditionResult::Yes,
                ConditionResult::Maybe => ConditionResult::Maybe,
            },
            _ => ConditionResult::Maybe,
        }
    }

    /// Whether a value, an element of a list or an element of a named set matches.
    fn has(
        &self,
        rule: &Value,
        right: &Value,
        predicate: &dyn Fn(&Value) -> bool,
    ) -> ConditionResult {
        let yes = |matches: bool| {
            if matches {
                ConditionResult::Yes
            } else {
                ConditionResult::No
            }
        };
        if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
            let mut sets = self.0.iter().filter_map(|entry| entry.get("set"));
            let set = sets.find(|set| {
                set["family"] == rule["family"]
                    && set["table"] == rule["table"]
                    && set["name"] == name
            });
            return match set {
                Some(set) => yes(set["elem"].as_array().into_iter().flatten().any(predicate)),
                None => ConditionResult::Maybe,
            };
        }
        let several = right.as_array().or_else(|| right["set"].as_array());
        match several {
            Some(list) => yes(list.iter().any(predicate)),
            None => yes(predicate(right)),
        }
    }
}

enum RuleVerdict<'a> {
    None,
    Final(RuleResult),
    Jump(&'a str),
}

/// The verdict of a map by connection state for a new connection. Any other map has an unknown result.
fn state_map_verdict(map: &Value) -> RuleVerdict<'_> {
    if map["key"]["ct"]["key"] != "state" {
        return RuleVerdict::Final(RuleResult::Unknown);
    }
    let pairs = map["data"]["set"].as_array().into_iter().flatten();
    let mut new = pairs.filter(|pair| pair[0] == "new").map(|pair| &pair[1]);
    match new.next().and_then(Value::as_object) {
        None => RuleVerdict::None,
        Some(verdict) if verdict.contains_key("accept") => RuleVerdict::Final(RuleResult::Accept),
        Some(verdict) if verdict.contains_key("drop") => RuleVerdict::Final(RuleResult::Drop),
        Some(verdict) => match verdict.get("jump").or(verdict.get("goto")) {
            Some(jump) => RuleVerdict::Jump(jump["target"].as_str().unwrap_or_default()),
            None => RuleVerdict::Final(RuleResult::Unknown),
        },
    }
}

/// Whether `value` is this name or a prefix of it: `eth*`.
fn is_name(value: &Value, name: &str) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    match text.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => text == name,
    }
}

fn matches_port(value: &Value, port: u16) -> bool {
    let number = u64::from(port);
    if let Some([from, to]) = value["range"].as_array().map(Vec::as_slice) {
        let (from, to) = (from.as_u64(), to.as_u64());
        return from.is_some_and(|from| from <= number) && to.is_some_and(|to| number <= to);
    }
    // An element of a set may be an object with its value in it.
    value.as_u64().or_else(|| value["elem"]["val"].as_u64()) == Some(number)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}
