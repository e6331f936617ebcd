//! Requests over connections that stay open, with as little work in between as can be.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

/// One connection to a server.
pub(crate) struct Client {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Client::connect_to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects to any address.
    pub(crate) fn connect_to(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Client {
            host: server.to_string(),
            stream: BufReader::new(stream),
        })
    }

    /// Gets what a path leads to.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let host = &self.host;
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Gets what a path leads to and throws it away; returns its length in bytes.
    pub(crate) fn drain(&mut self, path: &str) -> io::Result<usize> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        let (head, length) = self.begin(&request)?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(io::Error::other(head.trim().to_string()));
        }
        let mut part = vec![0; 64 << 10];
        let mut left = length;
        while left > 0 {
            let most = left.min(part.len());
            let count = self.stream.read(&mut part[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count;
        }
        Ok(length)
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
        let (head, length) = self.begin(request)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if !head.starts_with("HTTP/1.1 200") {
            let body = String::from_utf8_lossy(&body);
            return Err(io::Error::other(format!("{}: {body}", head.trim())));
        }
        Ok(body)
    }

    /// Asks; returns the first line of the answer and the length of its body, which comes next.
    fn begin(&mut self, request: &str) -> io::Result<(String, usize)> {
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
                return Ok((head, length));
            }
        }
    }
}
