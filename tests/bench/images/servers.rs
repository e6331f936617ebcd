//! The compared servers: Bootwright, which serves the image, and nginx, which serves the file.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    image::{FILE, Large},
    readers,
};
use crate::server::{PROGRAM, interrupt, resident, run};

/// A running server. It is stopped when dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The path of the file.
    pub(crate) path: String,
    child: Child,
}

/// Bootwright, with the image as a repo.
pub(crate) fn bootwright(large: &Large, home: &Path) -> anyhow::Result<Server> {
    let address = free_port()?;
    let root = site(&large.image, home)?;
    let config = format!(
        "{CONFIG}[http]\nlisten = \"{address}\"\n[operator]\nlisten = \"{}\"\n[paths]\nwitness = \"../witness\"\nstate = {:?}\n",
        free_port()?,
        home.join("state")
    );
    fs::write(root.join("bootwright.toml"), config)?;
    let log = File::create(home.join("log"))?;
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--color", "never"]).arg(&root);
    start(
        "Bootwright",
        address,
        format!("/repo/image/{FILE}"),
        &mut command,
        log,
    )
}

const CONFIG: &str = "site-id = \"benchmark\"\n[dhcp]\nenabled = false\n[tftp]\nenabled = false\n";

/// Writes a site whose only repo is the image.
fn site(image: &Path, home: &Path) -> anyhow::Result<std::path::PathBuf> {
    let root = home.join("site");
    fs::create_dir_all(root.join("policies.d"))?;
    fs::write(root.join("bootwright.toml"), CONFIG)?;
    let repo = format!("[repo.image]\niso = {image:?}\ntask = \"redhat\"\n");
    fs::write(root.join("policies.d/site.toml"), repo)?;
    Ok(root)
}

/// nginx with Debian's configuration, except for paths: a worker per core, sendfile, full packets.
pub(crate) fn nginx(large: &Large, home: &Path) -> anyhow::Result<Server> {
    fs::create_dir_all(home)?;
    let address = free_port()?;
    // If root starts it, its workers run as another user, who could not read the file.
    let user = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let config = home.join("nginx.conf");
    fs::write(
        &config,
        format!(
            "{user} daemon off; worker_processes auto; pid {home}/pid; error_log {home}/log;
events {{ worker_connections 1024; }}
http {{
    sendfile on; tcp_nopush on; access_log off; types_hash_max_size 2048; keepalive_timeout 65;
    client_body_temp_path {home}/body;
    server {{ listen {address}; root {root}; }}
}}\n",
            home = home.display(),
            root = large.tree.display()
        ),
    )?;
    let log = File::create(home.join("log"))?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(home).arg("-c").arg(&config);
    start("nginx", address, format!("/{FILE}"), &mut command, log)
}

fn start(
    name: &'static str,
    address: SocketAddr,
    path: String,
    command: &mut Command,
    log: File,
) -> anyhow::Result<Server> {
    let child = command
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log)
        .spawn()?;
    Ok(Server {
        name,
        address,
        path,
        child,
    })
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Server {
    /// Waits until it serves the file, whose length is known.
    pub(crate) fn until_ready(&mut self, length: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let Err(error) = readers::read(self, 1, length) else {
                return Ok(());
            };
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{} has ended: {status}", self.name);
            }
            anyhow::ensure!(began.elapsed().as_secs() < 30, "{}: {error}", self.name);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The user and system processor time of all its processes, including ended threads.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for process in self.processes()? {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name may contain spaces, and ends with the last bracket; utime and stime are fields 14 and 15.
            let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            for field in fields.get(11..13).context("no times in stat")? {
                ticks += field.parse::<u64>()?;
            }
        }
        // The kernel reports hundredths of a second (proc_pid_stat(5), USER_HZ).
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Its process and child processes: nginx's workers.
    fn processes(&self) -> anyhow::Result<Vec<u32>> {
        let itself = self.child.id();
        let children = fs::read_to_string(format!("/proc/{itself}/task/{itself}/children"))?;
        let mut processes = vec![itself];
        for child in children.split_whitespace() {
            processes.push(child.parse()?);
        }
        Ok(processes)
    }

    /// Its resident memory in MiB: now, and the maximum so far.
    pub(crate) fn resident(&self) -> anyhow::Result<[f64; 2]> {
        resident(self.child.id())
    }

    /// Stops it regularly.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        interrupt(&self.child)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A regular stop, so that nginx stops its workers. After `stop` there is nothing left to stop.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(interrupt(&self.child));
            drop(self.child.wait());
        }
    }
}

/// Runs `bootwright repos` on an image that is not cached. Returns the duration.
pub(crate) fn repos(image: &Path, home: &Path) -> anyhow::Result<Duration> {
    let root = site(image, home)?;
    let [wall, _] = run(&["repos"], &root)?;
    Ok(wall)
}
