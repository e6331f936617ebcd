//! Parses ESXi's boot.cfg as its loader does.

use super::ipxe::join;

/// The settings of a boot.cfg that the loader uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct MbootConfig {
    /// The URLs of the kernel and the modules, in order.
    pub(super) files: Vec<String>,
    /// The kernel's arguments.
    pub(super) kernel_arguments: Vec<String>,
}

impl MbootConfig {
    /// Parses the text fetched from `url`. File names are relative to `prefix`; without one, to the boot.cfg.
    pub(super) fn read(url: &str, text: &str) -> MbootConfig {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .rev()
                .find(|(name, _)| name.trim() == key)
                .map_or("", |(_, value)| value.trim())
        };
        let prefix = match value("prefix") {
            "" => url.into(),
            prefix => join(url, &format!("{}/", prefix.trim_end_matches('/'))),
        };
        let modules = value("modules").split("---").map(str::trim);
        // A module's name may be followed by its arguments.
        let names = modules.filter_map(|module| module.split_whitespace().next());
        let names = [value("kernel")]
            .into_iter()
            .chain(names)
            .filter(|name| !name.is_empty());
        MbootConfig {
            files: names
                .map(|name| join(&prefix, name.trim_start_matches('/')))
                .collect(),
            kernel_arguments: value("kernelopt")
                .split_whitespace()
                .map(String::from)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_urls_are_relative_to_the_prefix() {
        let text = "title=x\nprefix=http://s/repo/esxi\nkernel=b.b00\nkernelopt=runweasel ks=http://s/t/1/ks.cfg\nmodules=a.gz --- /b.gz option --- c.v00\n";
        let read = MbootConfig::read("http://s/t/1/01-00/boot.cfg", text);
        assert_eq!(
            read.files,
            ["b.b00", "a.gz", "b.gz", "c.v00"].map(|name| format!("http://s/repo/esxi/{name}"))
        );
        assert_eq!(
            read.kernel_arguments,
            ["runweasel", "ks=http://s/t/1/ks.cfg"]
        );
        let beside = MbootConfig::read("http://s/esxi/boot.cfg", "prefix=\nkernel=/k\n");
        assert_eq!(beside.files, ["http://s/esxi/k"]);
        assert_eq!(MbootConfig::read("http://s/x", ""), MbootConfig::default());
    }
}
