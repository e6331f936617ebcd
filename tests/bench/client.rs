//! A client with persistent connections and as little overhead as possible.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

pub(crate) struct Client {
    host: String,
    /// The header with the operators' token, and its line end.
    authorization: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Client::connect_to((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects to the operators' port of this machine.
    pub(crate) fn connect_to_operators(port: u16, token: &str) -> io::Result<Self> {
        let authorization = format!("Authorization: Bearer {token}\r\n");
        Ok(Client {
            authorization,
            ..Client::connect(port)?
        })
    }

    /// Connects to any address.
    pub(crate) fn connect_to(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Client {
            host: server.to_string(),
            authorization: String::new(),
            stream: BufReader::new(stream),
        })
    }

    /// Requests a path and returns the body.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let (host, authorization) = (&self.host, &self.authorization);
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n"
        ))
    }

    /// Requests a path and discards the body. Returns its length in bytes.
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

    /// Sends a `POST` request with a JSON body.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let (host, authorization) = (&self.host, &self.authorization);
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
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

    /// Sends a request. Returns the first line of the answer and the length of the body, which follows.
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
