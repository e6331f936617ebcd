//! An image from a server, piece by piece: one that breaks off is asked for again where it broke off, so that a server which
//! starts anew in between is not noticed.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use ureq::{
    Agent,
    http::{Response, StatusCode},
};

use crate::agent::{pause, server::asker};

/// How much is asked for at a time, in bytes.
const PIECE: u64 = 8 << 20;

/// For how long a piece is asked for again.
const PATIENCE: Duration = Duration::from_secs(600);

/// An image on a server.
pub(in crate::agent) struct Image {
    agent: Agent,
    url: String,
    /// For how long a piece is asked for again.
    patience: Duration,
    /// What tells one content from another, as the first answer said it.
    version: Option<String>,
    /// How many bytes there are, once that is known.
    length: Option<u64>,
}

/// The bytes of an image, in order.
pub(in crate::agent) struct Stream {
    /// How many bytes there are.
    pub(in crate::agent) length: u64,
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    /// How many were read; whoever shows progress looks at it.
    pub(in crate::agent) read: Rc<Cell<u64>>,
}

/// Why a piece did not come.
enum Missed {
    /// It may come the next time.
    For(String),
    /// It will not.
    ForGood(String),
}

impl Image {
    pub(in crate::agent) fn new(url: &str) -> Image {
        Image {
            agent: asker(Duration::from_secs(120)),
            url: url.into(),
            patience: PATIENCE,
            version: None,
            length: None,
        }
    }

    /// Begins to fetch it. The next piece is fetched while one is used.
    pub(in crate::agent) fn open(mut self) -> io::Result<Stream> {
        let first = self.piece(0)?;
        let length = self.length.unwrap_or(first.len() as u64);
        let (sender, pieces) = sync_channel(1);
        let from = first.len() as u64;
        thread::Builder::new().spawn(move || self.rest(from, length, &sender))?;
        Ok(Stream {
            length,
            pieces,
            piece: io::Cursor::new(first),
            read: Rc::default(),
        })
    }

    fn rest(mut self, mut at: u64, length: u64, sender: &SyncSender<io::Result<Vec<u8>>>) {
        while at < length {
            let piece = self.piece(at);
            let is_last = piece.is_err();
            at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            // Nobody wants the rest when the image could not be used.
            if sender.send(piece).is_err() || is_last {
                return;
            }
        }
    }

    /// The piece that begins at `at`, however often it has to be asked for.
    fn piece(&mut self, at: u64) -> io::Result<Vec<u8>> {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            failures += 1;
            match self.ask(at) {
                Ok(piece) => return Ok(piece),
                Err(Missed::ForGood(why)) => return Err(io::Error::other(why)),
                Err(Missed::For(why)) if begun.elapsed() >= self.patience => {
                    return Err(io::Error::other(why));
                }
                Err(Missed::For(_)) => thread::sleep(pause::after(failures)),
            }
        }
    }

    fn ask(&mut self, at: u64) -> Result<Vec<u8>, Missed> {
        let range = format!("bytes={at}-{}", at + PIECE - 1);
        let answer = self.agent.get(&self.url).header("Range", range).call();
        let mut answer = answer.map_err(|error| Missed::For(error.to_string()))?;
        let expected = self.heard(&answer, at)?;
        let mut piece = Vec::new();
        let read = answer.body_mut().as_reader().read_to_end(&mut piece);
        read.map_err(|error| Missed::For(error.to_string()))?;
        match piece.len() as u64 == expected {
            true => Ok(piece),
            false => Err(Missed::For("it broke off".into())),
        }
    }

    /// Takes note of what an answer says of the whole; returns how many bytes it has itself.
    fn heard(&mut self, answer: &Response<ureq::Body>, at: u64) -> Result<u64, Missed> {
        let text = |name: &str| {
            let value = answer.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                let why = "its server sends no parts of it (`Range`)";
                return Err(Missed::ForGood(why.into()));
            }
            // It is not there, or not so much of it; a server that has just started may not know it yet.
            status => return Err(Missed::For(format!("the server says {status}"))),
        }
        let range = text("content-range").and_then(|range| read_range(&range));
        let Some((from, to, length)) = range.filter(|(from, ..)| *from == at) else {
            return Err(Missed::ForGood(
                "its server sends other parts than it is asked for".into(),
            ));
        };
        let version = text("etag").or_else(|| text("last-modified"));
        let changed = self.length.is_some_and(|before| before != length)
            || (self.length.is_some() && self.version != version);
        if changed {
            return Err(Missed::ForGood(
                "it was changed while it was fetched".into(),
            ));
        }
        (self.length, self.version) = (Some(length), version);
        Ok(to - from + 1)
    }
}

/// `bytes 0-499/1234` (RFC 9110, 14.4).
fn read_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    let length = length.parse().ok()?;
    (from <= to && to < length).then_some((from, to, length))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            self.read.set(self.read.get() + read as u64);
            if read > 0 || buffer.is_empty() || self.read.get() >= self.length {
                return Ok(read);
            }
            let next = self.pieces.recv();
            let gone = |_| io::Error::other("nobody fetches it any more");
            self.piece = io::Cursor::new(next.map_err(gone)??);
        }
    }
}
