//! Downloads an image in parts. A part that fails is requested again, so that a restart of the server does not interrupt the
//! download.

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

use crate::agent::{backoff, server::http_client};

/// The size of one part in bytes.
const PART_BYTES: u64 = 8 << 20;

/// How long a part is requested again if the server does not answer.
const UNREACHABLE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a part is requested again if the server answers with an error, which it may do while it starts.
const ERROR_TIMEOUT: Duration = Duration::from_secs(60);

/// An image on a server.
pub(in crate::agent) struct RemoteImage {
    agent: Agent,
    url: String,
    /// The size of one part in bytes.
    part_bytes: u64,
    /// How long a part is requested again: without an answer, and with an error as the answer.
    timeouts: (Duration, Duration),
    /// The `ETag` or `Last-Modified` of the first response.
    version: Option<String>,
    /// The length in bytes, once known.
    length: Option<u64>,
}

/// The bytes of an image.
pub(in crate::agent) struct ImageStream {
    /// The length in bytes.
    pub(in crate::agent) length: u64,
    parts: Receiver<io::Result<Vec<u8>>>,
    part: io::Cursor<Vec<u8>>,
    /// The number of bytes read, shared for the display of progress.
    pub(in crate::agent) read: Rc<Cell<u64>>,
}

/// Why a part was not received.
enum FetchError {
    /// The server did not answer, or the response was incomplete.
    Unreachable(String),
    /// The server answered with an error, which may be temporary.
    Refused(String),
    /// A retry cannot succeed.
    Permanent(String),
}

impl RemoteImage {
    pub(in crate::agent) fn new(url: &str) -> RemoteImage {
        RemoteImage {
            agent: http_client(Duration::from_secs(120)),
            url: url.into(),
            part_bytes: PART_BYTES,
            timeouts: (UNREACHABLE_TIMEOUT, ERROR_TIMEOUT),
            version: None,
            length: None,
        }
    }

    /// Starts the download. The next part is fetched while the current one is read.
    pub(in crate::agent) fn open(mut self) -> io::Result<ImageStream> {
        let first = self.fetch_part(0)?;
        let length = self.length.unwrap_or(first.len() as u64);
        let (sender, parts) = sync_channel(1);
        let from = first.len() as u64;
        thread::Builder::new().spawn(move || self.fetch_rest(from, length, &sender))?;
        Ok(ImageStream {
            length,
            parts,
            part: io::Cursor::new(first),
            read: Rc::default(),
        })
    }

    fn fetch_rest(mut self, mut at: u64, length: u64, sender: &SyncSender<io::Result<Vec<u8>>>) {
        while at < length {
            let part = self.fetch_part(at);
            let is_last = part.is_err();
            at += part.as_ref().map_or(0, |part| part.len() as u64);
            // The receiver is dropped if the image could not be used.
            if sender.send(part).is_err() || is_last {
                return;
            }
        }
    }

    /// Fetches the part at this offset, with retries.
    fn fetch_part(&mut self, at: u64) -> io::Result<Vec<u8>> {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            failures += 1;
            match self.request(at) {
                Ok(part) => return Ok(part),
                Err(FetchError::Permanent(reason)) => return Err(io::Error::other(reason)),
                Err(FetchError::Unreachable(reason)) if begun.elapsed() >= self.timeouts.0 => {
                    return Err(io::Error::other(reason));
                }
                Err(FetchError::Refused(reason)) if begun.elapsed() >= self.timeouts.1 => {
                    return Err(io::Error::other(reason));
                }
                Err(_) => thread::sleep(backoff::after(failures)),
            }
        }
    }

    fn request(&mut self, at: u64) -> Result<Vec<u8>, FetchError> {
        let range = format!("bytes={at}-{}", at + self.part_bytes - 1);
        let answer = self.agent.get(&self.url).header("Range", range).call();
        let mut answer = answer.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        let expected = self.check_headers(&answer, at)?;
        let mut part = Vec::new();
        let read = answer.body_mut().as_reader().read_to_end(&mut part);
        read.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        match part.len() as u64 == expected {
            true => Ok(part),
            false => Err(FetchError::Unreachable(
                "the response was incomplete".into(),
            )),
        }
    }

    /// Checks that a response has the requested part of the same image; returns the length of the part.
    fn check_headers(&mut self, answer: &Response<ureq::Body>, at: u64) -> Result<u64, FetchError> {
        let text = |name: &str| {
            let value = answer.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK => {
                let reason = "its server does not support range requests";
                return Err(FetchError::Permanent(reason.into()));
            }
            // The image does not exist, or is shorter.
            status => return Err(FetchError::Refused(format!("the server answered {status}"))),
        }
        let range = text("content-range").and_then(|range| read_range(&range));
        let Some((from, to, length)) = range.filter(|(from, ..)| *from == at) else {
            return Err(FetchError::Permanent(
                "its server sent another range than requested".into(),
            ));
        };
        let version = text("etag").or_else(|| text("last-modified"));
        let changed = self.length.is_some_and(|before| before != length)
            || (self.length.is_some() && self.version != version);
        if changed {
            return Err(FetchError::Permanent(
                "it changed during the download".into(),
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
            let read = self.part.read(buffer)?;
            self.read.set(self.read.get() + read as u64);
            if read > 0 || buffer.is_empty() || self.read.get() >= self.length {
                return Ok(read);
            }
            let next = self.parts.recv();
            let ended = |_| io::Error::other("the download thread ended");
            self.part = io::Cursor::new(next.map_err(ended)??);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tiny_http::{Request, Server};
    use ureq::{
        SendBody,
        http::{self, HeaderValue},
        middleware::MiddlewareNext,
    };

    use super::*;
    use crate::agent::server::client_config;

    /// How a server answers a request for the bytes from `at` on, of `whole`.
    type FakeAnswer = fn(number: usize, at: usize, whole: &[u8]) -> Vec<u8>;

    /// A server that closes the connection after each answer, whole or not; returns its address.
    fn server(whole: Vec<u8>, answer: FakeAnswer) -> String {
        let server = Server::http("127.0.0.1:0").unwrap();
        let address = server.server_addr();
        thread::spawn(move || {
            for (number, request) in server.incoming_requests().enumerate() {
                let answer = answer(number, first_byte(&request), &whole);
                // The client may have closed the connection.
                drop(request.into_writer().write_all(&answer));
            }
        });
        format!("http://{address}/image")
    }

    fn first_byte(request: &Request) -> usize {
        let mut headers = request.headers().iter();
        let range = headers.find(|header| header.field.equiv("Range")).unwrap();
        let range = range.value.as_str().strip_prefix("bytes=").unwrap();
        range.split('-').next().unwrap().parse().unwrap()
    }

    /// The client, which asks the server to close the connection.
    fn closing_agent() -> Agent {
        let config = client_config(Duration::from_secs(120));
        let close = |mut request: http::Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
            let headers = request.headers_mut();
            headers.insert("connection", HeaderValue::from_static("close"));
            next.handle(request)
        };
        config.middleware(close).build().into()
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
        image.agent = closing_agent();
        image.part_bytes = 10;
        image.timeouts = (Duration::from_secs(20), Duration::ZERO);
        let mut stream = image.open()?;
        assert_eq!(stream.length, 35);
        let mut read = Vec::new();
        stream.read_to_end(&mut read)?;
        assert_eq!(stream.read.get(), 35);
        Ok(read)
    }

    fn error_of(answer: FakeAnswer) -> String {
        read(answer).unwrap_err().to_string()
    }

    #[test]
    fn an_image_is_downloaded_in_parts_with_retries() {
        let expected: Vec<u8> = (0..35).collect();
        let whole = read(|_, at, whole| part(at, whole, "a")).unwrap();
        assert_eq!(whole, expected);
        // No response to the first request; the third is incomplete; the fifth has no body.
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
    fn a_different_image_is_an_error() {
        let changed = error_of(|_, at, whole| part(at, whole, if at < 20 { "a" } else { "b" }));
        assert_eq!(changed, "it changed during the download");
        let longer =
            error_of(|_, at, whole| part(at, &whole[..if at < 20 { 35 } else { 30 }], "a"));
        assert_eq!(longer, "it changed during the download");
        let whole = error_of(|_, _, _| b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab".into());
        assert_eq!(whole, "its server does not support range requests");
        let other = error_of(|_, _, whole| part(5, whole, "a"));
        assert_eq!(other, "its server sent another range than requested");
        let missing =
            error_of(|_, _, _| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
        assert_eq!(missing, "the server answered 404 Not Found");
    }
}
