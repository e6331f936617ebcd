//! Journals of later releases.

use bootwright::{
    journal::{JournalLine, JournalState},
    model::Timestamp,
};

use crate::support::story::Lab;

const A: &str = "[node.a]\nmac = \"52:54:00:00:00:01\"\ntask = \"esxi\"\n";

#[test]
fn events_of_a_later_release_are_skipped_and_critical_ones_hold() {
    let mut lab = Lab::new(&[("a", A)]);
    assert_eq!(lab.step("boot c1").0, "#1: esxi");
    let id = lab.machine("a").unwrap();
    let line = |more: &str| {
        let text = format!(
            r#"{{"at":"{}","machine":"{id}","event":"teleported","to":"mars"{more}}}"#,
            Timestamp(1_795_348_900_000)
        );
        JournalLine::parse(&text).unwrap()
    };
    let before = lab.server.state.clone();
    lab.server.state.take(&line(""));
    assert_eq!(lab.server.state, before);
    lab.server.state.take(&line(r#","critical":true"#));
    assert_eq!(
        lab.step("status a").0,
        "held: its journal has `teleported`, which this release does not know: use the newer one; 0 of 1"
    );
    let checkpoint = serde_json::to_string(&lab.server.state).unwrap();
    assert_eq!(
        serde_json::from_str::<JournalState>(&checkpoint).unwrap(),
        lab.server.state
    );
}
