//! Events as people read them in `bootwright nodes NAME log`.

use super::{
    BootAnswer, DeliveryEvent as D, DhcpOutcome, Event, HoldCause, JournalLine, LeaseEvent as L,
    LogLevel, MachineEvent as M, SiteEvent as S,
};
use crate::model::{ByteSize, Facts, Identity, NodeName, Recipient, TimeSpan};

/// One line of a log: a word that says what kind of thing happened, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDescription {
    /// At most ten characters.
    pub kind: &'static str,
    /// One line.
    pub detail: String,
    /// Of a failure: its likely cause, and where to look.
    pub likely: Option<&'static str>,
}

/// Puts a line into words.
pub fn describe(line: &JournalLine) -> EventDescription {
    let (kind, detail) = describe_event(&line.event);
    let revision = line
        .revision
        .as_ref()
        .filter(|_| matches!(line.event, Event::Machine(M::Attempt { .. })));
    let detail = match revision {
        Some(revision) => format!("{detail}, revision {revision}"),
        None => detail,
    };
    EventDescription {
        kind,
        detail: one_line(&detail),
        likely: likely(&line.event),
    }
}

/// What is usually behind a failure that the machine itself does not explain.
fn likely(event: &Event) -> Option<&'static str> {
    let Event::Machine(M::Overdue { stage, .. }) = event else {
        let is_given_up = matches!(event, Event::Machine(M::GaveUp { .. }));
        return is_given_up.then_some(
            "the installer stopped before the disk was bootable; its screen shows where",
        );
    };
    Some(match stage.as_str() {
        "document" => {
            "the kernel did not start, or found no network: its screen shows the card and the address it took"
        }
        "installing" => {
            "the installer stopped before its first script; its screen (ESXi: Alt-F12, Debian: Alt-F4, RHEL: Alt-F3) \
             names the disk or the licence"
        }
        "installed" => {
            "the installer waits for an answer or for packages; its screen shows for what"
        }
        "finished" => {
            "the installed system did not boot, or cannot reach this server from its own address"
        }
        _ => return None,
    })
}

/// Says in two or three words what an event tells of its machine; nothing when it is not the machine's doing.
pub(super) fn brief(event: &M) -> Option<String> {
    Some(match event {
        M::Boot { given, .. } => match given {
            BootAnswer::Disk(_) => "booted its disk".into(),
            BootAnswer::Installer(_) => "installer served".into(),
            given => answer(given),
        },
        M::HandOut { name, .. } | M::Document { name, .. } => name.clone(),
        M::Aborted { name, .. } => format!("{name} broken off"),
        M::Stage { stage, .. } => stage.as_str().into(),
        M::Log { text, .. } => text.chars().take(40).collect(),
        M::Dhcp { .. } => "asked DHCP".into(),
        M::Fetched { name, .. } => name.clone(),
        M::Facts { .. } => "facts".into(),
        M::Seen { .. } => "seen".into(),
        _ => return None,
    })
}

/// What a machine sends may hold anything: control characters do not reach a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn receiver(to: &Recipient) -> &'static str {
    match to {
        Recipient::Hook(_) => "hook",
        Recipient::Broker(_) => "broker",
    }
}

fn name(to: &Recipient) -> &str {
    match to {
        Recipient::Hook(name) => name.as_str(),
        Recipient::Broker(name) => name.as_str(),
    }
}

fn describe_event(event: &Event) -> (&'static str, String) {
    match event {
        Event::Machine(event) => describe_machine(event),
        Event::Lease(event) => ("lease", describe_lease(event)),
        Event::Delivery(event) => describe_delivery(event),
        Event::Site(event) => describe_site(event),
    }
}

fn describe_machine(event: &M) -> (&'static str, String) {
    match event {
        M::Seen { identity } => ("seen", identities(identity)),
        M::Named {
            node,
            identity,
            took_over,
        } => ("node", declared(node, identity, took_over.as_ref())),
        M::Merged { into } => ("merged", format!("into machine {into}: both are one")),
        M::Facts { facts, .. } => ("facts", fact_names(facts)),
        M::Dropped { what } => ("dropped", what.clone()),
        M::Dhcp { client, given } => ("dhcp", format!("{client}: {}", dhcp(given))),
        M::Fetched {
            by,
            name,
            bytes,
            ms,
        } => {
            let took = std::time::Duration::from_millis(*ms).as_secs_f64();
            (
                transport(by),
                format!("{name}, {} in {took:.1} s", ByteSize(*bytes)),
            )
        }
        M::Unfetched { by, name, reason } => (transport(by), format!("{name}: {reason}")),
        M::Boot {
            by,
            platform,
            given,
        } => {
            let who = platform.map_or(String::new(), |platform| format!("{by} {platform}: "));
            ("boot", format!("{who}{}", answer(given)))
        }
        M::Bound { policy, address } => {
            let by = policy
                .as_ref()
                .map_or("its own declaration".into(), |policy| {
                    format!("policy {policy}")
                });
            (
                "bound",
                address.map_or(format!("by {by}"), |ip| {
                    format!("by {by}, address {ip} from the pool")
                }),
            )
        }
        M::Attempt {
            attempt,
            task,
            repo,
            ..
        } => {
            let from = repo
                .as_ref()
                .map_or(String::new(), |repo| format!(" from repo {repo}"));
            ("attempt", format!("{attempt} opened: task {task}{from}"))
        }
        M::HandOut { name, .. } => ("file", name.clone()),
        M::Serving { name, .. } => ("document", format!("{name} asked for")),
        M::Document { name, bytes, .. } => ("document", format!("{name} ({})", ByteSize(*bytes))),
        M::Aborted { name, .. } => ("document", format!("{name} broken off")),
        M::Stage {
            stage,
            reason,
            late,
            inferred,
            ..
        } => {
            let by = if *inferred {
                "inferred"
            } else {
                "reported by the machine"
            };
            let reason = reason
                .as_ref()
                .map_or(by.into(), |reason| format!("{by}: {reason}"));
            let late = late.map_or(String::new(), |late| {
                format!("; late by {}", TimeSpan::seconds(late))
            });
            (
                stage_kind(stage.as_str()),
                format!("{}{reason}{late}", own(stage.as_str())),
            )
        }
        M::Overdue { stage, after, .. } => (
            "failed",
            format!("no `{stage}` for {}", TimeSpan::seconds(*after)),
        ),
        M::GaveUp { attempt, reason } => ("failed", format!("attempt {attempt}: {reason}")),
        M::Closed { attempt, reason } => ("closed", format!("attempt {attempt}: {reason}")),
        M::Log { level, text, .. } => ("log", format!("{}: {text}", level_word(*level))),
        M::DeadToken { name, why } => {
            let why = why.as_deref().unwrap_or("its token has ended");
            ("refused", format!("{name}: {why}"))
        }
        M::Held { cause, reason } => ("held", format!("{}{reason}", by_operator(*cause))),
        M::Released { cause: None } => ("released", "by an operator".into()),
        M::Released { cause: Some(cause) } => {
            ("released", format!("{} is over", cause_word(*cause)))
        }
        M::Reinstall {} => (
            "reinstall",
            "an operator asks for one more installation".into(),
        ),
        M::Marked { .. } => ("marked", "installed, by an operator".into()),
        M::Forgotten { by } => ("forgotten", format!("by {by}")),
        M::Unrendered { reason } => ("error", reason.clone()),
        M::Remark { text } => ("remark", text.clone()),
    }
}

fn describe_lease(event: &L) -> String {
    match event {
        L::Granted {
            address,
            mac: Some(mac),
            ..
        } => format!("{address} to {mac}"),
        L::Granted {
            address, mac: None, ..
        } => format!("{address} is used by another host"),
        L::Ended { address } => format!("{address} given back"),
    }
}

fn describe_delivery(event: &D) -> (&'static str, String) {
    match event {
        D::Due { to, on, .. } => (receiver(to), format!("{} is to receive `{on}`", name(to))),
        D::Delivered { to, on, .. } => (receiver(to), format!("{} has received `{on}`", name(to))),
        D::Undelivered {
            to, tries, reason, ..
        } => {
            let told = format!("{}: {reason}; try {tries}, it is retried", name(to));
            (receiver(to), told)
        }
        D::Undeliverable { to, on, reason, .. } => {
            let told = format!("{} does not receive `{on}`: {reason}", name(to));
            (receiver(to), told)
        }
    }
}

fn describe_site(event: &S) -> (&'static str, String) {
    match event {
        S::Started { version } => ("started", format!("bootwright {version}")),
        S::Stopped {} => ("stopped", String::new()),
        S::Reloaded { nodes } => ("reloaded", format!("{nodes} nodes")),
        S::Paused {} => (
            "paused",
            "no installation begins until `bootwright resume`".into(),
        ),
        S::Resumed {} => ("resumed", String::new()),
        S::StateLost { reason } => ("held", reason.clone()),
        S::StateDeclared { as_ } => ("state", format!("declared {as_}")),
    }
}

fn transport(by: &str) -> &'static str {
    if by == "http" { "http" } else { "tftp" }
}

fn dhcp(given: &DhcpOutcome) -> String {
    match given {
        DhcpOutcome::Answer {
            kind,
            address,
            reserved,
            file,
        } => {
            let address = address.map(|ip| {
                let whose = if *reserved { " (reservation)" } else { "" };
                format!(" {ip}{whose}")
            });
            let file = file.as_ref().map(|file| format!("loader {file}"));
            let (address, file) = (address.unwrap_or_default(), file.unwrap_or_default());
            let comma = if address.is_empty() || file.is_empty() {
                ""
            } else {
                ","
            };
            let space = if file.is_empty() { "" } else { " " };
            format!("{kind}{address}{comma}{space}{file}")
        }
        DhcpOutcome::Silence(reason) => format!("no answer: {reason}"),
    }
}

fn answer(given: &BootAnswer) -> String {
    match given {
        BootAnswer::Installer(attempt) => format!("installer (attempt {attempt})"),
        BootAnswer::Disk(reason) => format!("its own disk: {reason}"),
        BootAnswer::Wait(reason) => format!("waits: {reason}"),
        BootAnswer::Microkernel => "microkernel".into(),
        BootAnswer::Script(task) => format!("script of task {task}"),
    }
}

/// The five stages have kinds of their own; a task's own ones share one.
fn stage_kind(stage: &str) -> &'static str {
    match stage {
        "installing" => "installing",
        "installed" => "installed",
        "finished" => "finished",
        "failed" => "failed",
        "no-disk" => "no-disk",
        _ => "stage",
    }
}

fn own(stage: &str) -> String {
    match stage_kind(stage) {
        "stage" => format!("{stage}: "),
        _ => String::new(),
    }
}

fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

fn by_operator(cause: HoldCause) -> &'static str {
    if cause == HoldCause::Operator {
        "by an operator: "
    } else {
        ""
    }
}

fn cause_word(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Operator => "an operator's hold",
        HoldCause::Attempts => "the hold for failed attempts",
        HoldCause::Identity => "the doubt who it is",
        HoldCause::Expect => "the unmet expectation",
        HoldCause::Address => "the conflict over its address",
        HoldCause::Mass => "the brake on a large edit",
        HoldCause::Journal => "the gap in the journal",
    }
}

fn declared(node: &NodeName, identity: &Identity, took_over: Option<&Identity>) -> String {
    let mut text = format!("declared as {node}");
    if !identity.is_empty() {
        text += &format!(" with {}", identities(identity));
    }
    if let Some(before) = took_over {
        text += &format!("; took over the history of {}", identities(before));
    }
    text
}

/// Names what a machine is known by: `mac 52:54:00:00:00:01, serial s1`.
pub(crate) fn identities(identity: &Identity) -> String {
    let macs = identity.mac.iter().map(|mac| format!("mac {mac}"));
    let serials = identity
        .serial
        .iter()
        .map(|serial| format!("serial {serial}"));
    let uuids = identity.uuid.iter().map(|uuid| format!("uuid {uuid}"));
    let assets = identity.asset.iter().map(|asset| format!("asset {asset}"));
    macs.chain(serials)
        .chain(uuids)
        .chain(assets)
        .collect::<Vec<_>>()
        .join(", ")
}

fn fact_names(facts: &Facts) -> String {
    let value = serde_json::to_value(facts).expect("facts have only text keys, so they are JSON");
    let own = value["custom"].as_object().into_iter().flatten();
    let known = value.as_object().into_iter().flatten();
    let parts = known
        .filter(|(name, _)| *name != "custom")
        .chain(own)
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name} {text}"),
            serde_json::Value::Array(list) => format!("{} {name}", list.len()),
            other => format!("{name} {other}"),
        });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::ParsedLine, *};

    #[test]
    fn a_boot_is_told_with_the_program_that_asked() {
        for (fields, detail) in [
            (r#""platform":"pcbios","#, "ipxe pcbios: its own disk: x"),
            (
                r#""by":"grub","platform":"efi","#,
                "grub efi: its own disk: x",
            ),
            (
                r#""by":"firmware","platform":"efi","#,
                "firmware efi: its own disk: x",
            ),
            ("", "its own disk: x"),
        ] {
            let text = format!(
                r#"{{"at":"2026-11-22T12:00:00.000Z","machine":"00000000000000ab","event":"boot",{fields}"given":{{"disk":"x"}}}}"#
            );
            let Ok(ParsedLine::Known(line)) = JournalLine::parse(&text) else {
                panic!("{text}");
            };
            assert_eq!(describe(&line).detail, detail);
            // What iPXE asks is written as it always was.
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
    }
}
