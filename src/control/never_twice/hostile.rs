//! A hostile host on the machine's link. It sends whatever it likes in the name of the machine, from its own NIC.
//!
//! Its requests are tried in every state that the exploration reaches: none of them may change a machine that exists, or get an
//! installer. So they change no sequence of events, wherever they happen in it.

use crate::{
    boot::dhcp::{DhcpMessage, DhcpPort},
    control::{
        Callback, Decision, NetworkBoot, ReceivedQuery, Report, Reported, Sender, SenderLink,
        UrlToken,
    },
    journal::{AttemptId, Machine, MachineId, Stage},
    model::{Mac, Timestamp},
};

use super::{
    Fault,
    life::{KEY, Life, mac},
    steps::Simulation,
};

/// The NIC of the hostile host.
const OWN: Mac = Mac([2, 0, 0, 0, 0, 9]);

/// A request of the hostile host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// A boot request with these MACs, and with the serial number of the machine's board or another one.
    Boot {
        macs: [Option<Mac>; 3],
        is_own_board: bool,
        /// Whether an unconfirmed request is answered, as behind a router.
        is_answered: bool,
    },
    /// A DHCP message with the MAC of the machine and another UUID.
    Dhcp { second_nic: bool },
    /// A callback with the token of an attempt that has ended, or with a made-up token.
    Callback { is_dead: bool, is_failure: bool },
    /// A check-in of the hostile host itself, which reports the machine's NICs and board as its own.
    CheckIn,
    /// A check-in with the machine's own token.
    StolenCheckIn,
}

enum Outcome {
    Answered,
    /// The attack is impossible in this state, or it cannot be told from a request of the machine.
    DoesNotApply,
}

/// Every attack.
fn attacks() -> Vec<Attack> {
    let (one, two, own) = (Some(mac(false)), Some(mac(true)), Some(OWN));
    let lists = [
        [one, None, None],
        [two, None, None],
        [one, own, None],
        [two, own, None],
        [own, one, two],
        [own, two, None],
        [one, two, own],
    ];
    let mut attacks = Vec::new();
    for macs in lists {
        for (is_own_board, is_answered) in [(true, false), (false, false), (true, true)] {
            attacks.push(Attack::Boot {
                macs,
                is_own_board,
                is_answered,
            });
        }
    }
    for second_nic in [false, true] {
        attacks.push(Attack::Dhcp { second_nic });
    }
    for (is_dead, is_failure) in [(true, true), (true, false), (false, true), (false, false)] {
        attacks.push(Attack::Callback {
            is_dead,
            is_failure,
        });
    }
    attacks.extend([Attack::CheckIn, Attack::StolenCheckIn]);
    attacks
}

impl Simulation {
    /// Tries every attack in one state, and returns a description of the first that succeeds.
    pub(super) fn attacked(&self, life: &Life) -> Result<(), String> {
        for attack in attacks() {
            let mut after = life.clone();
            let outcome = match self.attack(&mut after, attack) {
                Ok(Outcome::DoesNotApply) => Ok(()),
                Ok(Outcome::Answered) => compare(life, &after, attack),
                Err(violation) => Err(violation),
            };
            outcome.map_err(|violation| format!("{attack:?}: {violation}"))?;
        }
        Ok(())
    }

    fn sender(&self, is_answered: bool) -> Sender {
        if self.fault == Fault::EverySenderIsTrusted {
            return Sender::Trusted;
        }
        Sender::Compared {
            ip: "192.0.2.99".parse().expect("an address"),
            link: match is_answered {
                true => SenderLink::Routed,
                false => local(OWN),
            },
            strict: !is_answered,
        }
    }

    fn attack(&self, life: &mut Life, attack: Attack) -> Result<Outcome, String> {
        match attack {
            Attack::Boot {
                macs,
                is_own_board,
                is_answered,
            } => {
                let board = if is_own_board { "S1" } else { "S9" };
                let report = Report {
                    macs: macs.into_iter().flatten().collect(),
                    serial: Some(board.into()),
                    uuid: Some(format!("4c4c4544-0042-4410-8053-0000000000{board}")),
                    ..Report::default()
                };
                let request = NetworkBoot {
                    report,
                    boot: Some("forged".into()),
                    sender: self.sender(is_answered),
                    ..NetworkBoot::default()
                };
                // Behind a router a machine that is to be installed cannot be told from another host.
                let is_own = macs[0] == Some(OWN);
                let is_at_risk = is_answered && !is_own && life.may_be_installed(macs[0]);
                let decision = self.transaction(life, |transaction| transaction.boot(&request));
                match decision {
                    _ if is_at_risk => Ok(Outcome::DoesNotApply),
                    Decision::Disk(_) => Ok(Outcome::Answered),
                    // The hostile host is itself a machine that a policy installs.
                    _ if is_own => Ok(Outcome::Answered),
                    decision => Err(format!("it is answered with {decision:?}")),
                }
            }
            Attack::Dhcp { second_nic } => {
                let query = discover(mac(second_nic));
                self.transaction(life, |transaction| {
                    drop(transaction.dhcp(&query, &|_| true));
                });
                Ok(Outcome::Answered)
            }
            Attack::Callback {
                is_dead,
                is_failure,
            } => {
                let made_up = UrlToken::parse(&"ab".repeat(16));
                let token = if is_dead { dead_token(life) } else { made_up };
                let Some(token) = token else {
                    return Ok(Outcome::DoesNotApply);
                };
                let stage = if is_failure {
                    Stage::Failed
                } else {
                    Stage::Installed
                };
                let callback = Callback::Stage {
                    stage,
                    reason: None,
                };
                self.transaction(life, |transaction| transaction.callback(token, &callback));
                Ok(Outcome::Answered)
            }
            Attack::CheckIn => {
                self.check_in(life);
                Ok(Outcome::Answered)
            }
            Attack::StolenCheckIn => {
                let ids = life.server.state.machines.ids();
                for id in ids {
                    self.report(life, id);
                }
                Ok(Outcome::Answered)
            }
        }
    }

    /// The hostile host boots the microkernel as itself.
    fn check_in(&self, life: &mut Life) {
        let request = NetworkBoot {
            report: Report {
                macs: vec![OWN],
                ..Report::default()
            },
            sender: self.sender(false),
            ..NetworkBoot::default()
        };
        self.transaction(life, |transaction| transaction.boot(&request));
        let own = life.server.index.mac.get(&OWN);
        let own = own.and_then(|ids| ids.first()).copied();
        if let Some(own) = own {
            self.report(life, own);
        }
    }

    fn report(&self, life: &mut Life, id: MachineId) {
        let nic = |mac: Mac| format!(r#"{{"mac":"{mac}","bus":"pci"}}"#);
        let nics = [OWN, mac(false), mac(true)].map(nic).join(",");
        let body = format!(r#"{{"version":1,"facts":{{"serial":"S1","nics":[{nics}]}}}}"#);
        let reported = Reported::read(body.as_bytes()).expect("a report");
        let token = KEY.check_in(id);
        self.transaction(life, |transaction| {
            transaction.check_in(token, Some(&reported), &self.sender(false))
        });
    }
}

impl Life {
    /// Whether whoever sends this MAC may get an installer now.
    fn may_be_installed(&self, mac: Option<Mac>) -> bool {
        let mut machines = self.server.state.machines.values();
        let known = machines.find(|machine| {
            let macs = &machine.identity.mac;
            mac.is_some_and(|mac| macs.contains(&mac))
        });
        let open = known.and_then(|machine| machine.open());
        !open.is_some_and(|attempt| attempt.is_begun() || attempt.failed.is_some())
    }
}

/// The token of an attempt that has ended.
fn dead_token(life: &Life) -> Option<UrlToken> {
    life.server.state.machines.values().find_map(|machine| {
        let live: Vec<u32> = machine
            .attempts
            .iter()
            .map(|attempt| attempt.id.number)
            .collect();
        let number = (1..=machine.opened).find(|number| !live.contains(number))?;
        let machine = machine.id;
        Some(KEY.token(AttemptId { machine, number }))
    })
}

/// Every machine that exists has to be the same after the attack, except for when it was last active.
fn compare(before: &Life, after: &Life, attack: Attack) -> Result<(), String> {
    let (old, new) = (&before.server, &after.server);
    for machine in old.state.machines.values() {
        let Some(changed) = new.state.machines.get(machine.id) else {
            return Err(format!("machine {} is gone", machine.id));
        };
        if without_activity(machine) != without_activity(changed) {
            return Err(format!("a machine changes: {machine:?} -> {changed:?}"));
        }
        let (old, new) = (&old.volatile, &new.volatile);
        let id = machine.id;
        if old.boots.disk_tried.get(id) != new.boots.disk_tried.get(id)
            || old.boots.latest.get(id) != new.boots.latest.get(id)
            || old.attempts.since.get(id) != new.attempts.since.get(id)
            || old.attempts.rendered.get(id) != new.attempts.rendered.get(id)
            || old.microkernels.rebooting.get(&id) != new.microkernels.rebooting.get(&id)
        {
            return Err(format!("what is kept in memory about {id} changes"));
        }
    }
    let is_dhcp = matches!(attack, Attack::Dhcp { .. });
    let is_same = old.state.paused == new.state.paused
        && old.state.lost == new.state.lost
        && old.state.opened == new.state.opened
        && new
            .state
            .opened_undeclared
            .starts_with(&old.state.opened_undeclared)
        && old.state.merged == new.state.merged
        && (is_dhcp || old.state.leases == new.state.leases);
    is_same
        .then_some(())
        .ok_or_else(|| "the state of the site changes".into())
}

fn without_activity(machine: &Machine) -> Machine {
    Machine {
        last_activity: String::new(),
        last: Timestamp(0),
        ..machine.clone()
    }
}

/// The sender of a request from a NIC on the server's link.
pub(super) fn local(nic: Mac) -> SenderLink {
    SenderLink::Local {
        macs: [nic].into_iter().collect(),
        others: 0,
    }
}

/// A DISCOVER of UEFI firmware with the machine's MAC and another UUID.
fn discover(mac: Mac) -> ReceivedQuery {
    let mut datagram = vec![0; 240];
    datagram[..3].copy_from_slice(&[1, 1, 6]);
    datagram[28..34].copy_from_slice(&mac.0);
    datagram[236..].copy_from_slice(&[99, 130, 83, 99]);
    datagram.extend([53, 1, 1, 60, 9]);
    datagram.extend(b"PXEClient");
    datagram.extend([93, 2, 0, 7, 97, 17, 0]);
    datagram.extend([0x99; 16]);
    datagram.push(255);
    ReceivedQuery {
        query: DhcpMessage::read(&datagram).expect("a DISCOVER"),
        dhcp_port: DhcpPort::Dhcp,
        server_ip: "192.0.2.1".parse().expect("an address"),
        base: "http://192.0.2.1".into(),
        other_server: None,
    }
}
