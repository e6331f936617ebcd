//! Descriptions of the events of one machine.

use std::{net::IpAddr, time::Duration};

use super::identities;
use crate::{
    journal::{BootAnswer, DhcpOutcome, HoldCause, LogLevel, MachineEvent as M, Stage},
    model::{ByteSize, Facts, Identity, Mac, NodeName, PolicyName, SmallSet, TimeSpan},
};

/// Returns the kind and the detail of an event.
pub(super) fn describe_machine(event: &M) -> (&'static str, String) {
    match event {
        M::Seen { identity, boot } => match boot.filter(|_| identity.is_empty()) {
            Some(mac) => ("seen", format!("boots from {mac}")),
            None => ("seen", identities(identity)),
        },
        M::Nics { macs } => ("nics", list(macs)),
        M::Shared { mac } => (
            "shared",
            format!("{mac}: another machine reported it first, so it does not identify this one"),
        ),
        M::Named {
            node,
            identity,
            took_over,
        } => ("node", declaration(node, identity, took_over.as_ref())),
        M::Merged { into } => ("merged", format!("into machine {into}: both are one")),
        M::Facts { facts, .. } => ("facts", fact_names(facts)),
        M::Dropped { what } => ("dropped", what.clone()),
        M::Dhcp { .. } | M::Fetched { .. } | M::Unfetched { .. } | M::Boot { .. } => {
            describe_boot(event)
        }
        M::Bound { policy, address } => ("bound", binding(policy.as_ref(), *address)),
        M::Attempt { .. }
        | M::HandOut { .. }
        | M::Serving { .. }
        | M::Document { .. }
        | M::Aborted { .. }
        | M::Stage { .. }
        | M::Overdue { .. }
        | M::GaveUp { .. }
        | M::Closed { .. }
        | M::Log { .. }
        | M::DeadToken { .. } => describe_attempt(event),
        M::Held { cause, reason } => ("held", format!("{}{reason}", operator_prefix(*cause))),
        M::Released { cause } => ("released", release(*cause)),
        M::Reinstall {} => (
            "reinstall",
            "an operator requested another installation".into(),
        ),
        M::Marked { .. } => ("marked", "installed, by an operator".into()),
        M::Restored {
            installs,
            sealed,
            node,
        } => (
            "restored",
            format!("its disk has a seal: {node}, installation {installs}, {sealed}"),
        ),
        M::Forgotten { by } => ("forgotten", format!("by {by}")),
        M::Unrendered { reason } => ("error", reason.clone()),
        M::Remark { text } => ("remark", text.clone()),
        M::Suppressed { count } => (
            "suppressed",
            format!("{count} events above the machine's budget"),
        ),
    }
}

/// Describes an event before an installer is requested.
fn describe_boot(event: &M) -> (&'static str, String) {
    match event {
        M::Dhcp { client, given } => ("dhcp", format!("{client}: {}", dhcp_outcome(given))),
        M::Fetched {
            by,
            name,
            bytes,
            ms,
        } => {
            let seconds = Duration::from_millis(*ms).as_secs_f64();
            let size = ByteSize(*bytes);
            (transport(by), format!("{name}, {size} in {seconds:.1} s"))
        }
        M::Unfetched { by, name, reason } => (transport(by), format!("{name}: {reason}")),
        M::Boot {
            by,
            platform,
            given,
        } => {
            let requester = platform.map(|platform| format!("{by} {platform}: "));
            let requester = requester.unwrap_or_default();
            ("boot", format!("{requester}{}", boot_answer(given)))
        }
        _ => unreachable!("the caller passes only events of a boot"),
    }
}

/// Describes an event of an attempt.
fn describe_attempt(event: &M) -> (&'static str, String) {
    match event {
        M::Attempt {
            attempt,
            task,
            repo,
            ..
        } => {
            let from = repo.as_ref().map(|repo| format!(" from repo {repo}"));
            let from = from.unwrap_or_default();
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
        } => (
            stage_kind(stage),
            stage_detail(stage, reason.as_deref(), *late, *inferred),
        ),
        M::Overdue { stage, after, .. } => {
            let after = TimeSpan::seconds(*after);
            ("failed", format!("no `{stage}` for {after}"))
        }
        M::GaveUp { attempt, reason } => ("failed", format!("attempt {attempt}: {reason}")),
        M::Closed { attempt, reason } => ("closed", format!("attempt {attempt}: {reason}")),
        M::Log { level, text, .. } => ("log", format!("{}: {text}", level_name(*level))),
        M::DeadToken { name, why } => {
            let why = why.as_deref().unwrap_or("its token has ended");
            ("refused", format!("{name}: {why}"))
        }
        _ => unreachable!("the caller passes only events of an attempt"),
    }
}

fn declaration(node: &NodeName, identity: &Identity, took_over: Option<&Identity>) -> String {
    let mut text = format!("declared as {node}");
    if !identity.is_empty() {
        text += &format!(" with {}", identities(identity));
    }
    if let Some(before) = took_over {
        text += &format!("; took over the history of {}", identities(before));
    }
    text
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

fn binding(policy: Option<&PolicyName>, address: Option<IpAddr>) -> String {
    let by = match policy {
        Some(policy) => format!("by policy {policy}"),
        None => "by its own declaration".into(),
    };
    match address {
        Some(ip) => format!("{by}, address {ip} from the pool"),
        None => by,
    }
}

fn transport(by: &str) -> &'static str {
    if by == "http" { "http" } else { "tftp" }
}

fn dhcp_outcome(given: &DhcpOutcome) -> String {
    match given {
        DhcpOutcome::Answer {
            kind,
            address,
            reserved,
            file,
        } => {
            let address = address.map(|ip| {
                let suffix = if *reserved { " (reservation)" } else { "" };
                format!(" {ip}{suffix}")
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

pub(super) fn boot_answer(given: &BootAnswer) -> String {
    match given {
        BootAnswer::Installer(attempt) => format!("installer (attempt {attempt})"),
        BootAnswer::Disk(reason) => format!("its own disk: {reason}"),
        BootAnswer::Wait(reason) => format!("waits: {reason}"),
        BootAnswer::Microkernel => "microkernel".into(),
        BootAnswer::Script(task) => format!("script of task {task}"),
    }
}

/// Returns the kind for a stage. All stages that tasks define have the same kind.
fn stage_kind(stage: &Stage) -> &'static str {
    match stage {
        Stage::Installing => "installing",
        Stage::Installed => "installed",
        Stage::Finished => "finished",
        Stage::Failed => "failed",
        Stage::NoDisk => "no-disk",
        Stage::Own(_) => "stage",
    }
}

fn stage_detail(stage: &Stage, reason: Option<&str>, late: Option<u64>, inferred: bool) -> String {
    let by = if inferred {
        "inferred"
    } else {
        "reported by the machine"
    };
    let mut text = match stage {
        Stage::Own(name) => format!("{name}: {by}"),
        _ => by.to_owned(),
    };
    if let Some(reason) = reason {
        text += &format!(": {reason}");
    }
    if let Some(late) = late {
        text += &format!("; late by {}", TimeSpan::seconds(late));
    }
    text
}

fn list(macs: &SmallSet<Mac>) -> String {
    let macs: Vec<String> = macs.iter().map(ToString::to_string).collect();
    macs.join(", ")
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
    }
}

fn operator_prefix(cause: HoldCause) -> &'static str {
    if cause == HoldCause::Operator {
        "by an operator: "
    } else {
        ""
    }
}

fn release(cause: Option<HoldCause>) -> String {
    let ended = match cause {
        None => return "by an operator".into(),
        Some(HoldCause::Operator) => "an operator's hold",
        Some(HoldCause::Attempts) => "the hold for failed attempts",
        Some(HoldCause::Identity) => "the hold for an ambiguous identity",
        Some(HoldCause::Expect) => "the unmet expectation",
        Some(HoldCause::Address) => "the conflict over its address",
        Some(HoldCause::Mass) => "the hold for a large edit",
        Some(HoldCause::Journal) => "the hold for an incomplete journal",
        Some(HoldCause::Sealed) => "the hold for the seal of its disk",
        Some(HoldCause::Unrecorded) => "the hold for its unknown history",
    };
    format!("{ended} is over")
}
