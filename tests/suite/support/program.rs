//! The program itself, serving a test site at the ports that it takes by default. It needs a network namespace of its own.

use std::{
    fs,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{
    child::{self, KillOnDrop},
    client::{Client, until},
    dhcp::mac_of,
    namespace::Host,
    site::TestSite,
};

/// The server's address on the network.
pub(crate) const SERVER: &str = "192.0.2.1";

/// How the server logs, at the level `debug`, that it does not answer a DHCP message; the client's MAC address and the reason follow.
const UNANSWERED: &str = "DHCP: no answer to ";

/// The program, serving a site until this is dropped.
pub(crate) struct ServerProgram {
    site: TestSite,
    pub(crate) process: KillOnDrop,
    pub(crate) machines: Client,
    pub(crate) operators: Client,
}

impl ServerProgram {
    /// Serves a site with this many nodes, whose network has more settings.
    pub(crate) fn start(nodes: usize, network: &str) -> ServerProgram {
        ServerProgram::prepared(nodes, network, |_| ())
    }

    /// The same, after `prepare` has changed the site.
    pub(crate) fn prepared(
        nodes: usize,
        network: &str,
        prepare: impl FnOnce(&TestSite),
    ) -> ServerProgram {
        let site = TestSite::new(nodes);
        let own = fs::read_to_string(site.path().join("policies.d/site.toml")).unwrap();
        let network = format!("domain = \"lab.example\"\n{network}\n");
        site.write(
            "policies.d/site.toml",
            &own.replace("domain = \"lab.example\"\n", &network),
        );
        site.write("loaders/snponly.efi", "a loader");
        site.write("loaders/ipxe.efi", "another loader");
        prepare(&site);
        let state = site.state();
        site.write(
            "bootwright.toml",
            &format!(
                "[http]\nlisten = \"0.0.0.0:80\"\n[operator]\nlisten = \"127.0.0.1:8067\"\n[paths]\nstate = \"{}\"\n\
                 loaders = \"loaders\"\n[limits]\ndiscovered = 50\n",
                state.display()
            ),
        );
        let log = fs::File::create(site.beside("log")).unwrap();
        let ends: OwnedFd = log.try_clone().unwrap().into();
        let process = Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .arg("serve")
            .arg(site.path())
            .env("BOOTWRIGHT_LOG", "info,bootwright=debug")
            .stdout(log)
            .stderr(Stdio::from(ends))
            .spawn()
            .unwrap();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let process = KillOnDrop(process);
        until("the operators' token", || {
            state.join("operator-token").exists().then_some(())
        });
        let program = ServerProgram {
            site,
            process,
            machines: Client::new(local(80)),
            operators: Client::of_operators(local(8067), &state),
        };
        program.wait_for_log("waiting for machines");
        program
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.site.state()
    }

    /// Changes the site's own file.
    pub(crate) fn edit(&self, before: &str, after: &str) {
        let text = fs::read_to_string(self.site.path().join("policies.d/site.toml")).unwrap();
        assert!(text.contains(before), "{text}");
        self.site
            .write("policies.d/site.toml", &text.replace(before, after));
    }

    /// How many lines the journal has.
    pub(crate) fn journal_lines(&self) -> usize {
        let text = fs::read_to_string(self.site.segment()).unwrap();
        text.lines().count()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        child::memory_kib(&self.process.0, "VmRSS")
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.site.beside("log")).unwrap()
    }

    /// Waits until its log contains this text.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_log_times(text, 1);
    }

    /// Waits until its log contains this text so often.
    #[track_caller]
    pub(crate) fn wait_for_log_times(&self, text: &str, times: usize) {
        until(&format!("`{text}` in the log {times} times"), || {
            (self.log().matches(text).count() >= times).then_some(())
        });
    }

    /// Sends a DHCP message from a host, and waits until the server has logged that it does not answer it. Returns the replies that
    /// arrived by then, which can only be of other servers.
    #[track_caller]
    pub(crate) fn ignores(&self, host: &Host, message: &str) -> Vec<String> {
        let line = format!("{UNANSWERED}{}: ", mac_of(message));
        let before = self.log().matches(&line).count();
        let client = host.send(message);
        self.wait_for_log_times(&line, before + 1);
        client.replies()
    }

    /// Sends a DHCP message from a host, again and again, until the server has logged that it does not answer it.
    #[track_caller]
    pub(crate) fn wait_until_it_ignores(&self, host: &Host, message: &str) {
        let line = format!("{UNANSWERED}{}: ", mac_of(message));
        let before = self.log().matches(&line).count();
        until(&format!("`{message}` is not answered"), || {
            let client = host.send(message);
            until("a reply, or none", || {
                let is_ignored = self.log().matches(&line).count() > before;
                (is_ignored || client.poll().is_some()).then_some(is_ignored)
            })
            .then_some(())
        });
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        child::signal(&self.process.0, name);
    }
}
