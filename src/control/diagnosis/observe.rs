//! When nothing happens: each machine's [`Trail`], and saying what it shows.
//!
//! What is said stands in the machine's log as a remark, and is the reason that `nodes` shows until the machine
//! gets further. Only this run remembers it, and nothing is decided by it.

use std::{net::IpAddr, time::Duration};

use crate::control::{
    BootAsk, Decision, DhcpAsk, Signature, Turn,
    dhcp::respond::Firmware,
    diagnosis::progress::{Sign, Trail},
    install::open::is_due,
};
use crate::{
    boot::dhcp::{Client, DhcpMessageType, DhcpPort, DhcpReply, NoReply, ReplyContext, ReplyType},
    journal::{Event, MachineId},
    model::DhcpMode,
};

/// So many machines that were never seen are named.
const NAMED: usize = 3;
/// For how long it stays known which those are.
const UNSEEN: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// What stands against a machine's boot, in a sentence.
    pub(crate) fn diagnosis(&self, id: MachineId) -> Option<String> {
        let firmware = self.world.run.firmware.get(id)?;
        let said = firmware.trail.said()?;
        let node = self.node_of(id);
        is_due(self.machine(id), node.as_deref()).then(|| said.to_string())
    }

    /// Takes a sign of a machine in.
    pub(crate) fn saw(&mut self, id: MachineId, sign: Sign) {
        let id = self.world.state.resolve(id);
        let now = self.now.mono;
        // What ends a trail begins none.
        if sign != Sign::Over || self.world.run.firmware.contains(id) {
            self.follow(id, |trail| trail.on(sign, now));
        }
    }

    /// Says what time has shown.
    pub(crate) fn look_for_stalls(&mut self) {
        let now = self.now.mono;
        let is_due = |due: &(crate::model::MonotonicTime, MachineId)| due.0 <= now;
        while let Some((_, id)) = self.world.run.stalls.first().copied().filter(is_due) {
            self.follow(id, |trail| trail.stalled(now));
        }
    }

    /// Lets something happen to a machine's trail, and keeps when it is to be looked at next.
    fn follow(&mut self, id: MachineId, happens: impl FnOnce(&mut Trail) -> Option<Signature>) {
        let now = self.now.mono;
        let run = &mut self.world.run;
        let firmware = run.firmware.get_or_insert_with(id, Firmware::default);
        let trail = &mut firmware.trail;
        if let Some(due) = trail.due() {
            run.stalls.remove(&(due, id));
        }
        let signature = happens(trail);
        if let Some(due) = trail.due().filter(|due| *due > now) {
            run.stalls.insert((due, id));
        }
        if let Some(signature) = signature {
            self.say(id, &signature);
        }
    }

    /// Of a machine that nothing is to be installed on nothing is said: it boots its disk in any case.
    fn say(&mut self, id: MachineId, signature: &Signature) {
        if !self.world.state.machines.contains(id) {
            return;
        }
        let node = self.node_of(id);
        if is_due(self.machine(id), node.as_deref()) {
            let text = signature.to_string();
            self.record(id, Event::Remark { text });
        }
    }

    /// What a DHCP question and its answer are signs of.
    pub(crate) fn saw_dhcp(
        &mut self,
        id: MachineId,
        ask: &DhcpAsk,
        ground: &ReplyContext,
        decided: &Result<DhcpReply, NoReply>,
    ) {
        let query = &ask.query;
        // A Raspberry Pi looks for many files that need not be there, and tells of none.
        if query.client == Client::RaspberryPi {
            return;
        }
        let sign = match decided {
            Err(NoReply::OtherServer(server) | NoReply::OtherServerChosen(server)) => {
                Some(Sign::Elsewhere(*server))
            }
            Err(NoReply::AddressedToOther) => query.server.map(Sign::Elsewhere),
            Err(silence) => self.refused(silence),
            Ok(answer) => match (answer.kind, &answer.file, &ground.boot) {
                (ReplyType::Nak, ..) => None,
                (_, None, Err(silence)) => self.refused(silence),
                (_, None, Ok(_)) => None,
                (_, Some(file), _) => {
                    let (client, file) = (query.client, file.clone());
                    let is_offer = query.message_type == DhcpMessageType::Discover
                        && ground.port == DhcpPort::Dhcp;
                    Some(if is_offer {
                        let by_proxy = ground.mode == DhcpMode::Proxy;
                        Sign::Offered {
                            client,
                            file,
                            by_proxy,
                        }
                    } else {
                        Sign::Acknowledged { client, file }
                    })
                }
            },
        };
        if let Some(sign) = sign {
            self.saw(id, sign);
        }
    }

    fn refused(&mut self, silence: &NoReply) -> Option<Sign> {
        let signature = match silence {
            NoReply::NoLoader { .. } | NoReply::NoLoaderFor(_) | NoReply::SecureHttp => {
                Signature::NoLoader {
                    reason: silence.to_string(),
                }
            }
            NoReply::Undeclared | NoReply::Unknown => Signature::NotDeclared {
                unseen: self.unseen()?,
            },
            _ => return None,
        };
        Some(Sign::Refused(signature))
    }

    /// Names declared machines that were never seen. Looked up once in a second, however many strangers ask.
    fn unseen(&mut self) -> Option<String> {
        let now = self.now.mono;
        let known = self.world.run.unseen.as_ref();
        if let Some((_, names)) = known.filter(|(at, _)| now.since(*at) < UNSEEN) {
            return names.clone();
        }
        let names = self.never_seen();
        self.world.run.unseen = Some((now, names.clone()));
        names
    }

    fn never_seen(&self) -> Option<String> {
        let nodes = self.snapshot.site.nodes.values();
        let unseen = nodes.filter(|node| node.has_macs() && self.histories(node).is_empty());
        let names: Vec<String> = unseen
            .take(NAMED)
            .map(|node| node.name.value.to_string())
            .collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }

    /// What a network boot and its answer are signs of.
    pub(crate) fn saw_boot(&mut self, id: MachineId, ask: &BootAsk, decision: &Decision) {
        let repo = match decision {
            Decision::Open(opening) => opening.repo.clone(),
            Decision::Repeat { .. } => {
                let open = self.machine(id).open();
                open.and_then(|attempt| attempt.repo.clone())
            }
            _ => return self.saw(id, Sign::Over),
        };
        let site = &self.snapshot.site;
        // Who fetches from another server is not seen to.
        let is_ours = repo
            .and_then(|repo| site.repos.get(&repo))
            .is_some_and(|repo| repo.body.url.is_none());
        let is_told_apart = ask.from.is_some_and(|from| self.stands_at(id, from));
        let is_seen = is_ours && is_told_apart;
        self.saw(id, Sign::Script { is_seen });
    }

    /// Notes at which address a machine is. Of two that fetch from one address, as behind a router that translates
    /// addresses, neither can be followed.
    fn stands_at(&mut self, id: MachineId, from: IpAddr) -> bool {
        let before = self.world.run.at.insert(from, id);
        let left = self.firmware(id).at.replace(from);
        if let Some(left) = left.filter(|left| *left != from)
            && self.world.run.at.get(&left) == Some(&id)
        {
            self.world.run.at.remove(&left);
        }
        let other = before.filter(|before| *before != id);
        let other = other.filter(|other| {
            let firmware = self.world.run.firmware.get(*other);
            firmware.is_some_and(|firmware| firmware.trail.is_fetching())
        });
        if let Some(other) = other {
            self.saw(other, Sign::Over);
        }
        other.is_none()
    }

    /// Somebody at this address has asked for a file of a repo.
    /// `bytes` is its length, none when it is not there.
    pub fn asked_repo(&mut self, from: IpAddr, file: &str, bytes: Option<u64>) {
        let Some(id) = self.world.run.at.get(&from).copied() else {
            return;
        };
        let sign = match bytes {
            Some(bytes) => Sign::File { bytes },
            None => Sign::Missing(file.into()),
        };
        self.saw(id, sign);
    }

    /// A machine has begun to fetch something over TFTP, or a loader over HTTP.
    pub fn asked_loader(&mut self, id: MachineId, file: &str) {
        self.saw(id, Sign::Asked(file.into()));
    }

    /// Whether an address is that of a machine whose steps are followed; the others need no turn.
    pub fn is_followed(&self, from: IpAddr) -> bool {
        let id = self.world.run.at.get(&from);
        let firmware = id.and_then(|id| self.world.run.firmware.get(*id));
        firmware.is_some_and(|firmware| firmware.trail.is_fetching())
    }
}
