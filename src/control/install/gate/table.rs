//! The table of conditions of an installation: in which phase each applies, or why it does not.

/// The phase of an installation in which it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A new attempt is to be opened by a network boot.
    Open,
    /// Another network boot repeats the installer of an open attempt. The machine has read nothing of the attempt yet.
    Repeat,
    /// A further request of the same network boot repeats its answer.
    SameBoot,
    /// A document of an open attempt is requested.
    Serve,
    /// The machine runs the microkernel and may be bound and rebooted into its installation.
    CheckIn,
}

/// What has to be true before a machine is installed, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// The state directory contains what was installed before.
    StateKnown,
    /// Its `installs` is not 0, and its declaration still exists.
    NotProtected,
    /// Nothing holds it.
    NotHeld,
    /// An installation is due.
    Due,
    /// Its attempt is at most 24 hours old.
    Recent,
    /// A declaration or a policy binds it.
    Bound,
    /// It would get what its attempt was opened for.
    SameBinding,
    /// The site has the task.
    TaskExists,
    /// Something is recorded of it, or the state cannot be older than the machines.
    Recorded,
    /// The operator has not paused installations.
    NotPaused,
    /// Its `expect` holds.
    Expected,
    /// It has a pool address, if it needs one.
    Address,
    /// No other machine has its host name.
    NameFree,
    /// The image of its repo is verified.
    ImageVerified,
    /// `installs-per-hour` permits another installation.
    WithinRate,
    /// Its addresses were probed.
    AddressProbed,
    /// No other host uses its addresses.
    AddressFree,
}

/// Whether a condition applies in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Counts,
    /// It applies until the machine has read something of the attempt, for this reason.
    UntilRead(&'static str),
    /// It does not apply, for this reason.
    Ignored(&'static str),
}

/// One condition in every phase.
pub(crate) struct Row {
    pub(crate) condition: Condition,
    /// Its effects in the order of [`Phase`].
    pub(crate) effects: [Effect; 5],
}

use Effect::{Counts, Ignored, UntilRead};

const NO_ATTEMPT: Effect = Ignored("no attempt is open yet");
const ON_RECORD: Effect = Ignored("its attempt is recorded");
const BEGUN: Effect = UntilRead(
    "it is a condition for the beginning: an installer that has read a document may have wiped the disk and has to finish",
);
const PAUSE: Effect = Ignored(
    "a pause stops new installers; a machine that has its installer can read its documents",
);
const COUNTED: Effect = Ignored("its attempt was counted when it was opened");
const PROBED: Effect = Ignored("its addresses were probed when its boot was first answered");
const PROBED_LATER: Effect = Ignored("its addresses are probed at the network boot that follows");

/// The effect of each condition. Columns: open, repeat, same boot, serve, check-in.
#[rustfmt::skip]
pub(crate) const TABLE: [Row; 17] = [
    row(Condition::StateKnown,    [Counts,     Counts,  Counts,  Counts,  Counts]),
    row(Condition::NotProtected,  [Counts,     Counts,  Counts,  Counts,  Counts]),
    row(Condition::NotHeld,       [Counts,     Counts,  Counts,  Counts,  Counts]),
    row(Condition::Due,           [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::Recent,        [NO_ATTEMPT, Counts,  Counts,  Counts,  NO_ATTEMPT]),
    row(Condition::Bound,         [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::SameBinding,   [NO_ATTEMPT, Counts,  Counts,  BEGUN,   NO_ATTEMPT]),
    row(Condition::TaskExists,    [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::Recorded,      [Counts,     ON_RECORD, ON_RECORD, ON_RECORD, Counts]),
    row(Condition::NotPaused,     [Counts,     Counts,  Counts,  PAUSE,   Counts]),
    row(Condition::Expected,      [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::Address,       [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::NameFree,      [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::ImageVerified, [Counts,     Counts,  Counts,  BEGUN,   Counts]),
    row(Condition::WithinRate,    [Counts,     COUNTED, COUNTED, COUNTED, Counts]),
    row(Condition::AddressProbed, [Counts,     Counts,  PROBED,  PROBED,  PROBED_LATER]),
    row(Condition::AddressFree,   [Counts,     Counts,  Counts,  BEGUN,   Counts]),
];

const fn row(condition: Condition, effects: [Effect; 5]) -> Row {
    Row { condition, effects }
}
