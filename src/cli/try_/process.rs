//! QEMU as a process that ends with us.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::Context;

use crate::cli::{failure::CliResult, terminal::plain};

/// A machine that runs. It is switched off when it is dropped.
#[derive(Debug)]
pub(super) struct QemuProcess {
    child: Child,
    complaints: PathBuf,
}

impl QemuProcess {
    /// Starts QEMU; what it complains of goes to a file in `directory`.
    pub(super) fn start(
        qemu: &Path,
        arguments: &[String],
        directory: &Path,
    ) -> CliResult<QemuProcess> {
        let complaints = directory.join("complaints");
        let child = Command::new(qemu)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&complaints)?)
            // Ctrl-C is for us, and we end it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("`{}` cannot be started", qemu.display()))?;
        Ok(QemuProcess { child, complaints })
    }

    /// How it has ended; none while it runs.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it has complained of.
    pub(super) fn complaints(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.complaints)?).into())
    }
}

impl Drop for QemuProcess {
    fn drop(&mut self) {
        // Its disk is thrown away with it, so nothing need be written. One that has ended cannot be ended.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!("QEMU is left behind: {error}");
        }
    }
}

/// What a machine writes on its serial port.
#[derive(Debug)]
pub(super) struct SerialLog {
    path: PathBuf,
    at: u64,
    text: String,
}

/// So much of it is kept, in bytes.
const KEPT: usize = 16 << 10;

impl SerialLog {
    /// The serial port that is written to `path`.
    pub(super) fn new(path: PathBuf) -> SerialLog {
        SerialLog {
            path,
            at: 0,
            text: String::new(),
        }
    }

    /// Reads on.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // QEMU has not begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.read_to_end(&mut bytes)? as u64;
        self.text += &String::from_utf8_lossy(&bytes);
        let mut cut = self.text.len().saturating_sub(KEPT);
        while !self.text.is_char_boundary(cut) {
            cut += 1;
        }
        drop(self.text.drain(..cut));
        Ok(())
    }

    /// Tells whether this stands on it.
    pub(super) fn shows(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// Its last lines, without what would drive a terminal.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.text.split(['\n', '\r']).map(|line| {
            let line = plain(&without_sequences(line));
            line.trim_end().to_string()
        });
        let mut lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        lines.split_off(lines.len().saturating_sub(count))
    }
}

/// A text without the sequences that move a terminal's cursor and set its colours (ECMA-48 section 5.4).
fn without_sequences(text: &str) -> String {
    let mut left = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            left.push(c);
            continue;
        }
        if chars.next_if_eq(&'[').is_none() {
            continue;
        }
        // It ends with the first of these.
        chars.by_ref().find(|c| ('@'..='~').contains(c));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_read_as_they_come() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("serial");
        let mut screen = SerialLog::new(path.clone());
        screen.read().unwrap();
        assert_eq!(screen.last(3), Vec::<String>::new());
        fs::write(
            &path,
            "one\r\n\u{1b}[2J\u{1b}[01;01Htwo\u{1b}[0m\n\n  three\n",
        )
        .unwrap();
        screen.read().unwrap();
        assert_eq!(screen.last(2), ["two", "  three"]);
        let more = "one\r\n\u{1b}[2J\u{1b}[01;01Htwo\u{1b}[0m\n\n  three\nfour ä".to_string();
        fs::write(&path, more + &"x".repeat(KEPT - 1)).unwrap();
        screen.read().unwrap();
        assert!(!screen.shows("four"));
        assert!(screen.shows("xxx"));
    }
}
