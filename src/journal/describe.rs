//! Descriptions of events, for `bootwright nodes NAME log` and the server's log.

mod machine;

use machine::{boot_answer, describe_machine};

use super::{
    BootAnswer, DeliveryEvent as D, Event, JournalLine, LeaseEvent as L, MachineEvent as M,
    SiteEvent as S,
};
use crate::model::{Identity, Recipient};

/// The description of an event, for one line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDescription {
    /// The kind of event, in at most ten characters.
    pub kind: &'static str,
    /// What happened, in one line.
    pub detail: String,
    /// The likely cause of a failure, and where the machine shows it.
    pub likely: Option<&'static str>,
}

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

/// Returns the usual cause of a failure that the machine itself does not report.
fn likely(event: &Event) -> Option<&'static str> {
    let Event::Machine(M::Overdue { stage, .. }) = event else {
        let is_given_up = matches!(event, Event::Machine(M::GaveUp { .. }));
        return is_given_up.then_some(
            "the installer stopped before the disk was bootable; its screen shows where",
        );
    };
    Some(match stage.as_str() {
        "document" => {
            "the kernel did not start, or found no network: its screen shows the NIC and its address"
        }
        "installing" => {
            "the installer stopped before its first script; its screen (ESXi: Alt-F12, Debian: Alt-F4, RHEL: Alt-F3) \
             names the disk or the licence"
        }
        "installed" => "the installer waits for input or for packages; its screen shows which",
        "finished" => {
            "the installed system did not boot, or cannot reach this server from its own address"
        }
        _ => return None,
    })
}

/// Describes the activity of the machine in two or three words. None if the event is not an activity of the machine.
pub(super) fn brief(event: &M) -> Option<String> {
    Some(match event {
        M::Boot { given, .. } => match given {
            BootAnswer::Disk(_) => "booted its disk".into(),
            BootAnswer::Installer(_) => "installer served".into(),
            given => boot_answer(given),
        },
        M::HandOut { name, .. } | M::Document { name, .. } => name.clone(),
        M::Aborted { name, .. } => format!("{name} broken off"),
        M::Stage { stage, .. } => stage.as_str().into(),
        M::Log { text, .. } => text.chars().take(40).collect(),
        M::Dhcp { .. } => "DHCP request".into(),
        M::Fetched { name, .. } => name.clone(),
        M::Facts { .. } => "facts".into(),
        M::Seen { .. } => "seen".into(),
        // The other events do not count as activity.
        _ => return None,
    })
}

/// Replaces control characters, which a machine may send, so that they do not reach a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn recipient_kind(to: &Recipient) -> &'static str {
    match to {
        Recipient::Hook(_) => "hook",
        Recipient::Broker(_) => "broker",
    }
}

fn recipient_name(to: &Recipient) -> &str {
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
        L::Ended { address } => format!("{address} released"),
    }
}

fn describe_delivery(event: &D) -> (&'static str, String) {
    let (D::Due { to, .. }
    | D::Delivered { to, .. }
    | D::Undelivered { to, .. }
    | D::Undeliverable { to, .. }) = event;
    let name = recipient_name(to);
    let detail = match event {
        D::Due { on, .. } => format!("{name} is to receive `{on}`"),
        D::Delivered { on, .. } => format!("{name} has received `{on}`"),
        D::Undelivered { tries, reason, .. } => {
            format!("{name}: {reason}; try {tries}, it is retried")
        }
        D::Undeliverable { on, reason, .. } => format!("{name} does not receive `{on}`: {reason}"),
    };
    (recipient_kind(to), detail)
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
        S::Suspected { reason } => ("held", reason.clone()),
        S::Trusted {} => (
            "released",
            "machines without a recorded installation are new".into(),
        ),
    }
}

/// Lists the values of an identity: `mac 52:54:00:00:00:01, serial s1`.
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

#[cfg(test)]
mod tests {
    use super::{super::ParsedLine, *};

    #[test]
    fn a_boot_is_described_with_its_boot_program() {
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
            // The journal's format does not change: a boot of iPXE is written without `by`.
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
        }
    }

    #[test]
    fn every_event_has_a_description() {
        let lines = include_str!("../../tests/fuzz/seeds/journal_line/every-event.jsonl");
        for text in lines.lines() {
            let Ok(ParsedLine::Known(line)) = JournalLine::parse(text) else {
                panic!("{text}");
            };
            let kind = describe(&line).kind;
            assert!((1..=10).contains(&kind.len()), "{kind}: {text}");
        }
    }
}
