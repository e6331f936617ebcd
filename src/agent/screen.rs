//! The agent's status screen, on all consoles of the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
};

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The consoles: the screen, and serial ports, one of which a management controller may show.
const CONSOLES: [&str; 4] = ["tty0", "ttyS0", "ttyS1", "hvc0"];

/// The contents of the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ScreenContent {
    pub(super) machine: String,
    pub(super) nic: String,
    pub(super) server: String,
    pub(super) node: String,
    /// The current step.
    pub(super) status: String,
    /// Errors that do not stop the agent.
    pub(super) problems: Vec<String>,
}

pub(super) struct Consoles {
    consoles: Vec<File>,
    last: String,
}

impl Consoles {
    pub(super) fn open() -> Consoles {
        // Otherwise the kernel's messages would overwrite the screen.
        silence_kernel();
        let configured = fs::read_to_string("/proc/consoles").unwrap_or_default();
        let consoles = CONSOLES.iter().filter_map(|name| {
            let options = OpenOptions::new()
                .write(true)
                .custom_flags(O_NOCTTY | O_NONBLOCK)
                .open(format!("/dev/{name}"));
            // Consoles that do not exist are skipped.
            let file = options.ok()?;
            let is_configured = configured.lines().any(|line| line.starts_with(name));
            if name.starts_with("ttyS") && !is_configured {
                // The usual speed of management controllers.
                set_speed(&file);
            }
            Some(file)
        });
        Consoles {
            consoles: consoles.collect(),
            last: String::new(),
        }
    }

    /// Writes the screen if it has changed.
    pub(super) fn show(&mut self, content: &ScreenContent) {
        let text = screen_text(content);
        if text == self.last {
            return;
        }
        let whole = format!("\x1b[2J\x1b[H{}", text.replace('\n', "\r\n"));
        // A console with an error (a serial port without hardware) is not used again.
        self.consoles
            .retain_mut(|console| match console.write_all(whole.as_bytes()) {
                Ok(()) => true,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
        self.last = text;
    }
}

fn silence_kernel() {
    // Only emergencies. If this fails, the kernel's messages appear on the screen too.
    drop(fs::write("/proc/sys/kernel/printk", "1\n"));
}

fn set_speed(file: &File) {
    let set = tcgetattr(file).and_then(|mut settings| {
        settings.set_speed(115_200)?;
        tcsetattr(file, OptionalActions::Now, &settings)
    });
    // A console without a speed setting is not a serial port and needs none.
    set.unwrap_or(());
}

fn screen_text(content: &ScreenContent) -> String {
    let mut text = format!("Bootwright {}\n\n", env!("CARGO_PKG_VERSION"));
    let rows = [
        ("machine", &content.machine),
        ("NIC", &content.nic),
        ("server", &content.server),
        ("node", &content.node),
        ("status", &content.status),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {name:<9}{}\n", plain(value));
    }
    for problem in &content.problems {
        text += &format!("  {:<9}{}\n", "problem", plain(problem));
    }
    text
}

/// Text of a server or a board, without control characters.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_has_a_row_for_each_value() {
        let content = ScreenContent {
            machine: "QEMU Standard PC, serial 7".into(),
            nic: "52:54:00:00:00:01, 192.0.2.57/24".into(),
            server: "http://192.0.2.1:8080".into(),
            node: "web7".into(),
            status: "waiting: no policy matches it; next poll in 33 s".into(),
            problems: vec!["module mlx5_core: \x1b[2Jno such file".into()],
        };
        let text = screen_text(&content);
        let expected = format!(
            "Bootwright {}\n\n\
            \x20 machine  QEMU Standard PC, serial 7\n\
            \x20 NIC      52:54:00:00:00:01, 192.0.2.57/24\n\
            \x20 server   http://192.0.2.1:8080\n\
            \x20 node     web7\n\
            \x20 status   waiting: no policy matches it; next poll in 33 s\n\
            \x20 problem  module mlx5_core:  [2Jno such file\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, expected);
    }
}
