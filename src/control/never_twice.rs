//! Proves by exhaustive exploration that no machine is wiped twice.
//!
//! One simulated machine goes through every sequence of events up to a depth. The test tracks what is true of the
//! machine: when its disk was wiped, and which of its reports reached the server. It judges every served installer
//! by that only, never by the server's state. Equivalent states are explored once. In each of them a hostile host tries to
//! change the machine.

mod hostile;
mod life;
mod machine;
mod old_copy;
mod steps;

use std::collections::BTreeSet;

use life::Life;
use steps::Simulation;

/// A fault to inject. The exploration must find each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A callback after its deadline is ignored.
    TokenExpiresAtDeadline,
    /// A history is found only by its node's name.
    HistoryByName,
    /// A machine that boots during its installation is installed again.
    RetryAtAnyBoot,
    /// Every answer to an ARP probe is treated as the machine's own.
    AnyMacIsOwn,
    /// Requests of a hostile host are treated as confirmed.
    EverySenderIsTrusted,
}

/// Whether the machine's address is on a link of this host, where another host may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SimulatedLink {
    NotLocal,
    OnLink,
}

/// An event of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Boot,
    BootSoon,
    BootWithBoth,
    Document,
    DocumentAtCrash,
    InstallingReported,
    InstalledReported,
    InstalledLost,
    FinishedReported,
    FailedReported,
    LateInstalledReported,
    NoDiskReported,
    Deadline,
    Restart,
    Reload,
    Rename,
    NicReplaced,
    NicDeclared,
    DeletedOrAdded,
    BindingChanged,
    ClockForward,
    ClockBack,
    StateLost,
    DeclaredInstalled,
    DeclaredNew,
    Reinstall,
    InstallsRaised,
    InstallsLowered,
    Hold,
    Release,
    Forget,
    PausedOrResumed,
    AddressUsedOrFree,
}

/// Each with its description in a story.
const STEPS: [(Step, &str); 33] = [
    (Step::Boot, "boots from the network"),
    (Step::BootSoon, "boots from the network two minutes later"),
    (
        Step::BootWithBoth,
        "boots from the network and reports both NICs",
    ),
    (Step::Document, "reads its document to the end"),
    (
        Step::DocumentAtCrash,
        "reads its document while the server crashes",
    ),
    (Step::InstallingReported, "reports `installing`"),
    (Step::InstalledReported, "reports `installed`"),
    (Step::InstalledLost, "is installed, and its report is lost"),
    (Step::FinishedReported, "reports `finished`"),
    (Step::FailedReported, "reports `failed`"),
    (
        Step::LateInstalledReported,
        "reports `installed` from its disk",
    ),
    (Step::NoDiskReported, "reports `no-disk`"),
    (Step::Deadline, "is idle for two hours"),
    (Step::Restart, "runs while the server restarts"),
    (Step::Reload, "runs while the site is reloaded"),
    (Step::Rename, "is renamed"),
    (Step::NicReplaced, "gets another NIC"),
    (Step::NicDeclared, "has its other NIC declared"),
    (
        Step::DeletedOrAdded,
        "is deleted from the site, or declared again",
    ),
    (Step::BindingChanged, "is bound to another task"),
    (
        Step::ClockForward,
        "runs while the server's clock jumps forward",
    ),
    (Step::ClockBack, "runs while the server's clock jumps back"),
    (
        Step::StateLost,
        "loses its history with the state directory",
    ),
    (
        Step::DeclaredInstalled,
        "is declared installed with the whole new state",
    ),
    (
        Step::DeclaredNew,
        "is declared new with the whole new state",
    ),
    (Step::Reinstall, "gets the command `reinstall`"),
    (Step::InstallsRaised, "has its `installs` raised"),
    (Step::InstallsLowered, "has its `installs` lowered"),
    (Step::Hold, "is held"),
    (Step::Release, "is released"),
    (Step::Forget, "gets the command `forget`"),
    (
        Step::PausedOrResumed,
        "runs while the server is paused, or resumed",
    ),
    (
        Step::AddressUsedOrFree,
        "shares its address with another host, or no longer",
    ),
];

/// The result of an exploration.
struct Exploration {
    lives: usize,
    served: usize,
    /// The sequence of events that led to a violation. It is a shortest one, because the exploration is
    /// breadth-first.
    story: Option<String>,
}

fn explore(fault: Fault, link: SimulatedLink, depth: usize) -> Exploration {
    let simulation = Simulation::new(fault, link);
    let mut outcome = Exploration {
        lives: 0,
        served: 0,
        story: None,
    };
    let mut explored = BTreeSet::new();
    let mut frontier: Vec<(Life, Vec<&str>)> = vec![(simulation.begin(), Vec::new())];
    for step in 1..=depth {
        let mut next = Vec::new();
        for (life, story) in &frontier {
            for (event, text) in STEPS {
                let Some(result) = simulation.step(life, event) else {
                    continue;
                };
                let story = || story.iter().copied().chain([text]).collect::<Vec<_>>();
                match result {
                    Err(violation) => {
                        outcome.story = Some(format!("{}: {violation}", story().join(", ")));
                        return outcome;
                    }
                    Ok(life) => {
                        let served = life.machine.runs.is_some_and(|run| !run.read);
                        outcome.served += usize::from(served);
                        if explored.insert(life.key()) {
                            // The last step only checks what the machine itself gets.
                            if step < depth
                                && let Err(violation) = simulation.attacked(&life)
                            {
                                let story = story().join(", ");
                                outcome.story = Some(format!("{story}; {violation}"));
                                return outcome;
                            }
                            next.push((life, story()));
                        }
                    }
                }
            }
        }
        outcome.lives += next.len();
        frontier = next;
    }
    outcome
}

/// The depth of the exploration: about a minute. One step more takes another minute and a half.
const DEPTH: usize = 6;

#[test]
fn no_sequence_of_events_wipes_a_machine_twice() {
    let outcome = explore(Fault::None, SimulatedLink::NotLocal, DEPTH);
    assert_eq!(outcome.story, None);
    // An exploration in which no installer is served proves nothing.
    let (lives, served) = (outcome.lives, outcome.served);
    assert!(lives > 10_000 && served > 1_000, "{lives} {served}");
    eprintln!("{lives} lives, {served} installers served");
}

#[test]
fn no_sequence_with_an_address_conflict_wipes_a_machine_twice() {
    let outcome = explore(Fault::None, SimulatedLink::OnLink, DEPTH - 1);
    assert_eq!(outcome.story, None);
    let (lives, served) = (outcome.lives, outcome.served);
    assert!(lives > 10_000 && served > 1_000, "{lives} {served}");
    eprintln!("{lives} lives, {served} installers served");
}

#[test]
fn injected_faults_are_found_with_a_short_story() {
    for (fault, link) in [
        (Fault::TokenExpiresAtDeadline, SimulatedLink::NotLocal),
        (Fault::HistoryByName, SimulatedLink::NotLocal),
        (Fault::RetryAtAnyBoot, SimulatedLink::NotLocal),
        (Fault::AnyMacIsOwn, SimulatedLink::OnLink),
        (Fault::EverySenderIsTrusted, SimulatedLink::NotLocal),
    ] {
        let story = explore(fault, link, DEPTH).story;
        let story = story.unwrap_or_else(|| panic!("{fault:?} is not found"));
        eprintln!("{fault:?}: it {story}");
    }
}
