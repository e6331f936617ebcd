//! Other hosts: network namespaces with an interface `far` each, which a pair of virtual interfaces connects to this one.

use std::{
    fs,
    process::{Command, Stdio},
};

use super::{
    arp::ArpObserver,
    child::{self, KillOnDrop},
    client::until,
    dhcp::DhcpClient,
    program::SERVER,
};

/// Runs `ip`.
#[track_caller]
pub(crate) fn ip(arguments: &str) {
    run(Command::new("ip"), arguments);
}

#[track_caller]
fn run(mut ip: Command, arguments: &str) {
    let ended = ip.args(arguments.split(' ')).output().unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "ip {arguments}: {complaint}");
}

/// Another host. Its namespace exists as long as this value.
pub(crate) struct Host {
    // The namespace ends with its last process.
    process: KillOnDrop,
}

impl Host {
    pub(crate) fn new() -> Host {
        let process = Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn();
        let host = Host {
            process: KillOnDrop(process.unwrap()),
        };
        let id = host.process.0.id();
        until("the other namespace", || {
            let own = fs::read_link("/proc/self/ns/net").unwrap();
            let other = fs::read_link(format!("/proc/{id}/ns/net")).unwrap();
            (own != other).then_some(())
        });
        host
    }

    /// A new host behind the interface `near`, which gets the server's address.
    pub(crate) fn behind(near: &str) -> Host {
        let host = Host::new();
        host.connect(near);
        ip(&format!("address add {SERVER}/24 dev {near}"));
        host
    }

    /// Creates the interface `near` here and `far` there, both up.
    pub(crate) fn connect(&self, near: &str) {
        let id = self.process.0.id();
        ip(&format!(
            "link add {near} type veth peer name far netns {id}"
        ));
        ip(&format!("link set {near} up"));
        self.ip("link set far up");
        // Broadcasts need a route, which goes with its interface.
        self.ip("route add 255.255.255.255 dev far");
    }

    fn prefix(&self) -> [String; 4] {
        let id = self.process.0.id().to_string();
        ["nsenter", "--net", "--target", &id].map(str::to_owned)
    }

    /// A command that runs a program there.
    pub(crate) fn program(&self, name: &str) -> Command {
        let [enter, arguments @ ..] = self.prefix();
        let mut command = Command::new(enter);
        command.args(arguments).arg(name);
        command
    }

    /// Runs `ip` there.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) {
        run(self.program("ip"), arguments);
    }

    /// A command that plays one of this program's roles there.
    pub(crate) fn role(&self, role: &str, arguments: &[&str]) -> Command {
        child::command(&self.prefix(), role, arguments)
    }

    /// The sockets of a table below `/proc/net` there.
    pub(crate) fn sockets(&self, table: &str) -> String {
        let id = self.process.0.id();
        fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap()
    }

    /// Sends a DHCP message from there, once: see `dhcp::run_client`.
    pub(crate) fn send(&self, message: &str) -> DhcpClient {
        DhcpClient::start(self.role("dhcp-client", &[message]))
    }

    /// Sends a DHCP message from there, every second, until a reply satisfies `is_expected`.
    #[track_caller]
    pub(crate) fn expect(&self, message: &str, is_expected: impl Fn(&str) -> bool) {
        let client = DhcpClient::start(self.role("dhcp-client", &[message, "again"]));
        let mut others = Vec::new();
        while let Some(reply) = client.wait() {
            if is_expected(&reply) {
                return;
            }
            others.push(reply);
        }
        panic!("no such reply to `{message}` in a minute; others: {others:?}");
    }

    /// The same, until this reply.
    #[track_caller]
    pub(crate) fn expect_reply(&self, message: &str, expected: &str) {
        self.expect(message, |reply| reply == expected);
    }

    /// Observes the ARP requests that arrive there.
    pub(crate) fn observe_arp(&self) -> ArpObserver {
        ArpObserver::start(self.role("arp-observer", &[]))
    }

    /// Sends the messages of many DHCP clients from there, meanwhile.
    pub(crate) fn begin_storm(&self, count: usize, client: &str) -> KillOnDrop {
        let mut command = self.role("dhcp-storm", &[&count.to_string(), client]);
        KillOnDrop(command.stdout(Stdio::null()).spawn().unwrap())
    }
}
