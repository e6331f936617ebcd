//! Runs QEMU as a child process, which ends with this command.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::Context;

use crate::cli::{failure::CliResult, terminal::plain};

/// A running QEMU. It is killed when dropped.
#[derive(Debug)]
pub(super) struct QemuProcess {
    child: Child,
    errors: PathBuf,
}

impl QemuProcess {
    /// Starts QEMU; its standard error goes to a file in `directory`.
    pub(super) fn start(
        qemu: &Path,
        arguments: &[String],
        directory: &Path,
    ) -> CliResult<QemuProcess> {
        let errors = directory.join("errors");
        let child = Command::new(qemu)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            // Ctrl-C must only reach this command, which then ends QEMU.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", qemu.display()))?;
        Ok(QemuProcess { child, errors })
    }

    /// The exit status; `None` while it is running.
    pub(super) fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The text of its standard error.
    pub(super) fn errors(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.errors)?).into())
    }
}

impl Drop for QemuProcess {
    fn drop(&mut self) {
        // Its disk is temporary, so no data is lost. An error means that it has exited already.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!("cannot end QEMU: {error}");
        }
    }
}

/// The output of a machine's serial port.
#[derive(Debug)]
pub(super) struct SerialLog {
    path: PathBuf,
    at: u64,
    text: String,
}

/// The number of bytes that are kept.
const KEPT_BYTES: usize = 16 << 10;

impl SerialLog {
    /// The serial port whose output QEMU writes to `path`.
    pub(super) fn new(path: PathBuf) -> SerialLog {
        SerialLog {
            path,
            at: 0,
            text: String::new(),
        }
    }

    /// Reads new output.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // QEMU has not created it yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        self.at += file.read_to_end(&mut bytes)? as u64;
        self.text += &String::from_utf8_lossy(&bytes);
        let mut cut = self.text.len().saturating_sub(KEPT_BYTES);
        while !self.text.is_char_boundary(cut) {
            cut += 1;
        }
        drop(self.text.drain(..cut));
        Ok(())
    }

    /// Whether the output contains this text.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The last lines, without escape sequences and control characters.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.text.split(['\n', '\r']).map(|line| {
            let line = plain(&without_sequences(line));
            line.trim_end().to_string()
        });
        let mut lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        lines.split_off(lines.len().saturating_sub(count))
    }
}

/// Removes the escape sequences that move a terminal's cursor and set colours (ECMA-48 section 5.4).
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
        // The first of these characters ends the sequence.
        chars.by_ref().find(|c| ('@'..='~').contains(c));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_read_as_they_are_written() {
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
        fs::write(&path, more + &"x".repeat(KEPT_BYTES - 1)).unwrap();
        screen.read().unwrap();
        assert!(!screen.contains("four"));
        assert!(screen.contains("xxx"));
    }
}
