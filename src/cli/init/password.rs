//! Prompts for a password on the terminal, without echo.

use std::io::{self, BufRead, Write};

use anyhow::anyhow;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::cli::failure::{CliResult, Failure};

/// The character of Ctrl-C while the terminal sends no signals.
const INTERRUPT: char = '\u{3}';

/// Prompts until the same password is entered twice; `None` for an empty one.
pub(super) fn prompt() -> CliResult<Option<String>> {
    loop {
        let password =
            line("Root password for installed machines (empty: no password, SSH keys only): ")?;
        if password.is_empty() {
            return Ok(None);
        }
        if line("Repeat: ")? == password {
            return Ok(Some(password));
        }
        write("The passwords differ.\n")?;
    }
}

fn line(prompt: &str) -> CliResult<String> {
    write(prompt)?;
    let mut text = String::new();
    {
        let _echo_off = EchoOff::begin()?;
        io::stdin().lock().read_line(&mut text)?;
    }
    write("\n")?;
    if text.contains(INTERRUPT) {
        return Err(Failure::refused(anyhow!(
            "interrupted; nothing was written"
        )));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_string())
}

fn write(text: &str) -> io::Result<()> {
    let mut screen = io::stderr().lock();
    screen.write_all(text.as_bytes())?;
    screen.flush()
}

/// Turns the terminal's echo off until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn begin() -> io::Result<EchoOff> {
        let before = tcgetattr(io::stdin())?;
        let mut without_echo = before.clone();
        // A signal would end the program with the echo still off.
        without_echo
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &without_echo)?;
        Ok(EchoOff(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // An error means that the terminal is gone.
        if tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0).is_err() {}
    }
}
