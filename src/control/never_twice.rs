//! Never wiped twice, by exhaustion.
//!
//! One physical machine lives through every sequence of events up to a depth. The test knows what the
//! machine itself knows: when its disk was wiped, and what it said of it and was not lost on the way. It
//! judges every installer that is handed out by that alone, never by what the server believes. Worlds that
//! can no longer be told apart are followed once.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::*;
use crate::{
    journal::{Event, Stage, State},
    model::*,
    site::Site,
};

const MINUTE: i64 = 60_000;

/// What the operator has written, as far as it varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Written {
    declared: bool,
    renamed: bool,
    second_card: bool,
    other_task: bool,
    installs: u32,
}

/// Which fault is planted; each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A callback after its deadline is not heard.
    TokenDiesAtDeadline,
    /// A history is found by its node's name.
    HistoryByName,
    /// A machine that boots while it is installing is installed again.
    RetryAtAnyBoot,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Boot,
    BootSoon,
    Document,
    InstallingHeard,
    InstalledHeard,
    InstalledLost,
    FinishedHeard,
    FailedHeard,
    LateInstalledHeard,
    NoDiskHeard,
    Deadline,
    Restart,
    Reload,
    Rename,
    CardReplaced,
    CardDeclared,
    DeletedOrAdded,
    BindingChanged,
    ClockForward,
    ClockBack,
    StateLost,
    DeclaredInstalled,
    Reinstall,
    InstallsBumped,
    Release,
}

const STEPS: [Step; 25] = [
    Step::Boot,
    Step::BootSoon,
    Step::Document,
    Step::InstallingHeard,
    Step::InstalledHeard,
    Step::InstalledLost,
    Step::FinishedHeard,
    Step::FailedHeard,
    Step::LateInstalledHeard,
    Step::NoDiskHeard,
    Step::Deadline,
    Step::Restart,
    Step::Reload,
    Step::Rename,
    Step::CardReplaced,
    Step::CardDeclared,
    Step::DeletedOrAdded,
    Step::BindingChanged,
    Step::ClockForward,
    Step::ClockBack,
    Step::StateLost,
    Step::DeclaredInstalled,
    Step::Reinstall,
    Step::InstallsBumped,
    Step::Release,
];

/// The machine itself.
#[derive(Debug, Clone, Hash, Default)]
struct Physical {
    second_card: bool,
    /// Whether it booted since the state was lost.
    seen: bool,
    /// The attempt whose installer runs, from its script on.
    runs: Option<Run>,
    /// The attempt that wrote the disk, as far as it got.
    disk: Option<Run>,
    /// The attempt of which nothing was ever heard although it wiped the disk.
    wiped_in_silence: bool,
    /// `installs` as it stood when an attempt was opened whose success was heard.
    reached: u32,
    /// Somebody asked for another installation since.
    asked: bool,
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
struct Run {
    token: Token,
    installs: u32,
    read: bool,
    heard: bool,
    installed: bool,
    told: bool,
}

#[derive(Clone)]
struct Life {
    world: World,
    written: Written,
    machine: Physical,
    now: Now,
    boots: u32,
    /// After a loss of state the operator says what it stands for.
    lost: bool,
}

struct Stage0 {
    snapshots: BTreeMap<Written, Arc<Snapshot>>,
    fault: Fault,
}

fn at<T>(value: T) -> At<T> {
    At::new(
        value,
        Place {
            file: FileId(0),
            start: 0,
            end: 0,
        },
    )
}

fn snapshot(written: Written) -> Snapshot {
    let mut site = Site {
        revision: Some(Revision::new(format!("{written:?}"))),
        ..Site::default()
    };
    let mut config = ServerConfig::default();
    config.limits.installs_per_hour = Some(at(1_000));
    site.config = Arc::new(config);
    // A policy that would take any stranger: it must not take a machine that was installed.
    let rule = Rule {
        when: Some(at("true".into())),
        accept: Some(at(Accept::Discovered)),
        ..Rule::default()
    };
    let name: PolicyName = "any".parse().expect("a name");
    let settings = Settings {
        task: Some(at("esxi".parse().expect("a name"))),
        ..Settings::default()
    };
    site.policies.insert(
        name.clone(),
        Arc::new(Policy {
            name: at(name.clone()),
            rule,
            settings,
        }),
    );
    site.order.push(name);
    if written.declared {
        let name: NodeName = if written.renamed { "b" } else { "a" }
            .parse()
            .expect("a name");
        let body = NodeBody {
            mac: Some(at(vec![at(mac(written.second_card))])),
            installs: Some(at(written.installs)),
            ..NodeBody::default()
        };
        let task = if written.other_task { "debian" } else { "esxi" };
        let settings = Settings {
            task: Some(at(task.parse().expect("a name"))),
            ..Settings::default()
        };
        site.identities
            .mac
            .insert(mac(written.second_card), name.clone());
        site.nodes.insert(
            name.clone(),
            Arc::new(Node {
                name: at(name),
                body,
                settings,
            }),
        );
    }
    let (rules, diagnostics) = crate::matcher::compile(&site);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let traits = Traits {
        installs: true,
        finishes: true,
    };
    let tasks = ["esxi", "debian"]
        .map(|task| (task.parse().expect("a name"), traits))
        .into();
    Snapshot {
        site,
        rules,
        tasks,
        ..Snapshot::default()
    }
}

fn mac(second: bool) -> Mac {
    Mac([2, 0, 0, 0, 0, if second { 2 } else { 1 }])
}

impl Stage0 {
    fn new(fault: Fault) -> Self {
        let mut snapshots = BTreeMap::new();
        for bits in 0..16u8 {
            let bit = |n: u8| bits >> n & 1 == 1;
            for installs in 1..=3 {
                let written = Written {
                    declared: bit(0),
                    renamed: bit(1),
                    second_card: bit(2),
                    other_task: bit(3),
                    installs,
                };
                snapshots.insert(written, Arc::new(snapshot(written)));
            }
        }
        Stage0 { snapshots, fault }
    }

    fn begin(&self) -> Life {
        let now = Now {
            wall: Timestamp(1_800_000_000_000),
            mono: Mono(0),
        };
        Life {
            world: World::new(State::default(), TokenKey([7; 32]), 1, now),
            written: Written {
                declared: true,
                renamed: false,
                second_card: false,
                other_task: false,
                installs: 1,
            },
            machine: Physical::default(),
            now,
            boots: 0,
            lost: false,
        }
    }

    /// Lets a step happen. None: it cannot happen now. An error is the end of the story.
    fn step(&self, life: &Life, step: Step) -> Option<Result<Life, &'static str>> {
        let mut life = life.clone();
        let outcome = match step {
            Step::Boot => self.boot(&mut life, 20 * MINUTE),
            Step::BootSoon => self.boot(&mut life, 2 * MINUTE),
            Step::Document => self.document(&mut life)?,
            Step::InstallingHeard => self.running(&mut life, Stage::Installing)?,
            Step::InstalledHeard => self.running(&mut life, Stage::Installed)?,
            Step::InstalledLost => {
                let run = life.machine.runs.take().filter(|run| run.read)?;
                life.machine.disk = Some(Run {
                    installed: true,
                    ..run
                });
                Ok(())
            }
            Step::FinishedHeard => self.on_disk(&mut life, Stage::Finished)?,
            Step::FailedHeard => self.running(&mut life, Stage::Failed)?,
            Step::LateInstalledHeard => self.on_disk(&mut life, Stage::Installed)?,
            Step::NoDiskHeard => {
                let disk = life.machine.disk.filter(|disk| !disk.installed)?;
                self.callback(&mut life, disk, Stage::NoDisk);
                Ok(())
            }
            Step::Deadline => self.quietly(
                &mut life,
                |life| life.pass(120 * MINUTE),
                |turn| turn.tick(),
            ),
            Step::Restart => {
                let state = life.world.state.clone();
                life.world = World::new(
                    state,
                    TokenKey([7; 32]),
                    1 + u64::from(life.boots) * 1_000,
                    life.now,
                );
                self.turn(&mut life, |turn| {
                    turn.on_reload(None);
                    turn.start_clocks();
                });
                Ok(())
            }
            Step::Reload => self.rewrite(&mut life, |_| {}),
            Step::Rename => self.rewrite(&mut life, |written| written.renamed ^= true),
            Step::CardReplaced => {
                if life.machine.second_card {
                    return None;
                }
                life.machine.second_card = true;
                if !life.machine.seen {
                    // Nobody can know that this is the machine of which the operator spoke.
                    life.machine.forget();
                }
                Ok(())
            }
            Step::CardDeclared => {
                if life.written.second_card || !life.machine.second_card {
                    return None;
                }
                self.rewrite(&mut life, |written| written.second_card = true)
            }
            Step::DeletedOrAdded => {
                let card = mac(life.written.second_card);
                let machines = &life.world.state.machines;
                let known = machines
                    .values()
                    .any(|machine| machine.node.is_some() || machine.identity.mac.contains(&card));
                // The first declaration of a card that nobody ever saw asks for its installation.
                life.machine.asked |= !life.written.declared && !known;
                self.rewrite(&mut life, |written| written.declared ^= true)
            }
            Step::BindingChanged => self.rewrite(&mut life, |written| written.other_task ^= true),
            Step::ClockForward => {
                life.now.wall.0 += 40 * 60 * MINUTE;
                Ok(())
            }
            Step::ClockBack => {
                life.now.wall.0 -= 40 * 60 * MINUTE;
                Ok(())
            }
            Step::StateLost => {
                if life.lost {
                    return None;
                }
                life.world = World::new(State::default(), TokenKey([7; 32]), 99, life.now);
                self.turn(&mut life, |turn| {
                    turn.record_site(Event::StateLost {
                        reason: "unknown".into(),
                    });
                    turn.on_reload(None);
                });
                life.lost = true;
                life.machine.forget();
                life.machine.seen = false;
                Ok(())
            }
            Step::DeclaredInstalled => {
                if !life.lost || life.world.state.lost.is_none() || !life.written.declared {
                    return None;
                }
                self.turn(&mut life, |turn| {
                    turn.declare_state(true);
                });
                life.machine.asked = false;
                if life.machine.second_card == life.written.second_card {
                    life.machine.reached = life.written.installs;
                }
                Ok(())
            }
            Step::Reinstall => {
                let name = if life.written.renamed { "b" } else { "a" };
                let done = self.turn(&mut life, |turn| {
                    turn.operate(name, &Operation::Reinstall).is_ok()
                });
                if !done {
                    return None;
                }
                life.machine.asked = true;
                Ok(())
            }
            Step::InstallsBumped => {
                if life.written.installs == 3 {
                    return None;
                }
                self.rewrite(&mut life, |written| written.installs += 1)
            }
            Step::Release => {
                let name = if life.written.renamed { "b" } else { "a" };
                let done = self.turn(&mut life, |turn| {
                    turn.operate(name, &Operation::Release).is_ok()
                });
                if !done {
                    return None;
                }
                Ok(())
            }
        };
        Some(outcome.map(|()| life))
    }

    fn turn<T>(&self, life: &mut Life, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        let snapshot = self.snapshots[&life.written].clone();
        let mut turn = Turn::new(&snapshot, &mut life.world, life.now);
        act(&mut turn)
    }

    fn quietly(
        &self,
        life: &mut Life,
        before: impl FnOnce(&mut Life),
        act: impl FnOnce(&mut Turn<'_>),
    ) -> Result<(), &'static str> {
        before(life);
        self.turn(life, act);
        Ok(())
    }

    fn rewrite(
        &self,
        life: &mut Life,
        change: impl FnOnce(&mut Written),
    ) -> Result<(), &'static str> {
        let before = self.snapshots[&life.written].clone();
        let name = life.written.renamed;
        change(&mut life.written);
        if self.fault == Fault::HistoryByName && name != life.written.renamed {
            let ids: Vec<_> = life.world.state.machines.keys().copied().collect();
            self.turn(life, |turn| {
                ids.iter().for_each(|id| {
                    turn.record(
                        *id,
                        Event::Forgotten {
                            by: "a fault".into(),
                        },
                    )
                })
            });
        }
        self.turn(life, |turn| turn.on_reload(Some(&before)));
        Ok(())
    }

    /// The machine boots from the network, whatever it was doing.
    fn boot(&self, life: &mut Life, after: i64) -> Result<(), &'static str> {
        life.pass(after);
        life.boots += 1;
        life.machine.seen = true;
        if let Some(run) = life.machine.runs.take().filter(|run| run.read) {
            // It died while it was installing; the disk is in pieces.
            life.machine.disk = Some(run);
        }
        if self.fault == Fault::RetryAtAnyBoot {
            self.give_up_whatever_runs(life);
        }
        let report = Report {
            macs: vec![mac(life.machine.second_card)],
            serial: Some("S1".into()),
            ..Report::default()
        };
        let ask = BootAsk {
            report,
            boot: Some(life.boots.to_string()),
            ..BootAsk::default()
        };
        let decision = self.turn(life, |turn| {
            let decision = turn.boot(&ask);
            if let Decision::Open(opening) = &decision {
                turn.opened(opening);
            }
            decision
        });
        let (attempt, installs) = match decision {
            Decision::Open(opening) => (opening.attempt, opening.installs),
            Decision::Repeat {
                machine, attempt, ..
            } => (
                attempt,
                life.world.state.machines[&machine]
                    .open()
                    .expect("it is open")
                    .installs,
            ),
            Decision::Disk(_) => return Ok(()),
            other => panic!("{other:?}"),
        };
        self.judge(life)?;
        let token = life.world.token(attempt);
        life.machine.runs = Some(Run {
            token,
            installs,
            read: false,
            heard: false,
            installed: false,
            told: false,
        });
        Ok(())
    }

    fn give_up_whatever_runs(&self, life: &mut Life) {
        let open = life.world.state.machines.values().find_map(|machine| {
            machine
                .open()
                .filter(|attempt| attempt.is_begun())
                .map(|attempt| (machine.id, attempt.number))
        });
        if let Some((id, attempt)) = open {
            self.turn(life, |turn| {
                turn.record(
                    id,
                    Event::GaveUp {
                        attempt,
                        reason: "a fault".into(),
                    },
                )
            });
        }
    }

    /// An installer is handed out. Was it asked for?
    fn judge(&self, life: &Life) -> Result<(), &'static str> {
        let machine = &life.machine;
        if machine.asked {
            return Ok(());
        }
        if machine.wiped_in_silence {
            return Err(
                "its disk was written, no callback ever came, and it is handed an installer again",
            );
        }
        // Without a declaration that asks for more, once is enough.
        let wanted = if life.written.declared {
            life.written.installs
        } else {
            1
        };
        if machine.reached > 0 && wanted <= machine.reached {
            return Err(
                "it reported that it is installed, nobody asked, and it is handed an installer again",
            );
        }
        Ok(())
    }

    fn document(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let mut run = life.machine.runs.filter(|run| !run.read)?;
        life.pass(MINUTE);
        let served = self.turn(life, |turn| match turn.may_hand_out(run.token, "ks.cfg") {
            Ok(handed) => {
                turn.on_serving(handed, "ks.cfg");
                turn.on_read(handed.attempt, "ks.cfg", 1);
                true
            }
            Err(_) => false,
        });
        if !served {
            // The installer stops; nothing was touched.
            life.machine.runs = None;
            return Some(Ok(()));
        }
        run.read = true;
        life.machine.runs = Some(run);
        life.machine.disk = None;
        life.machine.wiped_in_silence = true;
        // What was asked for has begun.
        life.machine.asked = false;
        Some(Ok(()))
    }

    /// The installer reports.
    fn running(&self, life: &mut Life, stage: Stage) -> Option<Result<(), &'static str>> {
        let run = life.machine.runs.filter(|run| run.read)?;
        let run = self.callback(life, run, stage.clone());
        match stage {
            Stage::Installed => {
                life.machine.runs = None;
                life.machine.disk = Some(Run {
                    installed: true,
                    ..run
                });
            }
            Stage::Failed => {
                life.machine.runs = None;
                life.machine.disk = Some(run);
            }
            _ => life.machine.runs = Some(run),
        }
        Some(Ok(()))
    }

    /// The installed system reports.
    fn on_disk(&self, life: &mut Life, stage: Stage) -> Option<Result<(), &'static str>> {
        let disk = life
            .machine
            .disk
            .filter(|disk| disk.installed && life.machine.runs.is_none())?;
        let disk = self.callback(life, disk, stage);
        life.machine.disk = Some(disk);
        Some(Ok(()))
    }

    fn callback(&self, life: &mut Life, mut run: Run, stage: Stage) -> Run {
        let overdue = life.world.state.machines.values().any(|machine| {
            machine
                .newest()
                .is_some_and(|attempt| attempt.overdue.is_some())
        });
        let deaf = self.fault == Fault::TokenDiesAtDeadline && overdue;
        let callback = Callback::Stage {
            stage: stage.clone(),
            reason: Some("because".into()),
        };
        if !deaf {
            self.turn(life, |turn| turn.callback(run.token, &callback));
        }
        // A state that was lost knows nothing of an attempt that it never saw, and is not blamed for it.
        let known = life.world.index.token.contains_key(&run.token);
        if known && stage != Stage::NoDisk {
            run.heard = true;
            life.machine.wiped_in_silence = false;
            if matches!(stage, Stage::Installed | Stage::Finished) {
                life.machine.reached = life.machine.reached.max(run.installs);
                // What is told a second time uses up no request.
                life.machine.asked &= run.told;
                run.told = true;
            }
        }
        run
    }
}

impl Physical {
    /// What was known of it is lost with the state.
    fn forget(&mut self) {
        self.reached = 0;
        self.wiped_in_silence = false;
    }
}

impl Life {
    fn pass(&mut self, milliseconds: i64) {
        self.now.wall.0 += milliseconds;
        self.now.mono.0 += milliseconds;
    }

    /// Everything by which two lives can still differ.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.written.hash(&mut hasher);
        self.machine.hash(&mut hasher);
        self.lost.hash(&mut hasher);
        let mut state = self.world.state.clone();
        state.opened.clear();
        let still = Timestamp(0);
        for machine in state.machines.values_mut() {
            machine.said.clear();
            (machine.first, machine.last, machine.since) = (still, still, still);
            for attempt in &mut machine.attempts {
                attempt.opened = still;
                attempt.read = attempt.read.map(|_| still);
                attempt.stages.values_mut().for_each(|at| *at = still);
            }
        }
        state.hash(&mut hasher);
        let run = &self.world.run;
        let age = |at: &Mono| self.now.mono.0 - at.0;
        for (id, (attempt, at)) in &run.disk_tried {
            (id, attempt, age(at) <= 3 * MINUTE, age(at) <= 5 * MINUTE).hash(&mut hasher);
        }
        for (id, clock) in &run.clocks {
            let step = (clock.wait.attempt, clock.wait.step);
            (id, step, clock.passed, clock.missed.is_some()).hash(&mut hasher);
        }
        for (id, at) in &run.since {
            (id, age(at) / (180 * MINUTE)).hash(&mut hasher);
        }
        run.rendered.hash(&mut hasher);
        hasher.finish()
    }
}

/// What came of an enumeration.
struct Outcome {
    lives: usize,
    handed_out: usize,
    story: Option<(Vec<Step>, &'static str)>,
}

fn enumerate(fault: Fault, depth: usize) -> Outcome {
    let stage = Stage0::new(fault);
    let mut outcome = Outcome {
        lives: 0,
        handed_out: 0,
        story: None,
    };
    let mut seen = BTreeSet::new();
    let mut front = vec![(stage.begin(), Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (life, story) in &front {
            for step in STEPS {
                let Some(result) = stage.step(life, step) else {
                    continue;
                };
                let story: Vec<Step> = story.iter().copied().chain([step]).collect();
                match result {
                    Err(why) => {
                        outcome.story = Some((story, why));
                        return outcome;
                    }
                    Ok(life) => {
                        outcome.handed_out +=
                            usize::from(life.machine.runs.is_some_and(|run| !run.read));
                        if seen.insert(life.key()) {
                            next.push((life, story));
                        }
                    }
                }
            }
        }
        outcome.lives += next.len();
        front = next;
    }
    outcome
}

/// How deep the enumeration goes: as deep as a minute allows.
const DEPTH: usize = 6;

#[test]
fn no_sequence_of_events_wipes_a_machine_twice() {
    let outcome = enumerate(Fault::None, DEPTH);
    if let Some((story, why)) = outcome.story {
        panic!("{why}:\n{story:#?}");
    }
    // An enumeration that never hands anything out proves nothing.
    assert!(
        outcome.lives > 10_000 && outcome.handed_out > 1_000,
        "{} {}",
        outcome.lives,
        outcome.handed_out
    );
    eprintln!(
        "{} lives, {} installers handed out",
        outcome.lives, outcome.handed_out
    );
}

#[test]
fn planted_faults_are_found_with_a_short_story() {
    for fault in [
        Fault::TokenDiesAtDeadline,
        Fault::HistoryByName,
        Fault::RetryAtAnyBoot,
    ] {
        let (story, why) = enumerate(fault, DEPTH)
            .story
            .unwrap_or_else(|| panic!("{fault:?} is not found"));
        assert!(story.len() <= DEPTH, "{fault:?}");
        eprintln!("{fault:?}: {why}: {story:?}");
    }
}
