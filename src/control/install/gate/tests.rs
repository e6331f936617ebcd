//! Breaks each condition in each phase and compares the result with a second, independent table.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::*;
use crate::{
    control::{
        Decision, NetworkBoot, Preparation, Report, ServerState, Snapshot, TaskTraits, TokenKey,
        volatile::ArpResult,
    },
    journal::{JournalState, MachineEvent, SiteEvent},
    matcher,
    model::{Mac, MonotonicTime, Now, Timestamp},
    site::{self, LoadCache, Severity, SiteFiles},
};

const MACHINE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 9]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 21);
const LINK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24);

/// A declared machine whose second installation is due and not blocked.
const DECLARED: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
[repo.tree]
url = "http://mirror.example/"
task = "esxi"
[node.a]
mac = "02:00:00:00:00:01"
address = "192.0.2.21"
installs = 2
repo = "tree"
"#;

/// A machine that needs the only address of a pool.
const POOLED: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
pool = "192.0.2.60-192.0.2.60"
[repo.tree]
url = "http://mirror.example/"
task = "esxi"
[node.a]
mac = "02:00:00:00:00:01"
network = "lab"
addresses = "pool"
installs = 2
repo = "tree"
"#;

/// An undeclared machine that a policy binds.
const UNDECLARED: &str = r#"
[policy.any]
when = "true"
accept = "discovered"
task = "esxi"
hostname = "web"
"#;

/// The same machine, if a declared machine already has the host name that the policy sets.
const NAME_TAKEN: &str = r#"
[policy.any]
when = "true"
accept = "discovered"
task = "esxi"
hostname = "web"
[node.web]
mac = "02:00:00:00:00:09"
task = "esxi"
"#;

/// The phases. `Serve` is tested twice: before and after the machine has read something of the attempt.
const STEPS: [(Phase, bool); 6] = [
    (Phase::Open, false),
    (Phase::Repeat, false),
    (Phase::SameBoot, false),
    (Phase::Serve, false),
    (Phase::Serve, true),
    (Phase::CheckIn, false),
];

/// The expected result of each broken condition, written independently of the table: `B` blocked, `r` ready. The columns are
/// those of [`STEPS`]: open, repeat, same boot, serve, serve after something was read, check-in.
const EXPECTED: [(Condition, &str); 17] = [
    (Condition::StateKnown, "B B B B B B"),
    (Condition::NotProtected, "B B B B B B"),
    (Condition::NotHeld, "B B B B B B"),
    (Condition::Due, "B B B B r B"),
    (Condition::Recent, "r B B B B r"),
    (Condition::Bound, "B B B B r B"),
    (Condition::SameBinding, "r B B B r r"),
    (Condition::TaskExists, "B B B B r B"),
    (Condition::Recorded, "B r r r r B"),
    (Condition::NotPaused, "B B B r r B"),
    (Condition::Expected, "B B B B r B"),
    (Condition::Address, "B B B B r B"),
    (Condition::NameFree, "B B B B r B"),
    (Condition::ImageVerified, "B B B B r B"),
    (Condition::WithinRate, "B r r r r B"),
    (Condition::AddressProbed, "B B r r r r"),
    (Condition::AddressFree, "B B B B r B"),
];

fn snapshot(text: &str) -> Snapshot {
    let files = SiteFiles {
        content: [("policies.d/site.toml".into(), text.as_bytes().into())].into(),
        ..SiteFiles::default()
    };
    let (mut site, mut found) = site::load(&files, &mut LoadCache::default());
    let (rules, mistakes) = matcher::compile(&site);
    found.extend(mistakes);
    found.retain(|diagnostic| diagnostic.severity == Severity::Error);
    assert!(found.is_empty(), "{text}: {found:#?}");
    site.revision = Some(crate::model::Revision::new(text));
    let traits = TaskTraits {
        installs: true,
        finishes: true,
        by_mboot: false,
    };
    let tasks = ["esxi", "debian"].map(|task| (task.parse().unwrap(), traits));
    Snapshot {
        site,
        rules,
        tasks: tasks.into(),
        ..Snapshot::default()
    }
}

/// A site and a machine in one phase, in which conditions can be broken.
struct Scene {
    site: Snapshot,
    server: ServerState,
    now: Now,
    id: MachineId,
}

impl Scene {
    /// Boots the machine. Opens an attempt for the phases that need one, and reads a document if `is_begun`.
    fn new(text: &str, phase: Phase, is_begun: bool) -> Scene {
        let now = Now {
            wall: Timestamp(1_800_000_000_000),
            mono: MonotonicTime(1_000_000),
        };
        let server = ServerState::new(JournalState::default(), TokenKey([7; 32]), 1, now);
        let site = snapshot(text);
        let mut scene = Scene {
            site,
            server,
            now,
            id: MachineId(0),
        };
        // This boot makes the machine known but opens no attempt, because installations are paused.
        scene.act(|transaction| transaction.pause());
        assert!(matches!(scene.boot(), Decision::Disk(_)));
        scene.act(|transaction| transaction.resume());
        scene.id = scene.server.state.machines.ids()[0];
        if scene.site.site.nodes.contains_key("a") {
            // `installs` can then be lowered without making the machine protected.
            let id = scene.id;
            scene.act(|transaction| transaction.record(id, MachineEvent::Marked { installs: 1 }));
        }
        if matches!(phase, Phase::Repeat | Phase::SameBoot | Phase::Serve) {
            let Decision::Open(opening) = scene.boot() else {
                panic!("the installation is not blocked");
            };
            scene.act(|transaction| transaction.opened(&opening));
        }
        if is_begun {
            let (id, number) = (scene.id, 1);
            let name = "ks.cfg".into();
            let event = MachineEvent::Serving {
                attempt: number,
                name,
            };
            scene.act(|transaction| transaction.record(id, event));
        }
        scene
    }

    fn act<T>(&mut self, act: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let mut transaction = Transaction::new(&self.site, &mut self.server, self.now);
        act(&mut transaction)
    }

    fn boot(&mut self) -> Decision {
        self.now.mono.0 += 120_000;
        self.act(|transaction| transaction.boot(&request()))
    }

    fn rewrite(&mut self, from: &str, to: &str, text: &str) {
        assert!(text.contains(from), "{from} is in the site");
        self.site = snapshot(&text.replacen(from, to, 1));
    }

    /// Breaks exactly one condition.
    fn break_condition(&mut self, condition: Condition) {
        let (id, now) = (self.id, self.now.mono);
        match condition {
            Condition::StateKnown => self.act(|transaction| {
                transaction.record_site(SiteEvent::StateLost {
                    reason: "the state directory is new".into(),
                });
            }),
            Condition::NotProtected => self.rewrite("installs = 2", "installs = 0", DECLARED),
            Condition::NotHeld => {
                self.act(|transaction| transaction.hold(id, HoldCause::Operator, "new disks"));
            }
            Condition::Due => self.rewrite("installs = 2", "installs = 1", DECLARED),
            Condition::Recent => self.now.mono.0 += 25 * 3_600_000,
            Condition::Bound => self.rewrite("repo = \"tree\"\n", "", DECLARED),
            Condition::SameBinding => {
                self.rewrite("task = \"esxi\"", "task = \"debian\"", DECLARED);
            }
            Condition::TaskExists => {
                self.site.tasks.remove("esxi");
            }
            Condition::Recorded => {
                self.server.state.unrecorded = Some("the state may be old".into());
                let machine = self.server.state.machines.get_mut(id).unwrap();
                (machine.opened, machine.installed) = (0, false);
            }
            Condition::NotPaused => self.act(|transaction| transaction.pause()),
            Condition::Expected => {
                self.rewrite("installs = 2", "installs = 2\nexpect = \"false\"", DECLARED);
            }
            Condition::Address => {
                self.site = snapshot(POOLED);
                self.act(|transaction| {
                    let other = MachineId(99);
                    let identity = crate::model::Identity {
                        mac: [OTHER].into_iter().collect(),
                        ..crate::model::Identity::default()
                    };
                    transaction.record(
                        other,
                        MachineEvent::Seen {
                            identity,
                            boot: None,
                        },
                    );
                    let address = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 60)));
                    let policy = None;
                    transaction.record(other, MachineEvent::Bound { policy, address });
                });
            }
            Condition::NameFree => self.site = snapshot(NAME_TAKEN),
            Condition::ImageVerified => {
                let reason = "the image does not have the checksum that the site names".into();
                let unverified = &mut self.server.volatile.unverified;
                unverified.insert("tree".parse().unwrap(), reason);
            }
            Condition::WithinRate => {
                let attempts = &mut self.server.volatile.attempts;
                attempts.opened.resize(10, now);
                attempts.opened_undeclared.resize(10, now);
            }
            Condition::AddressProbed => self.server.volatile.addresses.links = vec![LINK],
            Condition::AddressFree => {
                let addresses = &mut self.server.volatile.addresses;
                addresses.links = vec![LINK];
                let macs = [OTHER].into_iter().collect();
                addresses
                    .results
                    .insert(ADDRESS, ArpResult { at: now, macs });
            }
        }
    }

    fn readiness(&mut self, phase: Phase) -> Result<Ready, Blocked> {
        let id = self.id;
        self.act(|transaction| {
            let node = transaction.node_of(id);
            transaction.readiness(id, node.as_deref(), phase)
        })
    }
}

fn request() -> NetworkBoot {
    NetworkBoot {
        report: Report {
            macs: vec![MACHINE],
            ..Report::default()
        },
        ..NetworkBoot::default()
    }
}

fn text_for(condition: Condition) -> &'static str {
    match condition {
        Condition::NameFree => UNDECLARED,
        _ => DECLARED,
    }
}

/// Returns the condition that a reason belongs to.
fn condition_of(blocked: &Blocked) -> Condition {
    match blocked {
        Blocked::StateLost(_) => Condition::StateKnown,
        Blocked::Protected(_) => Condition::NotProtected,
        Blocked::Held { .. } => Condition::NotHeld,
        Blocked::NotDue => Condition::Due,
        Blocked::Expired => Condition::Recent,
        Blocked::Unbound { .. } => Condition::Bound,
        Blocked::BindingChanged => Condition::SameBinding,
        Blocked::NoSuchTask(_) => Condition::TaskExists,
        Blocked::Unrecorded(_) => Condition::Recorded,
        Blocked::Paused => Condition::NotPaused,
        Blocked::Unmet { .. } => Condition::Expected,
        Blocked::NoAddress(_) => Condition::Address,
        Blocked::NameInUse { .. } => Condition::NameFree,
        Blocked::ImageUnverified(_) => Condition::ImageVerified,
        Blocked::RateLimited { .. } => Condition::WithinRate,
        Blocked::AddressUnprobed(_) => Condition::AddressProbed,
        Blocked::AddressInUse { .. } => Condition::AddressFree,
        other => panic!("no condition returns {other:?}"),
    }
}

#[test]
fn each_condition_blocks_exactly_in_the_expected_phases() {
    for (condition, expected) in EXPECTED {
        let mut columns = expected.split(' ');
        for (phase, is_begun) in STEPS {
            let case = format!("{condition:?} in {phase:?}, begun: {is_begun}");
            let mut scene = Scene::new(text_for(condition), phase, is_begun);
            let before = scene.readiness(phase);
            assert!(before.is_ok(), "{case}: before it is broken: {before:?}");
            scene.break_condition(condition);
            let expected = columns.next().expect("one column for each step");
            match (expected, scene.readiness(phase)) {
                ("r", Ok(_)) => {}
                ("B", Err(blocked)) => {
                    let is_same = condition_of(&blocked) == condition;
                    // If the attempt's address is no longer available, its binding has changed.
                    let is_address = condition == Condition::Address
                        && blocked == Blocked::BindingChanged
                        && matches!(phase, Phase::Repeat | Phase::SameBoot | Phase::Serve);
                    assert!(is_same || is_address, "{case}: {blocked:?}");
                }
                (_, outcome) => panic!("{case}: expected {expected}: {outcome:?}"),
            }
        }
        assert_eq!(columns.next(), None, "{condition:?}");
    }
}

#[test]
fn the_table_has_each_condition_once_in_the_order_of_their_checks() {
    let rows: Vec<Condition> = TABLE.iter().map(|row| row.condition).collect();
    let expected: Vec<Condition> = EXPECTED.iter().map(|(condition, _)| *condition).collect();
    assert_eq!(rows, expected);
    assert!(rows.is_sorted());
    for row in &TABLE {
        for effect in row.effects {
            if let UntilRead(reason) | Ignored(reason) = effect {
                assert!(!reason.is_empty(), "{:?} has a reason", row.condition);
            }
        }
    }
}

#[test]
fn an_attempt_is_not_opened_if_a_condition_was_broken_while_its_files_were_rendered() {
    for (condition, expected) in EXPECTED {
        let mut scene = Scene::new(text_for(condition), Phase::Open, false);
        let Decision::Open(opening) = scene.boot() else {
            panic!("{condition:?}: the installation is not blocked");
        };
        let preparation = Preparation::New(opening.clone());
        let request = request();
        let job = scene.act(|transaction| transaction.reserve(&preparation, &request, "http://a"));
        assert!(job.is_some(), "{condition:?}");
        scene.break_condition(condition);
        let is_open = scene.act(|transaction| transaction.complete(&preparation, &request));
        // A condition of open attempts does not apply to a new one, except that its binding must still be the same.
        let counts = expected.starts_with('B') || condition == Condition::SameBinding;
        assert_eq!(is_open, !counts, "{condition:?}");
        let opened = scene.server.state.machines[scene.id].opened;
        assert_eq!(opened, u32::from(is_open), "{condition:?}");
        scene.act(|transaction| transaction.cancel(&preparation));
        assert!(!scene.act(|transaction| transaction.complete(&preparation, &request)));
    }
}

#[test]
fn a_transaction_is_continued_while_its_reservation_stands() {
    let (condition, _) = EXPECTED[0];
    let mut scene = Scene::new(text_for(condition), Phase::Open, false);
    let Decision::Open(opening) = scene.boot() else {
        panic!("the installation is not blocked");
    };
    let preparation = Preparation::New(opening);
    let reserve = |transaction: &mut Transaction<'_>| {
        let job = transaction.reserve(&preparation, &request(), "http://a");
        assert!(job.is_some());
    };
    let mut is_continued = |act: &dyn Fn(&mut Transaction<'_>)| {
        let mut transaction = Transaction::new(&scene.site, &mut scene.server, scene.now);
        act(&mut transaction);
        transaction.end().is_continued
    };
    assert!(!is_continued(&|transaction| {
        reserve(transaction);
        transaction.cancel(&preparation);
    }));
    assert!(is_continued(&reserve));
    assert!(!is_continued(&|transaction| {
        assert!(transaction.complete(&preparation, &request()));
    }));
}
