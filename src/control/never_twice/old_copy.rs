//! Proves by exhaustive exploration that an old copy of the state, or a lost one, does not wipe a disk that has a seal.
//!
//! One machine with one disk. The exploration judges every permission to overwrite the disk by what is on it, and by what the
//! operator has requested since, never by the server's state.

use std::{collections::BTreeSet, sync::LazyLock};

use super::{
    hostile::local,
    life::{KEY, MINUTE, Written, mac, snapshot},
};
use crate::{
    api::{Command, NodeCommand},
    control::{
        Callback, Decision, DeclaredState, NetworkBoot, Preparation, Report, Reported, Seal,
        SealAuthority, SealVerdict, Sender, ServerState, Snapshot, Transaction, UrlToken,
    },
    journal::{JournalState, Stage},
    model::{MonotonicTime, Now, Timestamp},
};

/// An event of the exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OldCopyStep {
    Boot,
    Installer,
    Finished,
    FinishedWithoutReport,
    Failed,
    Copied,
    SetBack,
    LostAndNew,
    LostAndAsked,
    Reports,
    Reinstall,
    InstallsRaised,
    Forget,
    Release,
    Restart,
}

use OldCopyStep::*;

const STEPS: [OldCopyStep; 15] = [
    Boot,
    Installer,
    Finished,
    FinishedWithoutReport,
    Failed,
    Copied,
    SetBack,
    LostAndNew,
    LostAndAsked,
    Reports,
    Reinstall,
    InstallsRaised,
    Forget,
    Release,
    Restart,
];

/// A fault to inject. The exploration must find each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SealFault {
    None,
    /// Every seal may be overwritten.
    SealsAreIgnored,
    /// A request that was fulfilled after the copy was made counts again.
    RequestsHaveNoTime,
}

/// A running installer.
#[derive(Debug, Clone)]
struct Installer {
    token: UrlToken,
    installs: u32,
    opened: Timestamp,
    /// The seal that it leaves.
    seal: String,
    has_wiped: bool,
}

#[derive(Clone)]
struct SealedLife {
    server: ServerState,
    copy: Option<JournalState>,
    now: Now,
    boots: u32,
    installs: u32,
    installer: Option<Installer>,
    /// The machine runs the microkernel.
    reports_to: Option<UrlToken>,
    seal: Option<String>,
    /// The `installs` of the system on the disk.
    system: Option<u32>,
    /// When the operator has requested another installation, if none that was opened since has succeeded.
    requested: Option<Timestamp>,
}

fn authority() -> SealAuthority {
    SealAuthority::new("5f0c", [8; 32])
}

fn new_server(state: JournalState, seed: u64, now: Now) -> ServerState {
    ServerState::new(state, KEY, seed, now).with_seals(authority())
}

impl SealedLife {
    fn begin() -> SealedLife {
        let now = Now {
            wall: Timestamp(1_800_000_000_000),
            mono: MonotonicTime(0),
        };
        SealedLife {
            server: new_server(JournalState::default(), 1, now),
            copy: None,
            now,
            boots: 0,
            installs: 1,
            installer: None,
            reports_to: None,
            seal: None,
            system: None,
            requested: None,
        }
    }

    fn site(&self) -> &'static Snapshot {
        static SITES: LazyLock<[Snapshot; 2]> = LazyLock::new(|| {
            [1, 2].map(|installs| {
                snapshot(Written {
                    declared: true,
                    renamed: false,
                    second_nic: false,
                    other_task: false,
                    installs,
                })
            })
        });
        &SITES[self.installs as usize - 1]
    }

    fn transaction<T>(&mut self, act: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let site = self.site();
        act(&mut Transaction::new(site, &mut self.server, self.now))
    }

    /// Starts a server with this state.
    fn start(&mut self, state: JournalState) {
        self.boots += 1;
        let seed = 1 + u64::from(self.boots) * 1_000;
        self.server = new_server(state, seed, self.now);
        self.transaction(|transaction| {
            transaction.on_reload(None);
            transaction.start_deadlines();
        });
    }

    fn lose(&mut self, declared: DeclaredState) {
        self.start(JournalState::default());
        self.transaction(|transaction| transaction.declare_state(declared));
    }

    fn command(&mut self, command: NodeCommand) -> bool {
        self.transaction(|transaction| transaction.operate(&Command::node("a", command)).is_ok())
    }

    /// Applies a step. Returns none if it cannot happen, and an error if a system is wiped that should not be.
    fn step(
        &self,
        step: OldCopyStep,
        fault: SealFault,
    ) -> Option<Result<SealedLife, &'static str>> {
        let mut after = self.clone();
        let life = &mut after;
        life.now.wall.0 += MINUTE;
        life.now.mono.0 += MINUTE;
        match step {
            Boot => life.boot(),
            Installer => return life.ask(fault).map(|result| result.map(|()| after)),
            Finished => life.finish(true)?,
            FinishedWithoutReport => life.finish(false)?,
            Failed => {
                let run = life.installer.take()?;
                life.report(run.token, Stage::Failed);
            }
            Copied => life.copy = Some(life.server.state.clone()),
            SetBack => {
                let copy = life.copy.clone()?;
                life.start(copy);
            }
            LostAndNew => life.lose(DeclaredState::New),
            LostAndAsked => life.lose(DeclaredState::FromMachines),
            Reports => life.check_in()?,
            Reinstall => {
                life.command(NodeCommand::Reinstall {}).then_some(())?;
                life.requested = Some(life.now.wall);
            }
            InstallsRaised if life.installs == 2 => return None,
            InstallsRaised => {
                let before = life.site();
                life.installs += 1;
                life.transaction(|transaction| transaction.on_reload(Some(before)));
            }
            Forget => {
                let wipe_allowed = true;
                life.command(NodeCommand::Forget { wipe_allowed })
                    .then_some(())?;
                life.requested = Some(life.now.wall);
            }
            Release => life.command(NodeCommand::Release {}).then_some(())?,
            Restart => {
                let state = life.server.state.clone();
                life.start(state);
            }
        }
        Some(Ok(after))
    }

    /// Boots from the network, and reads the document if it gets an installer.
    fn boot(&mut self) {
        self.boots += 1;
        (self.installer, self.reports_to) = (None, None);
        let ask = NetworkBoot {
            report: Report {
                macs: vec![mac(false)],
                ..Report::default()
            },
            boot: Some(self.boots.to_string()),
            sender: Sender::Compared {
                ip: "192.0.2.21".parse().expect("an address"),
                link: local(mac(false)),
                strict: true,
            },
            ..NetworkBoot::default()
        };
        let decision = self.transaction(|transaction| transaction.boot(&ask));
        let attempt = match decision {
            Decision::Open(opening) => {
                let preparation = Preparation::New(opening.clone());
                self.transaction(|transaction| {
                    let job = transaction.reserve(&preparation, &ask, "http://192.0.2.1");
                    assert!(job.is_some() && transaction.complete(&preparation, &ask));
                });
                opening.attempt
            }
            Decision::Repeat { attempt, .. } => attempt,
            Decision::Microkernel(id) => {
                self.reports_to = Some(self.server.admit(id));
                return;
            }
            _ => return,
        };
        let token = self.server.token(attempt);
        let machine = self
            .server
            .state
            .machine(attempt.machine)
            .expect("it has booted");
        let opened = machine.attempt(attempt).expect("it is open");
        let (installs, sealed) = (opened.installs, opened.sealed);
        let is_served = self.transaction(|transaction| {
            let Ok(download) = transaction.authorize_download(token, "ks.cfg", &Sender::Trusted)
            else {
                return false;
            };
            transaction.on_serving(download, "ks.cfg");
            transaction.on_read(download.attempt, "ks.cfg", 1);
            true
        });
        self.installer = is_served.then(|| self::Installer {
            token,
            installs,
            opened: sealed,
            seal: authority().text(&Seal {
                machine: attempt.machine,
                node: "a".into(),
                installs,
                sealed,
            }),
            has_wiped: false,
        });
    }

    /// The installer asks about the disk's seal, and wipes the disk if it may.
    fn ask(&mut self, fault: SealFault) -> Option<Result<(), &'static str>> {
        let mut run = self.installer.take().filter(|run| !run.has_wiped)?;
        if fault == SealFault::RequestsHaveNoTime {
            let machines = self.server.state.machines.values_mut();
            machines.for_each(|machine| machine.requested = None);
        }
        if let Some(text) = self.seal.clone() {
            let verdict =
                self.transaction(|transaction| transaction.check_seal(run.token, &text, false));
            let may_wipe = verdict == Some(SealVerdict::Overwrite);
            if !may_wipe && fault != SealFault::SealsAreIgnored {
                return Some(Ok(()));
            }
        }
        let is_due = |system| self.requested.is_some() || run.installs > system;
        if !self.system.is_none_or(is_due) {
            return Some(Err("its system is wiped, and nobody has requested it"));
        }
        (self.seal, self.system) = (None, None);
        run.has_wiped = true;
        self.installer = Some(run);
        Some(Ok(()))
    }

    fn finish(&mut self, is_reported: bool) -> Option<()> {
        let run = self.installer.take().filter(|run| run.has_wiped)?;
        self.seal = Some(run.seal);
        self.system = Some(run.installs);
        self.requested = self.requested.filter(|at| *at > run.opened);
        if is_reported {
            self.report(run.token, Stage::Installed);
        }
        Some(())
    }

    fn report(&mut self, token: UrlToken, stage: Stage) {
        let callback = Callback::Stage {
            stage,
            reason: None,
        };
        self.transaction(|transaction| transaction.callback(token, &callback));
    }

    /// The microkernel reports the disk.
    fn check_in(&mut self) -> Option<()> {
        let token = self.reports_to.take()?;
        let seal = self
            .seal
            .as_ref()
            .map_or_else(String::new, |text| format!(r#","seal":"{text}""#));
        let report =
            format!(r#"{{"version":1,"facts":{{"disks":[{{"path":"/dev/sda"{seal}}}]}}}}"#);
        let reported = Reported::read(report.as_bytes()).expect("it is a report");
        let sender = Sender::Compared {
            ip: "192.0.2.21".parse().expect("an address"),
            link: local(mac(false)),
            strict: true,
        };
        self.transaction(|transaction| transaction.check_in(token, Some(&reported), &sender));
        Some(())
    }

    /// Everything in which two states can still differ. Of times, only their order counts.
    fn key(&self) -> String {
        let still = |state: &JournalState| {
            let mut state = state.clone();
            (state.latest, state.decisions) = (Timestamp(0), 0);
            state.opened.clear();
            for machine in state.machines.values_mut() {
                machine.last_activity.clear();
                let still = Timestamp(0);
                (machine.first, machine.last, machine.since) = (still, still, still);
                for attempt in &mut machine.attempts {
                    attempt.opened = still;
                    attempt.read = attempt.read.map(|_| still);
                    attempt.stages.values_mut().for_each(|at| *at = still);
                }
            }
            serde_json::to_string(&state).expect("a state is JSON")
        };
        let without_checksum =
            |text: &String| text.rsplit_once('/').map(|(text, _)| text.to_owned());
        let run = self.installer.as_ref();
        let run = run.map(|run| (run.token, run.has_wiped, without_checksum(&run.seal)));
        let key = format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {} {}",
            still(&self.server.state),
            self.copy.as_ref().map(still),
            run,
            self.reports_to,
            self.seal.as_ref().map(without_checksum),
            self.system,
            self.requested.map(|at| at.to_string()),
            self.installs,
            self.server.volatile.boots.disk_tried.in_order().count(),
        );
        // Every time has 24 characters.
        let key: String = key.chars().filter(char::is_ascii).collect();
        let is_time =
            |at: &usize| key[*at..].starts_with("20") && key.get(at + 10..at + 11) == Some("T");
        let places: Vec<usize> = (0..key.len()).filter(is_time).collect();
        let times: BTreeSet<&str> = places.iter().map(|at| &key[*at..at + 24]).collect();
        let times: Vec<&str> = times.into_iter().collect();
        let (mut ranked, mut end) = (String::new(), 0);
        for at in places {
            let rank = times.binary_search(&&key[at..at + 24]);
            ranked += &format!("{}t{rank:?}", &key[end..at]);
            end = at + 24;
        }
        ranked + &key[end..]
    }
}

/// The depth of the exploration. One step more finds nothing either, and takes five times as long.
const DEPTH: usize = 7;

/// The steps of the stories in which the faults are found.
const FEW: [OldCopyStep; 7] = [
    Boot, Installer, Finished, Copied, SetBack, LostAndNew, Reinstall,
];

/// Explores all sequences up to a depth. Returns how many states there are, and a sequence that wipes a system.
fn explore(fault: SealFault, steps: &[OldCopyStep], depth: usize) -> (usize, Option<String>) {
    let mut explored = BTreeSet::new();
    let mut frontier = vec![(SealedLife::begin(), Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (life, story) in &frontier {
            for step in steps {
                let story: Vec<OldCopyStep> = story.iter().chain([step]).copied().collect();
                match life.step(*step, fault) {
                    None => {}
                    Some(Err(violation)) => {
                        return (explored.len(), Some(format!("{story:?}: {violation}")));
                    }
                    Some(Ok(life)) if explored.insert(life.key()) => next.push((life, story)),
                    Some(Ok(_)) => {}
                }
            }
        }
        frontier = next;
    }
    (explored.len(), None)
}

#[test]
fn no_old_copy_and_no_lost_state_wipes_a_sealed_disk() {
    let (states, story) = explore(SealFault::None, &STEPS, DEPTH);
    assert_eq!(story, None);
    assert!(states > 1_000, "{states}");
    eprintln!("{states} states");
}

#[test]
fn faults_in_the_use_of_seals_are_found() {
    for fault in [SealFault::SealsAreIgnored, SealFault::RequestsHaveNoTime] {
        let (_, story) = explore(fault, &FEW, 8);
        let story = story.unwrap_or_else(|| panic!("{fault:?} is not found"));
        eprintln!("{fault:?}: {story}");
    }
}
