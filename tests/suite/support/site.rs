//! A site to test with: a directory of its own with a network, a repo and nodes `n01`, `n02` and so on, and its state beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::sources::root;

/// A site and its state, each in a directory of its own.
pub(crate) struct TestSite {
    dir: TempDir,
}

impl TestSite {
    /// A site with this many nodes. Each is to be installed from the stand-in for Rocky Linux.
    pub(crate) fn new(nodes: usize) -> TestSite {
        TestSite::in_dir(tempfile::tempdir().unwrap(), nodes)
    }

    /// The same in memory, if possible: syncing costs nothing there.
    pub(crate) fn in_memory(nodes: usize) -> TestSite {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        TestSite::in_dir(dir.unwrap(), nodes)
    }

    /// The same below an existing directory.
    pub(crate) fn in_dir(dir: TempDir, nodes: usize) -> TestSite {
        let site = TestSite { dir };
        site.write("bootwright.toml", "[limits]\ninstalls-per-hour = 1000000\n");
        site.write("policies.d/site.toml", &declarations());
        for number in 1..=nodes {
            site.declare_node(number, "");
        }
        site
    }

    /// The site's directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// The state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The path of another file beside the two.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The journal's first segment.
    pub(crate) fn segment(&self) -> PathBuf {
        self.state().join("journal/00000001.jsonl")
    }

    /// Writes a file of the site.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Declares a node at its usual address, with more settings.
    pub(crate) fn declare_node(&self, number: usize, more: &str) {
        self.write(&node_file(number), &declaration(number, more));
    }
}

/// The path of the file that declares a node, in the site.
pub(crate) fn node_file(number: usize) -> String {
    format!("policies.d/nodes/{}.toml", name(number))
}

/// The text of that file.
pub(crate) fn declaration(number: usize, more: &str) -> String {
    format!(
        "[node.{}]\nmac = \"{}\"\naddress = \"{}\"\nrepo = \"rocky\"\n{more}\n",
        name(number),
        mac(number),
        address(number)
    )
}

pub(crate) fn name(number: usize) -> String {
    format!("n{number:02}")
}

pub(crate) fn address(number: usize) -> String {
    format!("192.0.2.{}", 10 + number)
}

fn mac(number: usize) -> String {
    format!("52:54:00:00:00:{number:02x}")
}

fn declarations() -> String {
    let rocky = root().join("examples/quickstart/stand-ins/rocky");
    format!(
        "[defaults]\ntimezone = \"Etc/UTC\"\ndisk = {{ smallest = true, wipe = true }}\n\
         ssh-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT x\"]\n\
         [network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.2\"\ndomain = \"lab.example\"\n\
         [repo.rocky]\npath = \"{}\"\ntask = \"redhat\"\n",
        rocky.display()
    )
}

/// The path that a node requests at a network boot. Each call is another boot.
pub(crate) fn boot_path(number: usize) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static BOOTS: AtomicU64 = AtomicU64::new(1);
    let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
    let mac = mac(number).replace(':', "-");
    format!("/boot?mac={mac}&platform=efi&arch=x86_64&boot={boot:016x}")
}
