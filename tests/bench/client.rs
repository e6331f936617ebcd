//! Requests over connections that stay open, with as little work in between as can be.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

/// One connection to a server.
pub(crate) struct Client {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            host: format!("127.0.0.1:{port}"),
            stream: BufReader::new(stream),
        })
    }

    /// Gets what a path leads to.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let host = &self.host;
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Gives an order with a body of JSON.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let host = &self.host;
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask(&mut self, request: &str) -> io::Result<Vec<u8>> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut length, mut head) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head.is_empty() {
                head.clone_from(&line);
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if !head.starts_with("HTTP/1.1 200") {
            let body = String::from_utf8_lossy(&body);
            return Err(io::Error::other(format!("{}: {body}", head.trim())));
        }
        Ok(body)
    }
}
