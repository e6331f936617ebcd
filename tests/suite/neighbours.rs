//! A machine that says it is another one: who asks is told by the card, on a link of two network namespaces.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::support::server::{Client, House, Server, boot_path, log, name, node, until};

/// Says to this very program, started again in a network namespace of its own, to be the server's side.
const LINK: &str = "BOOTWRIGHT_TEST_LINK";

/// Says to it, started again on the machine's side, whom to ask and for which node.
const ASK: &str = "BOOTWRIGHT_TEST_ASK";

/// What the server's side says at its end.
const CHECKED: &str =
    "strict, log and off: a card of the node's own and another one's were told apart";

const SERVER: &str = "198.51.100.1";

#[test]
fn an_installer_goes_to_the_card_that_the_node_declares() {
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var_os("CI").is_none(),
            "network namespaces need root"
        );
        println!("network namespaces need root: nothing was checked");
        return;
    }
    let ended = Command::new("timeout")
        .args(["60", "unshare", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["neighbours::child_on_a_link", "--exact", "--nocapture"])
        .env(LINK, "1")
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success(), "{said}");
    assert!(said.contains(CHECKED), "{said}");
    println!("{CHECKED}");
}

/// The test itself, where no other network is. Started otherwise it does nothing.
#[test]
fn child_on_a_link() {
    if std::env::var_os(LINK).is_none() {
        return;
    }
    let far = Far::with_card("52:54:00:00:00:01");
    let start = |mode: &str| {
        let house = House::new(2);
        let config = format!("[http]\nconfirm-neighbour = \"{mode}\"\n");
        house.write("bootwright.toml", &config);
        let listen = SocketAddr::new(SERVER.parse().unwrap(), 0);
        let server = Server::listening(&house, listen);
        (house, server)
    };
    let (_house, mut server) = start("strict");
    let (address, operators) = (server.machines.address(), &mut server.operators);
    // Its own name, another one's, and both.
    let refused =
        "not confirmed: 198.51.100.2 is at 52:54:00:00:00:01, which is no card of this machine";
    let script = far.ask(address, &boot_path(2));
    assert!(
        !script.contains("/t/") && script.contains(refused),
        "{script}"
    );
    let both = format!("{}&mac=52-54-00-00-00-01", boot_path(2));
    assert!(!far.ask(address, &both).contains("/t/"));
    assert!(
        far.ask(address, &boot_path(1))
            .contains("installing n01.lab.example")
    );
    // Without a number it could be the same boot as one that was confirmed.
    let anonymous = boot_path(1).replace("&boot=", "&nothing=");
    assert!(
        far.ask(address, &anonymous)
            .contains("installing n01.lab.example")
    );
    until("the refusal is in the log", || {
        let log = log(operators, 2);
        log.iter()
            .any(|line| line.to_string().contains(refused))
            .then_some(())
    });
    // What was refused has changed nothing.
    let states = [1, 2].map(|number| node(operators, number)["state"].take());
    assert_eq!(states, ["bound", "bound"].map(Value::from));
    // Whoever asks from the host itself is not compared.
    assert!(
        server
            .machines
            .boot(2)
            .contains("installing n02.lab.example")
    );
    assert!(!far.ask(address, &boot_path(2)).contains("/t/"));
    server.stop();

    let (_house, mut server) = start("log");
    let address = server.machines.address();
    for _ in 0..2 {
        let script = far.ask(address, &boot_path(2));
        assert!(script.contains("installing n02.lab.example"), "{script}");
    }
    assert!(
        far.ask(address, &boot_path(1))
            .contains("installing n01.lab.example")
    );
    let remarks = |log: &[Value]| log.iter().filter(|line| line["event"] == "remark").count();
    until("the mismatch is remarked", || {
        (remarks(&log(&mut server.operators, 2)) > 0).then_some(())
    });
    let counts = [1, 2].map(|number| remarks(&log(&mut server.operators, number)));
    assert_eq!(counts, [0, 1]);
    server.stop();

    let (_house, mut server) = start("off");
    let script = far.ask(server.machines.address(), &boot_path(2));
    assert!(script.contains("installing n02.lab.example"), "{script}");
    assert_eq!(remarks(&log(&mut server.operators, 2)), 0, "{}", name(2));
    server.stop();
    println!("{CHECKED}");
}

/// The other end of the link, in a namespace that lives as long as this.
struct Far {
    keeper: Child,
}

impl Far {
    /// Lays a cable between this namespace and a new one.
    fn with_card(card: &str) -> Far {
        let keeper = Command::new("unshare")
            .args(["--net", "sleep", "60"])
            .spawn()
            .unwrap();
        let far = Far { keeper };
        let id = far.keeper.id().to_string();
        ip(&["link", "set", "lo", "up"]);
        until("the other namespace", || {
            let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
            let theirs = std::fs::read_link(format!("/proc/{id}/ns/net")).unwrap();
            (ours != theirs).then_some(())
        });
        ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]);
        ip(&["link", "set", "far", "netns", &id]);
        ip(&["address", "add", &format!("{SERVER}/24"), "dev", "near"]);
        ip(&["link", "set", "near", "up"]);
        far.inside(&["ip", "link", "set", "far", "address", card]);
        far.inside(&["ip", "address", "add", "198.51.100.2/24", "dev", "far"]);
        far.inside(&["ip", "link", "set", "far", "up"]);
        far
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.keeper.id().to_string()]);
        command
    }

    fn inside(&self, words: &[&str]) {
        assert!(
            self.command().args(words).status().unwrap().success(),
            "{words:?}"
        );
    }

    /// Gets a path from there.
    fn ask(&self, server: SocketAddr, path: &str) -> String {
        let asked = self
            .command()
            .arg(std::env::current_exe().unwrap())
            .args(["neighbours::child_that_asks", "--exact", "--nocapture"])
            .env(ASK, format!("{server} {path}"))
            .stderr(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(asked.stdout).unwrap()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // The namespace goes with its last process.
        drop(self.keeper.kill());
        drop(self.keeper.wait());
    }
}

fn ip(words: &[&str]) {
    assert!(
        Command::new("ip").args(words).status().unwrap().success(),
        "{words:?}"
    );
}

/// The machine of the test above. Started by itself it does nothing.
#[test]
fn child_that_asks() {
    let Ok(ask) = std::env::var(ASK) else {
        return;
    };
    let (server, path) = ask.split_once(' ').unwrap();
    println!("{}", Client::new(server.parse().unwrap()).get(path).good());
}
