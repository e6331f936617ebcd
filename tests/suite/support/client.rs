//! A client that sends machines' and operators' requests to a server over HTTP, and the parts of answers that tests compare.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::site::{boot_path, name};

/// How long a test waits for an event before it fails. It only bounds a hang: the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one listener, with one connection for as long as the server keeps it open.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    /// The header with the operators' token, and its line end.
    authorization: String,
    stream: Stream,
}

/// A clone of a client has a connection of its own.
#[derive(Default)]
struct Stream(Option<BufReader<TcpStream>>);

impl Clone for Stream {
    fn clone(&self) -> Stream {
        Stream(None)
    }
}

/// A whole answer, its body as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body of an answer with status 200.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The same, parsed as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client {
            address,
            authorization: String::new(),
            stream: Stream::default(),
        }
    }

    /// A client of the operators' listener of the server with this state directory.
    #[track_caller]
    pub(crate) fn of_operators(address: SocketAddr, state: &Path) -> Client {
        let token = fs::read_to_string(state.join("operator-token")).unwrap();
        Client {
            authorization: format!("Authorization: Bearer {}\r\n", token.trim()),
            ..Client::new(address)
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "").unwrap()
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, json: &str) -> Answer {
        self.ask("POST", path, json).unwrap()
    }

    /// Sends a request to a server that may have been killed.
    pub(crate) fn ask(&mut self, method: &str, path: &str, json: &str) -> io::Result<Answer> {
        let length = json.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}",
            self.address, self.authorization
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

    /// Gets a part of a file. A part of a document does not count as read.
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

    /// Requests a node's boot script: another boot each time.
    #[track_caller]
    pub(crate) fn boot(&mut self, number: usize) -> String {
        self.get(&boot_path(number)).good()
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(BufReader::new(stream))
    }
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

/// The role `http-client`: prints the body of an answer with status 200.
pub(super) fn fetch(arguments: &[String]) {
    let [server, path] = arguments else {
        panic!("`http-client` needs an address and a path");
    };
    println!("{}", Client::new(server.parse().unwrap()).get(path).good());
}

/// The token in the URLs of a boot script.
#[track_caller]
pub(crate) fn token(script: &str) -> String {
    find_token(script).unwrap_or_else(|| panic!("no token in {script}"))
}

/// The same, of a script that may contain none.
pub(crate) fn find_token(script: &str) -> Option<String> {
    Some(script.split_once("/t/")?.1.get(..32)?.to_string())
}

/// Waits for an event: calls `poll` until it returns a value.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(began.elapsed() < TIMEOUT, "no event: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
pub(crate) fn status(operators: &mut Client) -> Value {
    operators.get("/api/v1/status").json()
}

/// A node's status.
#[track_caller]
pub(crate) fn node(operators: &mut Client, number: usize) -> Value {
    operators
        .get(&format!("/api/v1/nodes/{}", name(number)))
        .json()
}

/// A node's log, line by line.
#[track_caller]
pub(crate) fn log(operators: &mut Client, number: usize) -> Vec<Value> {
    let text = operators
        .get(&format!("/api/v1/nodes/{}/log", name(number)))
        .good();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The events of a log, in order.
pub(crate) fn events(log: &[Value]) -> Vec<&str> {
    log.iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect()
}
