//! What a ruleset of nftables does with a new packet from a machine, as far as it can be told.
//!
//! It reads what `nft -j list ruleset` prints (libnftables-json(5)). A condition that is not understood makes its rule
//! one that may count or not.

use serde_json::Value;

use crate::net::ports::Protocol;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FilterResult {
    /// Every chain lets it in.
    Accepted,
    /// This chain drops it.
    Dropped(NftChain),
    /// This chain may drop it: it hangs on a condition that is not understood.
    Unclear(NftChain),
}

/// A chain that packets to this machine go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NftChain {
    /// Such as `inet`.
    pub(super) family: String,
    /// Its table.
    pub(super) table: String,
    /// Its name.
    pub(super) name: String,
    /// Whether it drops what no rule accepts.
    pub(super) drops_by_policy: bool,
}

/// A packet from a machine that we have not talked to before.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestPacket<'a> {
    /// The interface that it comes in on, when it is known.
    pub(super) interface: Option<&'a str>,
    /// TCP or UDP.
    pub(super) protocol: Protocol,
    /// The port that it goes to.
    pub(super) port: u16,
}

/// Deeper than this, no jump is followed.
const DEEPEST: usize = 16;

/// What a rule or a chain says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RuleResult {
    Accept,
    Drop,
    Return,
    /// Nothing: the next rule is asked.
    Nothing,
    /// One or the other.
    Unclear,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConditionResult {
    Yes,
    No,
    Maybe,
}

/// Follows a packet through the chains of a ruleset.
pub(super) fn fate(ruleset: &Value, packet: TestPacket<'_>) -> FilterResult {
    let rules = Ruleset(ruleset["nftables"].as_array().map_or(&[], Vec::as_slice));
    let mut unclear = None;
    for chain in rules.input_chains() {
        let said = rules.ask(&chain.family, &chain.table, &chain.name, packet, 0);
        match said {
            RuleResult::Drop => return FilterResult::Dropped(chain),
            RuleResult::Unclear => unclear = unclear.or(Some(chain)),
            RuleResult::Nothing | RuleResult::Return if chain.drops_by_policy => {
                return FilterResult::Dropped(chain);
            }
            RuleResult::Accept | RuleResult::Nothing | RuleResult::Return => {}
        }
    }
    unclear.map_or(FilterResult::Accepted, FilterResult::Unclear)
}

struct Ruleset<'a>(&'a [Value]);

impl Ruleset<'_> {
    /// The chains that every packet to this machine goes through: those of IPv4.
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

    fn ask(
        &self,
        family: &str,
        table: &str,
        chain: &str,
        packet: TestPacket<'_>,
        depth: usize,
    ) -> RuleResult {
        if depth == DEEPEST {
            return RuleResult::Unclear;
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
            let (holds, verdict) = self.rule(rule, packet);
            if holds == ConditionResult::No {
                continue;
            }
            let said = match verdict {
                RuleVerdict::None => continue,
                RuleVerdict::Is(said) => said,
                RuleVerdict::NftChain(target) => {
                    match self.ask(family, table, target, packet, depth + 1) {
                        // Back from there, the next rule is asked.
                        RuleResult::Return | RuleResult::Nothing => continue,
                        said => said,
                    }
                }
            };
            match (holds, said) {
                (ConditionResult::Yes, RuleResult::Unclear) | (ConditionResult::Maybe, _) => {
                    unclear = true
                }
                _ if unclear => return RuleResult::Unclear,
                _ => return said,
            }
        }
        match unclear {
            true => RuleResult::Unclear,
            false => RuleResult::Nothing,
        }
    }

    /// Whether a rule's conditions hold, and what it then says.
    fn rule<'r>(
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
            let holds = match name.as_str() {
                "match" => self.condition(rule, value, packet),
                // It only notes something.
                "counter" | "log" | "comment" | "mangle" | "meta" | "notrack" => {
                    ConditionResult::Yes
                }
                "accept" => return (all, RuleVerdict::Is(RuleResult::Accept)),
                "drop" | "reject" => return (all, RuleVerdict::Is(RuleResult::Drop)),
                "return" => return (all, RuleVerdict::Is(RuleResult::Return)),
                "jump" | "goto" => {
                    let target = value["target"].as_str().unwrap_or_default();
                    return (all, RuleVerdict::NftChain(target));
                }
                "vmap" => return (all, by_state(value)),
                _ => ConditionResult::Maybe,
            };
            match holds {
                ConditionResult::No => return (ConditionResult::No, RuleVerdict::None),
                ConditionResult::Maybe => all = ConditionResult::Maybe,
                ConditionResult::Yes => {}
            }
        }
        (all, RuleVerdict::None)
    }

    fn condition(
        &self,
        rule: &Value,
        condition: &Value,
        packet: TestPacket<'_>,
    ) -> ConditionResult {
        let (left, right) = (&condition["left"], &condition["right"]);
        let held = match (left["meta"]["key"].as_str(), left["ct"]["key"].as_str()) {
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
                        self.has(rule, right, &|value| holds_port(value, packet.port))
                    }
                    // A rule of another protocol is none for this packet, whatever it compares.
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
            Some("==" | "in") => held,
            Some("!=") => match held {
                ConditionResult::Yes => ConditionResult::No,
                ConditionResult::No => ConditionResult::Yes,
                ConditionResult::Maybe => ConditionResult::Maybe,
            },
            _ => ConditionResult::Maybe,
        }
    }

    /// Whether a value, one of a list or one of a named set is it.
    fn has(&self, rule: &Value, right: &Value, is_it: &dyn Fn(&Value) -> bool) -> ConditionResult {
        let yes = |holds: bool| {
            if holds {
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
                Some(set) => yes(set["elem"].as_array().into_iter().flatten().any(is_it)),
                None => ConditionResult::Maybe,
            };
        }
        let several = right.as_array().or_else(|| right["set"].as_array());
        match several {
            Some(list) => yes(list.iter().any(is_it)),
            None => yes(is_it(right)),
        }
    }
}

enum RuleVerdict<'a> {
    None,
    Is(RuleResult),
    NftChain(&'a str),
}

/// What a map by the state of the connection says of a new one; any other map may say anything.
fn by_state(map: &Value) -> RuleVerdict<'_> {
    if map["key"]["ct"]["key"] != "state" {
        return RuleVerdict::Is(RuleResult::Unclear);
    }
    let pairs = map["data"]["set"].as_array().into_iter().flatten();
    let mut new = pairs.filter(|pair| pair[0] == "new").map(|pair| &pair[1]);
    match new.next().and_then(Value::as_object) {
        None => RuleVerdict::None,
        Some(verdict) if verdict.contains_key("accept") => RuleVerdict::Is(RuleResult::Accept),
        Some(verdict) if verdict.contains_key("drop") => RuleVerdict::Is(RuleResult::Drop),
        Some(verdict) => match verdict.get("jump").or(verdict.get("goto")) {
            Some(jump) => RuleVerdict::NftChain(jump["target"].as_str().unwrap_or_default()),
            None => RuleVerdict::Is(RuleResult::Unclear),
        },
    }
}

/// A name, or the beginning of one: `eth*`.
fn is_name(value: &Value, name: &str) -> bool {
    let Some(text) = value.as_str() else {
        return false;
    };
    match text.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => text == name,
    }
}

fn holds_port(value: &Value, port: u16) -> bool {
    let number = u64::from(port);
    if let Some([from, to]) = value["range"].as_array().map(Vec::as_slice) {
        let (from, to) = (from.as_u64(), to.as_u64());
        return from.is_some_and(|from| from <= number) && to.is_some_and(|to| number <= to);
    }
    // Elements of a set may carry more than their value.
    value.as_u64().or_else(|| value["elem"]["val"].as_u64()) == Some(number)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}
