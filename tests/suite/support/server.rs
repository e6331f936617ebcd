//! A server of a test site: in this process, or in one that can be killed.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    time::Duration,
};

use bootwright::serve::{self, CheckLimits, CheckProgram, Options, Running};

use super::{
    child::{self, KillOnDrop},
    client::Client,
    site::TestSite,
};

/// A server in this process.
pub(crate) struct Server {
    /// A client of the machines' listener.
    pub(crate) machines: Client,
    /// A client of the operators' listener.
    pub(crate) operators: Client,
    /// What it reported at its start.
    pub(crate) banner: serve::Banner,
    running: Running,
    // Dropped last: that ends the server's tasks.
    runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(crate) fn start(site: &TestSite) -> Server {
        Server::try_start(&site.path(), &site.state()).unwrap()
    }

    pub(crate) fn try_start(site: &Path, state: &Path) -> anyhow::Result<Server> {
        Server::with(options(site, state))
    }

    /// Starts it with a state directory that it may delete, as `play` and `try` do.
    pub(crate) fn throwaway(site: &Path, state: &Path) -> Server {
        Server::with(Options {
            throwaway: true,
            ..options(site, state)
        })
        .unwrap()
    }

    /// Starts it with its machines' listener at an address that other hosts reach.
    pub(crate) fn listening(site: &TestSite, machines: SocketAddr) -> Server {
        Server::with(Options {
            listen: Some(machines),
            ..options(&site.path(), &site.state())
        })
        .unwrap()
    }

    /// Starts it with another interval between its probes of machines that cannot report that they are finished.
    pub(crate) fn probing(site: &TestSite, interval: Duration) -> Server {
        Server::with(Options {
            probe_interval: Some(interval),
            ..options(&site.path(), &site.state())
        })
        .unwrap()
    }

    /// Starts it with other limits for the check of its site.
    pub(crate) fn checking_within(site: &TestSite, limits: CheckLimits) -> Server {
        Server::with(Options {
            check_program: CheckProgram {
                limits,
                ..check_program()
            },
            ..options(&site.path(), &site.state())
        })
        .unwrap()
    }

    fn with(options: Options) -> anyhow::Result<Server> {
        let runtime = tokio::runtime::Runtime::new()?;
        let state = options.state.clone().unwrap();
        let running = runtime.block_on(serve::start(options))?;
        Ok(Server {
            machines: Client::new(running.machines),
            operators: Client::of_operators(running.operators, &state),
            banner: running.banner.clone(),
            running,
            runtime,
        })
    }

    /// Stops it, and waits until it has ended.
    pub(crate) fn stop(self) {
        drop((self.machines, self.operators));
        self.runtime.block_on(self.running.stop()).unwrap();
    }
}

/// The program that checks sites: this test program cannot.
pub(crate) fn check_program() -> CheckProgram {
    CheckProgram::at(env!("CARGO_BIN_EXE_bootwright"))
}

fn options(site: &Path, state: &Path) -> Options {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Options {
        site: site.into(),
        state: Some(state.into()),
        listen: Some(any),
        operator: Some(any),
        http_only: true,
        check_program: check_program(),
        ..Options::default()
    }
}

/// A server in a process of its own, which is killed when this is dropped.
pub(crate) struct Process {
    /// A client of the machines' listener.
    pub(crate) machines: Client,
    /// A client of the operators' listener.
    pub(crate) operators: Client,
    child: KillOnDrop,
    // The server ends when this is closed.
    stdin: ChildStdin,
}

impl Process {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(site: &TestSite) -> Process {
        Process::under(&[], site)
    }

    /// The command that serves a site, as the last argument of `wrap`.
    pub(crate) fn command(wrap: &[&str], site: &TestSite) -> Command {
        let (path, state) = (site.path(), site.state());
        let arguments = [&path, &state].map(|path| path.to_str().unwrap());
        let mut command = child::command(wrap, "serve", &arguments);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// The same as [`Process::start`], below another program.
    pub(crate) fn under(wrap: &[&str], site: &TestSite) -> Process {
        let child = Process::command(wrap, site).spawn().unwrap();
        let mut child = KillOnDrop(child);
        let stdin = child.0.stdin.take().unwrap();
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let addresses = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (machines, operators) = line.strip_prefix("serving ")?.split_once(' ')?;
            Some((machines.parse().ok()?, operators.parse().ok()?))
        });
        let Some((machines, operators)) = addresses else {
            panic!("the server did not start: {:?}", child.0.wait());
        };
        Process {
            machines: Client::new(machines),
            operators: Client::of_operators(operators, &site.state()),
            child,
            stdin,
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        child::signal(&self.child.0, name);
    }

    /// The maximum of its resident memory so far, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        child::memory_kib(&self.child.0, "VmHWM")
    }

    /// Kills it: as after a power cut, it does nothing more.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Ends it, and waits until it has ended without an error.
    pub(crate) fn end(mut self) {
        drop(self.stdin);
        let ended = self.child.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// The role `serve`: serves a site with a state directory, prints both addresses, and ends with its standard input.
pub(super) fn serve(arguments: &[String]) {
    let [site, state] = arguments else {
        panic!("`serve` needs a site and a state directory");
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = serve::start(options(Path::new(site), Path::new(state)));
    let running = runtime.block_on(start).unwrap();
    println!("serving {} {}", running.machines, running.operators);
    std::thread::spawn(|| {
        let ended = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(i32::from(ended.is_err()));
    });
    runtime.block_on(running.wait()).unwrap();
}
