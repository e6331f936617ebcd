//! One readable screen on every console that the machine has.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
};

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Where somebody may look: the screen, and the first serial ports, one of which a management controller may show.
const CONSOLES: [&str; 4] = ["tty0", "ttyS0", "ttyS1", "hvc0"];

/// What stands on the screen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ScreenContent {
    pub(super) machine: String,
    pub(super) card: String,
    pub(super) server: String,
    pub(super) node: String,
    /// What it does now, or waits for.
    pub(super) doing: String,
    /// What does not work.
    pub(super) trouble: Vec<String>,
}

/// The consoles.
pub(super) struct Consoles {
    consoles: Vec<File>,
    last: String,
}

impl Consoles {
    pub(super) fn open() -> Consoles {
        // The kernel's own lines would run over it.
        quieten();
        let configured = fs::read_to_string("/proc/consoles").unwrap_or_default();
        let consoles = CONSOLES.iter().filter_map(|name| {
            let options = OpenOptions::new()
                .write(true)
                .custom_flags(O_NOCTTY | O_NONBLOCK)
                .open(format!("/dev/{name}"));
            // A console that this machine does not have shows nothing.
            let file = options.ok()?;
            let is_configured = configured.lines().any(|line| line.starts_with(name));
            if name.starts_with("ttyS") && !is_configured {
                // The usual speed of management controllers; a port that takes none is written to as it is.
                faster(&file);
            }
            Some(file)
        });
        Consoles {
            consoles: consoles.collect(),
            last: String::new(),
        }
    }

    /// Shows this, where it is something new.
    pub(super) fn show(&mut self, shown: &ScreenContent) {
        let text = written(shown);
        if text == self.last {
            return;
        }
        let whole = format!("\x1b[2J\x1b[H{}", text.replace('\n', "\r\n"));
        // A console that takes nothing (a serial port that is not there) is not asked again.
        self.consoles
            .retain_mut(|console| match console.write_all(whole.as_bytes()) {
                Ok(()) => true,
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            });
        self.last = text;
    }
}

fn quieten() {
    // Emergencies alone. Where it cannot be set, the kernel's lines are seen too, and nothing else is lost.
    drop(fs::write("/proc/sys/kernel/printk", "1\n"));
}

fn faster(file: &File) {
    let set = tcgetattr(file).and_then(|mut settings| {
        settings.set_speed(115_200)?;
        tcsetattr(file, OptionalActions::Now, &settings)
    });
    // A port that takes no speed is no serial port, and shows what it is given.
    set.unwrap_or(());
}

fn written(shown: &ScreenContent) -> String {
    let mut text = format!("Bootwright {}\n\n", env!("CARGO_PKG_VERSION"));
    let rows = [
        ("machine", &shown.machine),
        ("card", &shown.card),
        ("server", &shown.server),
        ("node", &shown.node),
        ("now", &shown.doing),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("  {name:<9}{}\n", plain(value));
    }
    for trouble in &shown.trouble {
        text += &format!("  {:<9}{}\n", "trouble", plain(trouble));
    }
    text
}

/// What a server or a board says, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_says_who_and_what_it_waits_for() {
        let shown = ScreenContent {
            machine: "QEMU Standard PC, serial 7".into(),
            card: "52:54:00:00:00:01, 192.0.2.57/24".into(),
            server: "http://192.0.2.1:8080".into(),
            node: "web7".into(),
            doing: "waits: no policy takes it; asks again in 33 s".into(),
            trouble: vec!["module mlx5_core: \x1b[2Jno such file".into()],
        };
        let text = written(&shown);
        let expected = format!(
            "Bootwright {}\n\n\
            \x20 machine  QEMU Standard PC, serial 7\n\
            \x20 card     52:54:00:00:00:01, 192.0.2.57/24\n\
            \x20 server   http://192.0.2.1:8080\n\
            \x20 node     web7\n\
            \x20 now      waits: no policy takes it; asks again in 33 s\n\
            \x20 trouble  module mlx5_core:  [2Jno such file\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, expected);
    }
}
