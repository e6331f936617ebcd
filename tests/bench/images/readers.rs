//! Readers: threads with their own connections, which discard the body.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use super::servers::Server;

/// The buffer size of one read.
const PART: usize = 256 << 10;

/// The number of bytes after which a download waits for the others, and the number that it reads after that.
const PAUSE_AFTER: u64 = 1 << 20;
const CONTINUED_BYTES: u64 = 8 << 20;

/// Downloads the whole file of `length` bytes with this number of parallel readers. Returns the total duration.
pub(crate) fn read(server: &Server, readers: usize, length: u64) -> anyhow::Result<Duration> {
    let start = Barrier::new(readers + 1);
    let one = || {
        let stream = ask(server);
        start.wait();
        let mut stream = stream?;
        let count = take(&mut stream, u64::MAX)?;
        anyhow::ensure!(count == length, "{} sent {count} bytes", server.name);
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..readers).map(|_| scope.spawn(one)).collect();
        start.wait();
        let began = Instant::now();
        for thread in threads {
            thread.join().expect("a reader does not panic")?;
        }
        Ok(began.elapsed())
    })
}

/// Starts this number of downloads, calls a function when all have started, and then continues them for some time.
pub(crate) fn together<T>(
    server: &Server,
    downloads: usize,
    look: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let [begun, on_arp_reply] = [(); 2].map(|()| Barrier::new(downloads + 1));
    let one = || -> anyhow::Result<()> {
        let first = ask(server).and_then(|mut stream| {
            let count = take(&mut stream, PAUSE_AFTER)?;
            Ok((stream, count))
        });
        begun.wait();
        on_arp_reply.wait();
        let (mut stream, count) = first?;
        let more = take(&mut stream, CONTINUED_BYTES)?;
        anyhow::ensure!(
            count >= PAUSE_AFTER && more >= CONTINUED_BYTES,
            "a download ended early"
        );
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..downloads).map(|_| scope.spawn(one)).collect();
        begun.wait();
        // Wait until the server has filled its buffers.
        thread::sleep(Duration::from_secs(1));
        let seen = look();
        on_arp_reply.wait();
        for thread in threads {
            thread.join().expect("a download does not panic")?;
        }
        seen
    })
}

/// Requests the file, and reads the headers of the answer.
fn ask(server: &Server) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let (path, host) = (&server.path, server.address);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{}: {head}", server.name);
    Ok(stream)
}

/// Reads to the end, or until at least `most` bytes were read. Returns their number.
fn take(stream: &mut TcpStream, most: u64) -> anyhow::Result<u64> {
    let mut part = vec![0; PART];
    let mut count = 0;
    while count < most {
        match stream.read(&mut part)? {
            0 => break,
            read => count += read as u64,
        }
    }
    Ok(count)
}
