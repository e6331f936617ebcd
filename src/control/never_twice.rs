//! Never wiped twice, by exhaustion.
//!
//! One physical machine lives through every sequence of events up to a depth. The test knows what the
//! machine itself knows: when its disk was wiped, and what it said of it and was not lost on the way. It
//! judges every installer that is handed out by that alone, never by what the server believes. Worlds that
//! can no longer be told apart are followed once.

mod life;
mod machine;
mod steps;

use std::collections::BTreeSet;

use life::Life;
use steps::Stage0;

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
    /// Whatever answers for an address is taken to be the machine itself.
    AnyCardIsOwn,
}

/// Whether the machine's address lies on a link of ours, where somebody else may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    NotLocal,
    OnLink,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Boot,
    BootSoon,
    BootWithBoth,
    Document,
    DocumentAtCrash,
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
    DeclaredNew,
    Reinstall,
    InstallsRaised,
    InstallsLowered,
    Hold,
    Release,
    Forget,
    PausedOrResumed,
    AddressTakenOrFree,
}

/// Each with what the machine does, or what happens to it.
const STEPS: [(Step, &str); 33] = [
    (Step::Boot, "boots from the network"),
    (Step::BootSoon, "boots from the network two minutes later"),
    (
        Step::BootWithBoth,
        "boots from the network and reports both cards",
    ),
    (Step::Document, "reads its document to the end"),
    (
        Step::DocumentAtCrash,
        "reads its document while the server crashes",
    ),
    (Step::InstallingHeard, "says `installing`"),
    (Step::InstalledHeard, "says `installed`"),
    (Step::InstalledLost, "is installed, and nobody hears it"),
    (Step::FinishedHeard, "says `finished`"),
    (Step::FailedHeard, "says `failed`"),
    (Step::LateInstalledHeard, "says `installed` from its disk"),
    (Step::NoDiskHeard, "says `no-disk`"),
    (Step::Deadline, "is waited for for two hours"),
    (Step::Restart, "sees the server restart"),
    (Step::Reload, "sees its site loaded again"),
    (Step::Rename, "is renamed"),
    (Step::CardReplaced, "gets another card"),
    (Step::CardDeclared, "has its other card declared"),
    (Step::DeletedOrAdded, "is declared no longer, or again"),
    (Step::BindingChanged, "is bound otherwise"),
    (Step::ClockForward, "sees the clock jump forward"),
    (Step::ClockBack, "sees the clock jump back"),
    (Step::StateLost, "is forgotten by a lost state"),
    (
        Step::DeclaredInstalled,
        "is declared installed with the whole new state",
    ),
    (
        Step::DeclaredNew,
        "is declared new with the whole new state",
    ),
    (Step::Reinstall, "is to be installed once more"),
    (Step::InstallsRaised, "has its `installs` raised"),
    (Step::InstallsLowered, "has its `installs` lowered"),
    (Step::Hold, "is held"),
    (Step::Release, "is released"),
    (Step::Forget, "is forgotten by its operator"),
    (
        Step::PausedOrResumed,
        "sees every hand-out stopped, or resumed",
    ),
    (
        Step::AddressTakenOrFree,
        "sees somebody else come to its address, or go",
    ),
];

/// What came of an enumeration.
struct Enumeration {
    lives: usize,
    handed_out: usize,
    /// The shortest there is, since lives are followed side by side.
    story: Option<String>,
}

fn enumerate(fault: Fault, ground: Ground, depth: usize) -> Enumeration {
    let stage = Stage0::new(fault, ground);
    let mut outcome = Enumeration {
        lives: 0,
        handed_out: 0,
        story: None,
    };
    let mut seen = BTreeSet::new();
    let mut front: Vec<(Life, Vec<&str>)> = vec![(stage.begin(), Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (life, story) in &front {
            for (step, words) in STEPS {
                let Some(result) = stage.step(life, step) else {
                    continue;
                };
                let story = || story.iter().copied().chain([words]).collect::<Vec<_>>();
                match result {
                    Err(why) => {
                        outcome.story = Some(format!("{}: {why}", story().join(", ")));
                        return outcome;
                    }
                    Ok(life) => {
                        let handed_out = life.machine.runs.is_some_and(|run| !run.read);
                        outcome.handed_out += usize::from(handed_out);
                        if seen.insert(life.key()) {
                            next.push((life, story()));
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

/// How deep the enumeration goes: as deep as a minute allows. One step more takes a minute and a half.
const DEPTH: usize = 6;

#[test]
fn no_sequence_of_events_wipes_a_machine_twice() {
    let outcome = enumerate(Fault::None, Ground::NotLocal, DEPTH);
    assert_eq!(outcome.story, None);
    // An enumeration that never hands anything out proves nothing.
    let (lives, handed_out) = (outcome.lives, outcome.handed_out);
    assert!(lives > 10_000 && handed_out > 1_000, "{lives} {handed_out}");
    eprintln!("{lives} lives, {handed_out} installers handed out");
}

#[test]
fn nor_does_one_in_which_somebody_else_has_its_address() {
    let outcome = enumerate(Fault::None, Ground::OnLink, DEPTH - 1);
    assert_eq!(outcome.story, None);
    let (lives, handed_out) = (outcome.lives, outcome.handed_out);
    assert!(lives > 10_000 && handed_out > 1_000, "{lives} {handed_out}");
    eprintln!("{lives} lives, {handed_out} installers handed out");
}

#[test]
fn planted_faults_are_found_with_a_short_story() {
    for (fault, ground) in [
        (Fault::TokenDiesAtDeadline, Ground::NotLocal),
        (Fault::HistoryByName, Ground::NotLocal),
        (Fault::RetryAtAnyBoot, Ground::NotLocal),
        (Fault::AnyCardIsOwn, Ground::OnLink),
    ] {
        let story = enumerate(fault, ground, DEPTH).story;
        let story = story.unwrap_or_else(|| panic!("{fault:?} is not found"));
        eprintln!("{fault:?}: it {story}");
    }
}
