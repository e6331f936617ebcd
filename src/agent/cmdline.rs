//! The words on the kernel's command line that are for us.

use crate::model::Mac;

/// What the command line says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KernelCommandLine {
    /// Where this machine checks in: `bootwright.url=http://192.0.2.1:8080/c/<token>`.
    pub(super) url: Option<String>,
    /// Where its order to write an image is: `bootwright.order=http://192.0.2.1:8080/t/<token>/order.json`.
    pub(super) order: Option<String>,
    /// The card it booted from: `BOOTIF=01-52-54-00-00-00-01`, as PXELINUX writes it.
    pub(super) card: Option<Mac>,
}

impl KernelCommandLine {
    pub(super) fn read(line: &str) -> KernelCommandLine {
        let mut words = KernelCommandLine::default();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(("bootwright.url", url)) => words.url = Some(url.trim_end_matches('/').into()),
                Some(("bootwright.order", url)) => words.order = Some(url.into()),
                // `01` is the type of hardware: Ethernet. What is no MAC names no card.
                Some(("BOOTIF", card)) => {
                    words.card = card.strip_prefix("01-").and_then(|mac| mac.parse().ok());
                }
                _ => {}
            }
        }
        words
    }

    /// Where the server answers: the address without a path.
    pub(super) fn server(&self) -> Option<&str> {
        let url = self.order.as_deref().or(self.url.as_deref())?;
        let path = ["/c/", "/t/"].iter().find_map(|path| url.find(path));
        Some(&url[..path.unwrap_or(url.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_found_among_others() {
        let words = KernelCommandLine::read(
            "initrd=initrd quiet bootwright.url=http://192.0.2.1:8080/c/abc BOOTIF=01-52-54-00-00-00-01 console=ttyS0\n",
        );
        assert_eq!(words.url.as_deref(), Some("http://192.0.2.1:8080/c/abc"));
        assert_eq!(words.server(), Some("http://192.0.2.1:8080"));
        assert_eq!(words.card, Some("52:54:00:00:00:01".parse().unwrap()));
        let words = KernelCommandLine::read("bootwright.order=http://192.0.2.1/t/abc/order.json");
        assert_eq!(
            words.order.as_deref(),
            Some("http://192.0.2.1/t/abc/order.json")
        );
        assert_eq!(words.server(), Some("http://192.0.2.1"));
        assert_eq!(
            KernelCommandLine::read("BOOTIF=eth0 root=/dev/sda"),
            KernelCommandLine::default()
        );
    }
}
