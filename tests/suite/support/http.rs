//! A backend that answers from constants and records requests, and a client that sends exactly the given bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::File,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bootwright::api::{ApiError, Command, Query};
use bootwright::disk::repo::Blob;
use bootwright::model::SecretText;
use bootwright::net::http::{
    Backend, BootRequest, Bytes, CallbackReply, CallbackRequest, CheckInReply, CheckInRequest,
    DocumentRequest, DownloadEnd, DownloadReceipt, EntryRequest, FileReply, Guard, Limits,
    Listener, LoaderRequest, MachineListenerConfig, MbootRequest, OperatorListenerConfig, Peer,
    Reply, RepoRequest, SealRequest, ServedFile, ServerHealth, Stop, serve_machines,
    serve_operators,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

/// The only valid token.
pub(crate) const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// The token of the operators' listener.
pub(crate) const OPERATOR_TOKEN: &str = "0123456789abcdef";

/// The header with that token, and its line end.
pub(crate) const AUTHORIZATION: &str = "Authorization: Bearer 0123456789abcdef\r\n";

/// The requests to the backend, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BackendRequest {
    /// `/boot`.
    Boot(BootRequest),
    /// A request for a document or an auxiliary file.
    Document(DocumentRequest),
    /// How a document's delivery ended.
    DownloadEnd(DownloadEnd),
    /// A callback.
    Callback(CallbackRequest),
    Command(Command),
}

/// A backend that answers from constants.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    requests: Arc<Mutex<Vec<BackendRequest>>>,
    /// The file of every repo.
    pub(crate) file: Option<ServedFile>,
    /// The size of `large.cfg`.
    pub(crate) large: usize,
}

impl Fake {
    /// A backend whose repos contain `file`.
    pub(crate) fn with_file(file: File) -> Fake {
        Fake {
            file: Some(ServedFile {
                modified: file.metadata().unwrap().modified().unwrap(),
                blob: Blob::of(file).unwrap(),
                content_type: "application/octet-stream",
                etag: "\"v1\"".into(),
            }),
            ..Fake::default()
        }
    }

    /// A backend whose `large.cfg` has this size.
    pub(crate) fn with_large(large: usize) -> Fake {
        Fake {
            large,
            ..Fake::default()
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<BackendRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn note(&self, requests: BackendRequest) {
        self.requests.lock().unwrap().push(requests);
    }

    fn receipt(&self) -> DownloadReceipt {
        let requests = self.requests.clone();
        DownloadReceipt::new(move |delivery| {
            requests
                .lock()
                .unwrap()
                .push(BackendRequest::DownloadEnd(delivery))
        })
    }
}

impl Backend for Fake {
    fn serves(&self, _: Peer) -> bool {
        true
    }

    async fn entry(&self, ask: EntryRequest) -> Reply {
        Reply::text(format!("#!ipxe\nchain {}/boot\n", ask.base))
    }

    async fn boot(&self, ask: BootRequest) -> Reply {
        self.note(BackendRequest::Boot(ask));
        Reply::text("#!ipxe\nexit\n")
    }

    async fn loader(&self, ask: LoaderRequest) -> FileReply {
        let reply = match ask.name.as_str() {
            "snponly.efi" => Reply::text("MZ"),
            _ => Reply::error(404, "no such loader\n"),
        };
        FileReply::Bytes {
            reply,
            receipt: ask.whole.then(|| self.receipt()),
        }
    }

    async fn mboot(&self, _: MbootRequest) -> FileReply {
        FileReply::Bytes {
            reply: Reply::error(404, "no such loader\n"),
            receipt: None,
        }
    }

    async fn document(&self, ask: DocumentRequest) -> FileReply {
        self.note(BackendRequest::Document(ask.clone()));
        if ask.token != TOKEN {
            return FileReply::UnknownToken;
        }
        match ask.name.as_str() {
            "mboot.efi" => FileReply::File(self.file.clone().unwrap()),
            "ks.cfg" => FileReply::Bytes {
                reply: Reply::text("vmaccepteula\n"),
                receipt: ask.whole.then(|| self.receipt()),
            },
            "large.cfg" => FileReply::Bytes {
                reply: Reply::text(vec![b'#'; self.large]),
                receipt: ask.whole.then(|| self.receipt()),
            },
            _ => FileReply::Bytes {
                reply: Reply::error(404, "no such document\n"),
                receipt: None,
            },
        }
    }

    async fn callback(&self, ask: CallbackRequest) -> CallbackReply {
        if ask.token != TOKEN {
            return CallbackReply::UnknownToken;
        }
        // Writing to a journal takes time.
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.note(BackendRequest::Callback(ask));
        CallbackReply::Recorded
    }

    async fn seal(&self, ask: SealRequest) -> Option<Reply> {
        let answer = format!("keep: {} {}\n", ask.text, ask.wipe);
        (ask.token == TOKEN).then(|| Reply::text(answer))
    }

    async fn microkernel(&self, _name: String) -> Result<ServedFile, Reply> {
        let file = self.file.clone();
        file.ok_or_else(|| Reply::error(404, "no such file\n"))
    }

    async fn check_in(&self, ask: CheckInRequest) -> CheckInReply {
        match ask.token.as_str() {
            TOKEN => CheckInReply::Instruction(ask.report.unwrap_or_else(|| "{}".into())),
            "often" => CheckInReply::TooOften,
            _ => CheckInReply::UnknownToken,
        }
    }

    fn knows_check_in(&self, token: &str) -> bool {
        [TOKEN, "often"].contains(&token)
    }

    fn knows_attempt(&self, token: &str) -> bool {
        token == TOKEN
    }

    async fn repo(&self, _ask: RepoRequest) -> Result<ServedFile, Reply> {
        let file = self.file.clone();
        file.ok_or_else(|| Reply::error(404, "no such file\n"))
    }

    fn health(&self) -> ServerHealth {
        ServerHealth::Degraded("the site has 1 error".into())
    }

    async fn query(&self, query: Query) -> Result<Bytes, ApiError> {
        match query {
            Query::Nodes => Ok("[]".into()),
            Query::Status => Ok("{\"site\":\"/srv/site\",\"health\":\"ok\"}".into()),
            Query::Log { .. } => Ok("{}\n".into()),
            _ => Err(ApiError::new(404, "no node `x`").help("see `bootwright nodes`")),
        }
    }

    async fn command(&self, command: Command) -> Result<Bytes, ApiError> {
        self.note(BackendRequest::Command(command));
        Ok("{}".into())
    }

    async fn follow(
        &self,
        _node: String,
        after: Option<String>,
    ) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            for number in 1..=2 {
                let line = format!("{{\"after\":{after:?},\"line\":{number}}}\n");
                sender.send(line.into()).await.unwrap();
            }
        });
        Ok(receiver)
    }
}

/// A listener that runs until it is dropped.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its backend.
    pub(crate) fake: Arc<Fake>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Running {
    /// Starts the machines' listener.
    pub(crate) fn machines(fake: Fake, limits: Limits) -> Running {
        let settings = MachineListenerConfig {
            limits,
            ..MachineListenerConfig::default()
        };
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Running::start(listener, fake, |listener, fake, stop| {
            tokio::spawn(serve_machines(listener, fake, settings, stop))
        })
    }

    /// Starts the operators' listener.
    pub(crate) fn operators() -> Running {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let settings = OperatorListenerConfig {
            guard: Guard::new(&SecretText::new(OPERATOR_TOKEN)),
            tls: None,
            limits: Limits::default(),
        };
        Running::start(listener, Fake::default(), |listener, fake, stop| {
            tokio::spawn(serve_operators(listener, fake, settings, stop))
        })
    }

    fn start(
        listener: Listener,
        fake: Fake,
        serve: impl FnOnce(Listener, Arc<Fake>, Stop) -> JoinHandle<()>,
    ) -> Running {
        let (stop, output) = watch::channel(false);
        let fake = Arc::new(fake);
        Running {
            address: listener.address(),
            serving: serve(listener, fake.clone(), Stop::new(output)),
            fake,
            stop,
        }
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        soon(self.serving).await.unwrap();
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends `request` on its own connection, and returns everything received until the server closes it.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    /// Sends an HTTP/1.1 request that is the last on its connection.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.address
        );
        self.raw(request).await
    }
}

/// Returns everything received until the other side closes.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset also ends an answer: what was received before is returned.
    match soon(stream.read_to_end(&mut answer)).await {
        Ok(_) | Err(_) => String::from_utf8_lossy(&answer).into_owned(),
    }
}

/// Bounds a hang: a minute, since the machine may be busy.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(60);
    timeout(limit, future).await.expect("it hangs")
}

/// Waits until `is_so`.
pub(crate) async fn eventually(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.unwrap_or_default()
}

/// The body of an answer.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// A header of an answer.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Asserts what holds for every answer to a machine that may have a body: it has one, of the given length.
pub(crate) fn assert_whole(answer: &str) {
    let length = header(answer, "content-length").map(str::parse);
    assert_eq!(length, Some(Ok(body(answer).len())), "{answer}");
    assert!(!body(answer).is_empty(), "{answer}");
}
