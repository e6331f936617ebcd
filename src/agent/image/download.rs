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

use crate::agent::{backoff, server::asker};

/// How much is asked for at a time, in bytes.
const PIECE: u64 = 8 << 20;

/// For how long a piece is asked for again: of a server that does not answer, and of one that says no, which may have
/// just started.
const PATIENCE: Duration = Duration::from_secs(600);
const REFUSED: Duration = Duration::from_secs(60);

/// An image on a server.
pub(in crate::agent) struct RemoteImage {
    agent: Agent,
    url: String,
    /// How much is asked for at a time, in bytes.
    step: u64,
    /// For how long a piece is asked for again, and where the server says no.
    patience: (Duration, Duration),
    /// What tells one content from another, as the first answer said it.
    version: Option<String>,
    /// How many bytes there are, once that is known.
    length: Option<u64>,
}

/// The bytes of an image, in order.
pub(in crate::agent) struct ImageStream {
    /// How many bytes there are.
    pub(in crate::agent) length: u64,
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    /// How many were read; whoever shows progress looks at it.
    pub(in crate::agent) read: Rc<Cell<u64>>,
}

/// Why a piece did not come.
enum FetchError {
    /// It may come the next time.
    For(String),
    /// The server says no; it may say something else soon.
    Refused(String),
    /// It will not.
    ForGood(String),
}

impl RemoteImage {
    pub(in crate::agent) fn new(url: &str) -> RemoteImage {
        RemoteImage {
            agent: asker(Duration::from_secs(120)),
            url: url.into(),
            step: PIECE,
            patience: (PATIENCE, REFUSED),
            version: None,
            length: None,
        }
    }

    /// Begins to fetch it. The next piece is fetched while one is used.
    pub(in crate::agent) fn open(mut self) -> io::Result<ImageStream> {
        let first = self.piece(0)?;
        let length = self.length.unwrap_or(first.len() as u64);
        let (sender, pieces) = sync_channel(1);
        let from = first.len() as u64;
        thread::Builder::new().spawn(move || self.rest(from, length, &sender))?;
        Ok(ImageStream {
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
                Err(FetchError::ForGood(why)) => return Err(io::Error::other(why)),
                Err(FetchError::For(why)) if begun.elapsed() >= self.patience.0 => {
                    return Err(io::Error::other(why));
                }
                Err(FetchError::Refused(why)) if begun.elapsed() >= self.patience.1 => {
                    return Err(io::Error::other(why));
                }
                Err(_) => thread::sleep(backoff::after(failures)),
            }
        }
    }

    fn ask(&mut self, at: u64) -> Result<Vec<u8>, FetchError> {
        let range = format!("bytes={at}-{}", at + self.step - 1);
        let answer = self.agent.get(&self.url).header("Range", range).call();
        let mut answer = answer.map_err(|error| FetchError::For(error.to_string()))?;
        let expected = self.heard(&answer, at)?;
        let mut piece = Vec::new();
        let read = answer.body_mut().as_reader().read_to_end(&mut piece);
        read.map_err(|error| FetchError::For(error.to_string()))?;
        match piece.len() as u64 == expected {
            true => Ok(piece),
            false => Err(FetchError::For("it broke off".into())),
        }
    }

    /// Takes note of what an answer says of the whole; returns how many bytes it has itself.
    fn heard(&mut self, answer: &Response<ureq::Body>, at: u64) -> Result<u64, FetchError> {
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
                return Err(FetchError::ForGood(why.into()));
            }
            // It is not there, or not so much of it.
            status => return Err(FetchError::Refused(format!("the server says {status}"))),
        }
        let range = text("content-range").and_then(|range| read_range(&range));
        let Some((from, to, length)) = range.filter(|(from, ..)| *from == at) else {
            return Err(FetchError::ForGood(
                "its server sends other parts than it is asked for".into(),
            ));
        };
        let version = text("etag").or_else(|| text("last-modified"));
        let changed = self.length.is_some_and(|before| before != length)
            || (self.length.is_some() && self.version != version);
        if changed {
            return Err(FetchError::ForGood(
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

impl Read for ImageStream {
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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// How a server answers a request for the bytes from `at` on, of `whole`.
    type FakeAnswer = fn(number: usize, at: usize, whole: &[u8]) -> Vec<u8>;

    /// A server that answers one request on each connection; returns its address.
    fn server(whole: Vec<u8>, answer: FakeAnswer) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let mut client = client.unwrap();
                if let Some(at) = range(&client) {
                    // A client that had enough is gone.
                    drop(client.write_all(&answer(number, at, &whole)));
                }
            }
        });
        format!("http://{address}/image")
    }

    fn range(client: &TcpStream) -> Option<usize> {
        let lines = BufReader::new(client).lines().map_while(Result::ok);
        let head = lines.take_while(|line| !line.is_empty());
        let mut ranges = head.filter_map(|line| {
            let line = line.to_ascii_lowercase();
            let from = line
                .strip_prefix("range: bytes=")?
                .split('-')
                .next()?
                .parse();
            from.ok()
        });
        ranges.next()
    }

    /// The part of 10 bytes from `at` on, of a content with this name.
    fn part(at: usize, whole: &[u8], version: &str) -> Vec<u8> {
        let body = &whole[at..whole.len().min(at + 10)];
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {at}-{}/{}\r\nETag: \"{version}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            at + body.len() - 1,
            whole.len(),
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn read(answer: FakeAnswer) -> io::Result<Vec<u8>> {
        let whole: Vec<u8> = (0..35).collect();
        let mut image = RemoteImage::new(&server(whole, answer));
        image.step = 10;
        image.patience = (Duration::from_secs(20), Duration::ZERO);
        let mut stream = image.open()?;
        assert_eq!(stream.length, 35);
        let mut read = Vec::new();
        stream.read_to_end(&mut read)?;
        assert_eq!(stream.read.get(), 35);
        Ok(read)
    }

    fn why(answer: FakeAnswer) -> String {
        read(answer).unwrap_err().to_string()
    }

    #[test]
    fn an_image_comes_in_parts_and_goes_on_where_it_broke_off() {
        let expected: Vec<u8> = (0..35).collect();
        let whole = read(|_, at, whole| part(at, whole, "a")).unwrap();
        assert_eq!(whole, expected);
        // Nobody answers the first, the third breaks off, the fifth has no body.
        let broken = read(|number, at, whole| {
            let whole = part(at, whole, "a");
            match number {
                0 => Vec::new(),
                2 => whole[..whole.len() - 3].into(),
                4 => whole[..whole.len() - 10].into(),
                _ => whole,
            }
        });
        assert_eq!(broken.unwrap(), expected);
    }

    #[test]
    fn what_is_not_this_image_is_not_taken() {
        let changed = why(|_, at, whole| part(at, whole, if at < 20 { "a" } else { "b" }));
        assert_eq!(changed, "it was changed while it was fetched");
        let longer = why(|_, at, whole| part(at, &whole[..if at < 20 { 35 } else { 30 }], "a"));
        assert_eq!(longer, "it was changed while it was fetched");
        let whole = why(|_, _, _| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab".into());
        assert_eq!(whole, "its server sends no parts of it (`Range`)");
        let other = why(|_, _, whole| part(5, whole, "a"));
        assert_eq!(other, "its server sends other parts than it is asked for");
        let missing = why(|_, _, _| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
        assert_eq!(missing, "the server says 404 Not Found");
    }
}
