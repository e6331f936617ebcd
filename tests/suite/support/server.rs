//! A whole server on a site of its own, in this process or in one that can be killed, and a client that asks
//! it over HTTP as machines and operators do.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use bootwright::serve::{self, Options, Running};
use serde_json::Value;
use tempfile::TempDir;

/// Says to this very program, started again, which site to serve until it is killed.
const SITE: &str = "BOOTWRIGHT_TEST_SITE";

/// Says to it where that site's state is.
const STATE: &str = "BOOTWRIGHT_TEST_STATE";

/// How long anything that is waited for may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A site and its state, each in a directory of its own. Its nodes are `n01`, `n02` and so on.
pub(crate) struct House {
    dir: TempDir,
}

impl House {
    /// A site with so many nodes, which are all to be installed from the stand-in for Rocky.
    pub(crate) fn new(nodes: usize) -> House {
        House::in_dir(tempfile::tempdir().unwrap(), nodes)
    }

    /// The same where syncing costs nothing, if there is such a place.
    pub(crate) fn in_memory(nodes: usize) -> House {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        House::in_dir(dir.unwrap(), nodes)
    }

    /// The same below a directory that is there already.
    pub(crate) fn in_dir(dir: TempDir, nodes: usize) -> House {
        let house = House { dir };
        house.write("bootwright.toml", "[limits]\ninstalls-per-hour = 1000000\n");
        house.write("policies.d/site.toml", &site());
        for number in 1..=nodes {
            house.node(number, "");
        }
        house
    }

    /// Where the site is.
    pub(crate) fn site(&self) -> PathBuf {
        self.dir.path().join("site")
    }

    /// Where its state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Something else beside them.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The journal's only segment.
    pub(crate) fn segment(&self) -> PathBuf {
        self.state().join("journal/00000001.jsonl")
    }

    /// Writes a file of the site.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.site().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Declares a node at its usual address, with more settings.
    pub(crate) fn node(&self, number: usize, more: &str) {
        self.write(&node_file(number), &declaration(number, more));
    }
}

/// The file that declares a node.
pub(crate) fn node_file(number: usize) -> String {
    format!("policies.d/nodes/{}.toml", name(number))
}

/// A node's declaration.
pub(crate) fn declaration(number: usize, more: &str) -> String {
    format!(
        "[node.{}]\nmac = \"{}\"\naddress = \"{}\"\nrepo = \"rocky\"\n{more}\n",
        name(number),
        mac(number),
        address(number)
    )
}

/// A node's name.
pub(crate) fn name(number: usize) -> String {
    format!("n{number:02}")
}

/// A node's address.
pub(crate) fn address(number: usize) -> String {
    format!("192.0.2.{}", 10 + number)
}

fn mac(number: usize) -> String {
    format!("52:54:00:00:00:{number:02x}")
}

fn site() -> String {
    let rocky = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/stand-ins/rocky");
    format!(
        "[defaults]\ntimezone = \"Etc/UTC\"\ndisk = {{ smallest = true, wipe = true }}\n\
         ssh-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT x\"]\n\
         [network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.2\"\ndomain = \"lab.example\"\n\
         [repo.rocky]\npath = \"{}\"\ntask = \"redhat\"\n",
        rocky.display()
    )
}

/// A server in this process.
pub(crate) struct Server {
    /// Where machines ask.
    pub(crate) machines: Client,
    /// Where operators ask.
    pub(crate) operators: Client,
    /// What it said at its start.
    pub(crate) banner: serve::Banner,
    running: Running,
    // Ends what the server still does when it is dropped.
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Starts it.
    pub(crate) fn start(house: &House) -> Server {
        Server::try_start(&house.site(), &house.state()).unwrap()
    }

    /// Starts it, if that is possible.
    pub(crate) fn try_start(site: &Path, state: &Path) -> anyhow::Result<Server> {
        Server::with(options(site, state))
    }

    /// Starts it where other hosts reach it.
    pub(crate) fn listening(house: &House, machines: SocketAddr) -> Server {
        let options = options(&house.site(), &house.state());
        let listen = Some(machines);
        Server::with(Options { listen, ..options }).unwrap()
    }

    fn with(options: Options) -> anyhow::Result<Server> {
        let runtime = tokio::runtime::Runtime::new()?;
        let running = runtime.block_on(serve::start(options))?;
        Ok(Server {
            machines: Client::new(running.machines),
            operators: Client::new(running.operators),
            banner: running.banner.clone(),
            running,
            runtime,
        })
    }

    /// Ends it in order.
    pub(crate) fn stop(self) {
        drop((self.machines, self.operators));
        self.runtime.block_on(self.running.stop()).unwrap();
    }
}

fn options(site: &Path, state: &Path) -> Options {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Options {
        site: site.into(),
        state: Some(state.into()),
        listen: Some(any),
        operator: Some(any),
        http_alone: true,
        throwaway: false,
    }
}

/// A server in a process of its own, which is killed at the latest when it is dropped.
pub(crate) struct Process {
    /// Where machines ask.
    pub(crate) machines: Client,
    /// Where operators ask.
    pub(crate) operators: Client,
    child: Child,
    // It ends when this is closed.
    _life: ChildStdin,
}

impl Process {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(house: &House) -> Process {
        Process::under(&[], house)
    }

    /// The program that serves, as the last argument of another one.
    pub(crate) fn command(wrap: &[&str], house: &House) -> Command {
        let itself = std::env::current_exe().unwrap();
        let mut words: Vec<&std::ffi::OsStr> = wrap.iter().map(AsRef::as_ref).collect();
        words.push(itself.as_os_str());
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args([
                "support::server::child_that_serves",
                "--exact",
                "--nocapture",
            ])
            .env(SITE, house.site())
            .env(STATE, house.state())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// The same below another program.
    pub(crate) fn under(wrap: &[&str], house: &House) -> Process {
        let mut child = Process::command(wrap, house).spawn().unwrap();
        let life = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addresses = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("serving ")?;
            let (machines, operators) = rest.split_once(' ')?;
            Some((machines.parse().ok()?, operators.parse().ok()?))
        });
        let Some((machines, operators)) = addresses else {
            panic!("the server did not start: {:?}", child.wait());
        };
        Process {
            machines: Client::new(machines),
            operators: Client::new(operators),
            child,
            _life: life,
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    /// The most memory that it had at once, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(status).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let most = most.unwrap().trim().trim_end_matches(" kB");
        most.parse().unwrap()
    }

    /// Kills it as nothing but a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        drop(self._life);
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// The server of [`Process`]. Started by itself it does nothing.
#[test]
fn child_that_serves() {
    let (Some(site), Some(state)) = (std::env::var_os(SITE), std::env::var_os(STATE)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = serve::start(options(Path::new(&site), Path::new(&state)));
    let running = runtime.block_on(start).unwrap();
    println!("serving {} {}", running.machines, running.operators);
    // Whoever started it is gone when its standard input ends.
    std::thread::spawn(|| {
        let ended = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(i32::from(ended.is_err()));
    });
    runtime.block_on(running.wait()).unwrap();
}

/// Asks one listener, on one connection for as long as the server keeps it.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    stream: Stream,
}

/// Not cloned: each client has its own.
#[derive(Default)]
struct Stream(Option<BufReader<TcpStream>>);

impl Clone for Stream {
    fn clone(&self) -> Stream {
        Stream(None)
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The body as text.
    pub(crate) body: String,
}

impl Answer {
    /// The body of a good answer.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The body of a good answer, read as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

impl Client {
    /// Asks the listener at `address`.
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client {
            address,
            stream: Stream::default(),
        }
    }

    /// Whom it asks.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gets a path.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "").unwrap()
    }

    /// Posts JSON to a path.
    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, json: &str) -> Answer {
        self.ask("POST", path, json).unwrap()
    }

    /// The same, of a server that may be dead.
    pub(crate) fn ask(&mut self, method: &str, path: &str, json: &str) -> io::Result<Answer> {
        let length = json.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}",
            self.address
        );
        self.send(&request)
    }

    fn send(&mut self, request: &str) -> io::Result<Answer> {
        let mut stream = match self.stream.0.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.get_mut().write_all(request.as_bytes())?;
        let (answer, closes) = read_answer(&mut stream)?;
        if !closes {
            self.stream.0 = Some(stream);
        }
        Ok(answer)
    }

    /// Gets a part of what is behind a path: a part of a document is no reading.
    #[track_caller]
    pub(crate) fn get_part(&mut self, path: &str, range: &str) -> String {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nRange: {range}\r\n\r\n",
            self.address
        );
        let answer = self.send(&request).unwrap();
        assert_eq!(answer.status, 206, "{}", answer.body);
        answer.body
    }

    /// Boots a node from the network: a boot of its own each time.
    #[track_caller]
    pub(crate) fn boot(&mut self, number: usize) -> String {
        self.get(&boot_path(number)).good()
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }
}

/// What a node asks at a network boot of its own.
pub(crate) fn boot_path(number: usize) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static BOOTS: AtomicU64 = AtomicU64::new(1);
    let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
    let mac = mac(number).replace(':', "-");
    format!("/boot?mac={mac}&platform=efi&arch=x86_64&boot={boot:016x}")
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<(Answer, bool)> {
    let (mut status, mut length, mut closes) = (0, 0, false);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().map_err(io::Error::other)?;
        } else if let Some((key, value)) = text.split_once(": ") {
            match key.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "connection" => closes = value == "close",
                _ => {}
            }
        } else if text.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok((Answer { status, body }, closes))
}

/// The token in the URLs of a script.
#[track_caller]
pub(crate) fn token(script: &str) -> String {
    find_token(script).unwrap_or_else(|| panic!("no token in {script}"))
}

/// The same, of a script that may have none.
pub(crate) fn find_token(script: &str) -> Option<String> {
    Some(script.split_once("/t/")?.1.get(..32)?.to_string())
}

/// Waits until `ask` answers.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The server's status.
#[track_caller]
pub(crate) fn status(operators: &mut Client) -> Value {
    operators.get("/api/v1/status").json()
}

/// One node, as operators are shown it.
#[track_caller]
pub(crate) fn node(operators: &mut Client, number: usize) -> Value {
    operators
        .get(&format!("/api/v1/nodes/{}", name(number)))
        .json()
}

/// One node's log, line by line.
#[track_caller]
pub(crate) fn log(operators: &mut Client, number: usize) -> Vec<Value> {
    let text = operators
        .get(&format!("/api/v1/nodes/{}/log", name(number)))
        .good();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a log tells of, in order.
pub(crate) fn events(log: &[Value]) -> Vec<&str> {
    log.iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect()
}
