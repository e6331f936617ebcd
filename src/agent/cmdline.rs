//! The agent's parameters on the kernel's command line.

use crate::model::Mac;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KernelCommandLine {
    /// The URL for check-in: `bootwright.url=http://192.0.2.1:8080/c/<token>`.
    pub(super) check_in_url: Option<String>,
    /// The URL of the instruction to write an image: `bootwright.order=http://192.0.2.1:8080/t/<token>/order.json`.
    pub(super) instruction_url: Option<String>,
    /// The MAC of the NIC it booted from: `BOOTIF=01-52-54-00-00-00-01`, as PXELINUX writes it.
    pub(super) boot_mac: Option<Mac>,
}

impl KernelCommandLine {
    pub(super) fn read(line: &str) -> KernelCommandLine {
        let mut parameters = KernelCommandLine::default();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(("bootwright.url", url)) => {
                    parameters.check_in_url = Some(url.trim_end_matches('/').into())
                }
                Some(("bootwright.order", url)) => parameters.instruction_url = Some(url.into()),
                // `01` is the hardware type Ethernet. An invalid MAC is ignored.
                Some(("BOOTIF", address)) => {
                    parameters.boot_mac =
                        address.strip_prefix("01-").and_then(|mac| mac.parse().ok());
                }
                _ => {}
            }
        }
        parameters
    }

    /// The server's URL without a path.
    pub(super) fn server(&self) -> Option<&str> {
        let url = self
            .instruction_url
            .as_deref()
            .or(self.check_in_url.as_deref())?;
        let path = ["/c/", "/t/"].iter().find_map(|path| url.find(path));
        Some(&url[..path.unwrap_or(url.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_parsed_among_others() {
        let parameters = KernelCommandLine::read(
            "initrd=initrd quiet bootwright.url=http://192.0.2.1:8080/c/abc BOOTIF=01-52-54-00-00-00-01 console=ttyS0\n",
        );
        assert_eq!(
            parameters.check_in_url.as_deref(),
            Some("http://192.0.2.1:8080/c/abc")
        );
        assert_eq!(parameters.server(), Some("http://192.0.2.1:8080"));
        assert_eq!(
            parameters.boot_mac,
            Some("52:54:00:00:00:01".parse().unwrap())
        );
        let parameters =
            KernelCommandLine::read("bootwright.order=http://192.0.2.1/t/abc/order.json");
        assert_eq!(
            parameters.instruction_url.as_deref(),
            Some("http://192.0.2.1/t/abc/order.json")
        );
        assert_eq!(parameters.server(), Some("http://192.0.2.1"));
        assert_eq!(
            KernelCommandLine::read("BOOTIF=eth0 root=/dev/sda"),
            KernelCommandLine::default()
        );
    }
}
