//! Which events hooks and brokers receive. A machine's log has a delivery when it is recorded.

use crate::support::story::replay;

const LAB: &str = r#"
[network.lab]
subnet = "192.0.2.0/24"
unknown = "discover"
pool = "192.0.2.50-192.0.2.59"

[tag.large]
when = "facts.memory_mib >= 65536"

[policy.large]
tags = "large"
accept = "discovered"
task = "esxi"
addresses = "pool"

[node.web]
mac = "52:54:00:00:00:09"
address = "192.0.2.9"
task = "debian"
"#;

const ALL: &str = r#"
[hook.all]
on = ["discovered", "bound", "installing", "installed", "finished", "failed", "held"]
run = "notify"
"#;

fn with(more: &str) -> String {
    format!("{LAB}{more}")
}

#[test]
fn a_hook_receives_each_event_once() {
    replay(
        &[("all", &with(ALL))],
        r#"
        boot c1 on=lab => microkernel %1
        report %1 {"memory_mib": 131072, "serial": "S1"} => 52-54-00-00-00-01 reboots: policy large takes it
        boot c1 on=lab => #1: esxi by policy large at 192.0.2.50
        read #1 ks.cfg
        callback #1 installing
        callback #1 installed
        callback #1 installed
        callback #1 finished
        log 52-54-00-00-00-01
        | seen mac 52:54:00:00:00:01
        | facts firmware efi
        | remark tag `large` is unknown: fact `memory_mib` is not known
        | boot ipxe efi: microkernel
        | hook all is to receive `discovered`
        | seen serial s1
        | facts serial S1, memory_mib 131072
        | bound by policy large, address 192.0.2.50 from the pool
        | hook all is to receive `bound`
        | attempt 1 opened: task esxi, revision a4035fc
        | boot ipxe efi: installer (attempt 1)
        | document ks.cfg asked for
        | document ks.cfg (1.0 kB)
        | hook all is to receive `installing`
        | installing reported by the machine
        | installed reported by the machine
        | hook all is to receive `installed`
        | finished reported by the machine
        | hook all is to receive `finished`
        "#,
    );
}

#[test]
fn a_declared_machine_sends_no_discovered_event() {
    replay(
        &[("all", &with(ALL))],
        r#"
        boot c9 on=lab => #1: debian
        callback #1 installing
        read #1 preseed.cfg
        callback #1 failed no_disk
        hold web => web is held until `bootwright release web`
        log web
        | seen mac 52:54:00:00:00:09
        | node declared as web
        | facts firmware efi
        | remark tag `large` is unknown: fact `memory_mib` is not known
        | bound by its own declaration
        | attempt 1 opened: task debian, revision a4035fc
        | boot ipxe efi: installer (attempt 1)
        | hook all is to receive `bound`
        | installing reported by the machine
        | hook all is to receive `installing`
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | failed reported by the machine: no_disk
        | hook all is to receive `failed`
        | held by an operator: being repaired
        | hook all is to receive `held`
        "#,
    );
}

#[test]
fn a_hook_receives_its_events_in_order_and_again_after_a_failure() {
    let some = "[hook.ends]\non = \"finished\"\nrun = \"notify\"\n[hook.begins]\non = \"bound\"\nrun = \"notify\"\n";
    replay(
        &[("some", &with(some)), ("none", LAB)],
        r#"
        boot c9 on=lab => #1: debian
        read #1 preseed.cfg
        callback #1 installed
        callback #1 finished
        due
        | 1 hook begins: web bound
        | 2 hook ends: web finished
        undelivered 1 exit_code_1
        delivered 2
        due
        | 1 hook begins: web bound
        restart
        due
        | 1 hook begins: web bound
        edit none
        hook 1 => none
        due
        log web
        | seen mac 52:54:00:00:00:09
        | node declared as web
        | facts firmware efi
        | remark tag `large` is unknown: fact `memory_mib` is not known
        | bound by its own declaration
        | attempt 1 opened: task debian, revision 9a64212
        | boot ipxe efi: installer (attempt 1)
        | hook begins is to receive `bound`
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | installed reported by the machine
        | finished reported by the machine
        | hook ends is to receive `finished`
        | hook begins: exit code 1; try 1, it is retried
        | hook ends has received `finished`
        | hook begins does not receive `bound`: hook begins no longer exists, or has no program
        "#,
    );
}

#[test]
fn a_broker_program_hands_a_machine_over_and_that_is_recorded() {
    let broker = "[broker.cmdb]\nkind = \"program\"\nrun = [\"hand-over\", \"--to\", \"cmdb\"]\nsite = \"west\"\n[defaults]\nbroker = \"cmdb\"\n";
    replay(
        &[("broker", &with(broker))],
        r#"
        boot c9 on=lab => #1: debian
        read #1 preseed.cfg
        callback #1 installed
        callback #1 finished
        due
        | 1 broker cmdb: web finished
        hook 1 => hand-over --to cmdb reads broker "cmdb", event "finished", node "web", settings {"site":"west"}
        delivered 1
        due
        nodes => web finished
        log web
        | seen mac 52:54:00:00:00:09
        | node declared as web
        | facts firmware efi
        | remark tag `large` is unknown: fact `memory_mib` is not known
        | bound by its own declaration
        | attempt 1 opened: task debian, revision d266055
        | boot ipxe efi: installer (attempt 1)
        | document preseed.cfg asked for
        | document preseed.cfg (1.0 kB)
        | installed reported by the machine
        | finished reported by the machine
        | broker cmdb is to receive `finished`
        | broker cmdb has received `finished`
        | stage handed-over: inferred
        "#,
    );
}
