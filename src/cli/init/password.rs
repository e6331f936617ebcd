//! Asks for a password on the terminal, without showing what is typed.

use std::io::{self, BufRead, Write};

use anyhow::anyhow;
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::cli::failure::{CliResult, Failure};

/// What the terminal sends for ^C while it raises no signals.
const INTERRUPT: char = '\u{3}';

/// Asks until the same is typed twice; none when nothing is typed.
pub(super) fn ask() -> CliResult<Option<String>> {
    loop {
        let password = line("Root password for installed machines (empty: none, keys only): ")?;
        if password.is_empty() {
            return Ok(None);
        }
        if line("Once more: ")? == password {
            return Ok(Some(password));
        }
        say("These were not the same.\n")?;
    }
}

fn line(question: &str) -> CliResult<String> {
    say(question)?;
    let mut text = String::new();
    {
        let _silence = EchoOff::begin()?;
        io::stdin().lock().read_line(&mut text)?;
    }
    say("\n")?;
    if text.contains(INTERRUPT) {
        return Err(Failure::refused(anyhow!("broken off; nothing was written")));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_string())
}

fn say(text: &str) -> io::Result<()> {
    let mut screen = io::stderr().lock();
    screen.write_all(text.as_bytes())?;
    screen.flush()
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn begin() -> io::Result<EchoOff> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // A signal would end the program with the terminal still silent.
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ISIG);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(EchoOff(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be set back.
        if tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0).is_err() {}
    }
}
