//! Undeclared machines over real sockets: they boot the microkernel, report, wait and are adopted.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use assert_cmd::Command;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
};

use crate::support::{
    client::{Client, until},
    server::{Process, Server},
    site::TestSite,
};

const LAB: &str = r#"
[defaults]
timezone = "Etc/UTC"
disk = { smallest = true, wipe = true }
ssh-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT x"]
[network.lab]
subnet = ["192.0.2.0/24", "127.0.0.0/8"]
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"
unknown = "discover"
pool = "192.0.2.50-192.0.2.59"
[tag.worker]
when = "facts.memory_mib >= 4096"
[policy.worker]
tags = "worker"
accept = "discovered"
repo = "rocky"
network = "lab"
addresses = "pool"
hostname = "worker-{{ node.serial | lower }}"
[policy.plain]
repo = "rocky"
"#;

/// A site whose undeclared machines boot the microkernel, which exists.
fn site() -> TestSite {
    let site = TestSite::new(0);
    let rocky = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/stand-ins/rocky");
    let repo = format!("[repo.rocky]\npath = {rocky:?}\ntask = \"redhat\"\n");
    site.write("policies.d/site.toml", &format!("{LAB}{repo}"));
    let microkernel = site.state().join("microkernel");
    fs::create_dir_all(&microkernel).unwrap();
    for name in ["initrd", "vmlinuz"] {
        fs::write(microkernel.join(name), name).unwrap();
    }
    site
}

/// Configures the address of the server and its state directory for the commands.
fn configure_commands(site: &TestSite, operators: &Client) {
    let (operators, state) = (operators.address(), site.state());
    let config = format!("[operator]\nlisten = \"{operators}\"\n[paths]\nstate = {state:?}\n");
    site.write("bootwright.toml", &config);
}

/// The result of a command: its exit code and its whole output.
fn run(site: &TestSite, words: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .env("NO_COLOR", "1")
        .arg("--site")
        .arg(site.path())
        .args(words)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap();
    (code, String::from_utf8(text).unwrap())
}

fn mac_with_hyphens(number: usize) -> String {
    format!("52-54-00-77-{:02x}-{:02x}", number >> 8, number & 255)
}

/// Boots a machine from the network; returns the path under which it checks in.
fn boot(machines: &mut Client, number: usize) -> String {
    let path = format!(
        "/boot?mac={}&platform=efi&boot={number:016x}",
        mac_with_hyphens(number)
    );
    let script = machines.get(&path).good();
    let url = script.split("bootwright.url=").nth(1).unwrap();
    let url = url.split_whitespace().next().unwrap();
    let (_, path) = url.split_once("/c/").unwrap();
    format!("/c/{path}")
}

fn report(number: usize, memory: u64) -> String {
    let nics = json!([{ "mac": mac_with_hyphens(number).replace('-', ":") }]);
    let facts = json!({ "memory_mib": memory, "serial": format!("S{number}"), "nics": nics });
    json!({ "version": 1, "facts": facts }).to_string()
}

/// Polls for an instruction until one is as expected.
#[track_caller]
fn eventually(machines: &mut Client, path: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    until("the instruction", || {
        let instruction = machines.get(&format!("{path}/order")).json();
        is_expected(&instruction).then_some(instruction)
    })
}

#[test]
fn a_new_kernel_and_initrd_are_used_without_a_restart() {
    let site = site();
    let kernel = site.state().join("microkernel/vmlinuz");
    fs::remove_file(&kernel).unwrap();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);
    let ask = format!(
        "/boot?mac={}&platform=efi&boot=00000000000000ff",
        mac_with_hyphens(1)
    );
    let script = server.machines.get(&ask).good();
    assert!(
        script.contains("`bootwright microkernel build`"),
        "{script}"
    );
    let (code, output) = run(&site, &["check"]);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("policies.d/site.toml:11:11"), "{output}");
    assert!(output.contains("there is none in"), "{output}");
    assert_eq!(server.machines.get("/microkernel/vmlinuz").status, 404);

    fs::write(&kernel, "kernel").unwrap();
    let path = boot(&mut server.machines, 2);
    assert_eq!(server.machines.get("/microkernel/vmlinuz").good(), "kernel");
    let instruction = server.machines.get(&format!("{path}/order")).json();
    assert_eq!(instruction["do"], "wait");
    let (code, output) = run(&site, &["check"]);
    assert_eq!(
        (code, output.contains("there is none in")),
        (0, false),
        "{output}"
    );
    server.stop();
}

#[test]
fn a_waiting_machine_that_is_adopted_continues_without_a_reset() {
    let site = site();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);
    let path = boot(&mut server.machines, 1);
    let instruction = server
        .machines
        .post(&format!("{path}/report"), &report(1, 1024))
        .json();
    assert_eq!(
        (&instruction["do"], &instruction["node"]),
        (&"wait".into(), &mac_with_hyphens(1).into())
    );

    let (code, output) = run(&site, &["nodes", "--unclaimed", "--json"]);
    let unclaimed: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (code, unclaimed[0]["name"].as_str()),
        (0, Some(mac_with_hyphens(1).as_str()))
    );

    let (_, output) = run(&site, &["nodes"]);
    assert!(
        output.contains("microkernel; 0 tags; `explain` or `adopt` it"),
        "{output}"
    );

    let (code, output) = run(&site, &["adopt", &mac_with_hyphens(1), "--name", "web1"]);
    assert_eq!(code, 0, "{output}");
    assert!(
        output.contains("it is never installed (`installs = 0`)"),
        "{output}"
    );
    let file = site.path().join("policies.d/nodes/web1.toml");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with("installs = 0\n"), "{written}");
    assert_eq!(run(&site, &["check"]).0, 0);
    eventually(&mut server.machines, &path, |instruction| {
        instruction["node"] == "web1"
    });
    assert_eq!(run(&site, &["nodes", "--unclaimed", "--json"]).1, "[]\n");

    // A restart of the server does not affect it.
    server.stop();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);

    // After one edit it continues.
    let due = written.replace(
        "installs = 0",
        "installs = 1\npolicy = \"plain\"\naddress = \"192.0.2.9\"",
    );
    site.write("policies.d/nodes/web1.toml", &due);
    let instruction = eventually(&mut server.machines, &path, |instruction| {
        instruction["do"] == "reboot"
    });
    assert_eq!(instruction["reason"], "policy plain takes it");
    let script = server
        .machines
        .get(&format!(
            "/boot?mac={}&platform=efi&boot=00000000000000ff",
            mac_with_hyphens(1)
        ))
        .good();
    assert!(script.contains("inst.ks="), "{script}");
    let (_, log) = run(&site, &["nodes", "web1", "log"]);
    for kind in [
        "seen ",
        "facts ",
        "microkernel",
        "declared as web1",
        "attempt 1",
    ] {
        assert!(log.contains(kind), "{kind}: {log}");
    }
    server.stop();
}

#[test]
fn an_adopted_declaration_is_valid_or_is_not_written() {
    let site = site();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);
    for number in 1..=3 {
        let path = boot(&mut server.machines, number);
        server
            .machines
            .post(&format!("{path}/report"), &report(number, 1024))
            .good();
    }
    let adopt = |words: &[&str]| run(&site, &[&["adopt"], words].concat());
    let files = || fs::read_dir(site.path().join("policies.d/nodes")).map_or(0, Iterator::count);
    let one = mac_with_hyphens(1);
    for (words, expected) in [
        (vec!["nobody"], "there is no node `nobody`"),
        (vec![&one, "--policy", "wroker"], "did you mean `worker`?"),
        (vec![&one, "--name", "../etc/x"], "is not a name"),
        (vec![&one, "--name", ".hidden"], "is not a name"),
    ] {
        let (code, output) = adopt(&words);
        assert_eq!(code, 1, "{words:?}: {output}");
        assert!(output.contains(expected), "{words:?}: {output}");
    }
    assert_eq!(files(), 0);

    // The policy derives names from reported values: this machine gets the operator's name.
    let (code, output) = adopt(&[
        &one, "--policy", "worker", "--name", "w1", "--format", "kdl",
    ]);
    assert_eq!(code, 0, "{output}");
    let written = fs::read_to_string(site.path().join("policies.d/nodes/w1.kdl")).unwrap();
    assert!(written.contains("policy \"worker\"\n"), "{written}");
    assert!(
        written.contains("hostname \"w1\"\n") && !written.contains("installs"),
        "{written}"
    );
    assert_eq!(run(&site, &["check"]).0, 0);

    until("the server refuses to adopt it again", || {
        let (code, output) = adopt(&[&one]);
        assert_eq!(code, 1, "{output}");
        let declared = "w1 is already declared: policies.d/nodes/w1.kdl:";
        output.contains(declared).then_some(())
    });
    let (code, output) = adopt(&[&mac_with_hyphens(2), "--name", "w1"]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("the name w1 is in use"), "{output}");

    // An existing file of that name is never overwritten, whatever its contents.
    site.write("policies.d/nodes/w2.toml", "# mine\n");
    let (code, output) = adopt(&[&mac_with_hyphens(2), "--name", "w2"]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("nothing is overwritten"), "{output}");
    let kept = fs::read_to_string(site.path().join("policies.d/nodes/w2.toml")).unwrap();
    assert_eq!(kept, "# mine\n");

    site.write("policies.d/broken.toml", "[node.x\n");
    let (code, output) = adopt(&[&mac_with_hyphens(3), "--name", "w3"]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("the site has errors"), "{output}");
    assert!(!site.path().join("policies.d/nodes/w3.toml").exists());
    server.stop();
}

#[test]
fn an_installed_machine_is_adopted_and_not_installed_again() {
    let site = site();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);
    let path = boot(&mut server.machines, 1);
    let instruction = server
        .machines
        .post(&format!("{path}/report"), &report(1, 8192))
        .json();
    assert_eq!(instruction["do"], "reboot");
    assert_eq!(
        run(&site, &["mark", &mac_with_hyphens(1), "installed"]).0,
        0
    );

    // Without a server, the journal contains the same.
    server.stop();
    let (code, output) = run(&site, &["adopt", &mac_with_hyphens(1)]);
    assert_eq!(code, 0, "{output}");
    let written = fs::read_to_string(site.path().join("policies.d/nodes/worker-s1.toml")).unwrap();
    for line in [
        "policy = \"worker\"\n",
        "network = \"lab\"\n",
        "address = \"192.0.2.50\"\n",
        "hostname = \"worker-s1.lab.example\"\n",
        "installs = 1\n",
    ] {
        assert!(written.contains(line), "{written}");
    }
    let mut server = Server::start(&site);
    let ask = format!(
        "/boot?mac={}&platform=efi&boot=00000000000000ff",
        mac_with_hyphens(1)
    );
    let script = server.machines.get(&ask).good();
    assert!(!script.contains("inst.ks="), "{script}");
    server.stop();
}

/// The result of one agent's report.
async fn check_in(address: std::net::SocketAddr, request: String, start: &Barrier) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    start.wait().await;
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"do\":\"wait\""), "{answer}");
    begun.elapsed()
}

#[test]
fn a_thousand_simultaneous_check_ins_are_answered() {
    // As many machines as can become known at once. Each of them reports and polls.
    const MACHINES: usize = 500;
    const AGENTS: usize = 2 * MACHINES;
    let site = site();
    let mut server = Process::start(&site);
    let address = server.machines.address();
    let requests: Vec<String> = (0..MACHINES)
        .flat_map(|number| {
            let path = boot(&mut server.machines, number);
            let body = report(number, 1024);
            let report = format!(
                "POST {path}/report HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let poll = format!(
                "GET {path}/order HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            );
            [report, poll]
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let slowest = runtime.block_on(async {
        let start = std::sync::Arc::new(Barrier::new(AGENTS));
        let agents: Vec<_> = requests
            .into_iter()
            .map(|request| {
                let start = start.clone();
                tokio::spawn(async move { check_in(address, request, &start).await })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        for agent in agents {
            slowest = slowest.max(agent.await.unwrap());
        }
        slowest
    });
    let resident = server.peak_memory_kib();
    println!(
        "{AGENTS} agents: the slowest answer took {slowest:?}; {resident} KiB were resident at most"
    );
    assert!(resident < 64 << 10, "{resident} KiB");
    // The goal is 1 s. A busy machine, and a program without optimizations, may take longer.
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    server.end();
}

#[test]
fn invalid_reports_are_refused_and_leave_no_trace() {
    let site = site();
    let mut server = Server::start(&site);
    configure_commands(&site, &server.operators);
    let path = boot(&mut server.machines, 1);
    let report_path = format!("{path}/report");
    let dead = "/c/00000000000000000000000000000000/report";
    let disks = vec![json!({ "path": "/dev/sda" }); 10_000];
    let many = json!({ "version": 1, "facts": { "disks": disks, "product": "{{ secret('x') }}" } });
    for (path, body, status) in [
        (&*report_path, "[]", 400),
        (&*report_path, "{\"version\":1}", 400),
        (
            &*report_path,
            "{\"version\":1,\"facts\":{\"memory_mib\":1e400}}",
            400,
        ),
        (dead, "{\"version\":1,\"facts\":{}}", 404),
        (&*report_path, &many.to_string(), 200),
    ] {
        let answer = server.machines.post(path, body);
        assert_eq!(
            answer.status, status,
            "{path} {:.80}: {}",
            body, answer.body
        );
    }
    let (_, facts) = run(&site, &["nodes", &mac_with_hyphens(1), "facts"]);
    assert!(facts.contains("{{ secret('x') }}"), "{facts}");
    assert_eq!(facts.matches("/dev/sda").count(), 256, "{facts}");
    let (_, log) = run(&site, &["nodes", &mac_with_hyphens(1), "log"]);
    let dropped = "dropped: fact `disks` has more than 256 entries: the first count";
    assert!(log.contains(dropped), "{log}");

    // A report per millisecond does not fill the journal.
    let size = || fs::metadata(site.segment()).unwrap().len();
    let before = size();
    let refused = (0..300).filter(|number| {
        let answer = server
            .machines
            .post(&report_path, &report(1, 2_000 + number));
        answer.status == 429
    });
    let refused = refused.count();
    assert!(refused > 250, "{refused}");
    assert!(size() - before < 20_000, "{}", size() - before);
    server.stop();
}
