//! Checks ESXi's boot.cfg.

use crate::model::Mac;

use super::RuleViolation;

/// What a boot.cfg is checked against.
pub struct BootCfgRequirements<'a> {
    /// The MAC that `BOOTIF` must contain; none: any.
    pub mac: Option<Mac>,
    /// Whether the image has a file, by its path in lower case.
    pub has: Box<dyn Fn(&str) -> bool + 'a>,
}

/// The keys whose values are numbers (esx-boot, `mboot/config.c`).
const NUMBERS: [&str; 11] = [
    "bootstate",
    "timeout",
    "nobootif",
    "noquirks",
    "norts",
    "nativehttp",
    "runtimewd",
    "runtimewdtimeout",
    "tftpblksize",
    "skip",
    "errtimeout",
];

/// A release of ESXi: 7.0.3 is 7.0 Update 3.
type EsxiVersion = (u32, u32, u32);

/// The first release whose loader supports a key, and the first that no longer does. Other loaders ignore the key.
const SUPPORTED_SINCE: [(&str, EsxiVersion, Option<EsxiVersion>); 11] = [
    ("nobootif", (6, 0, 0), None),
    ("noquirks", (6, 0, 0), None),
    ("norts", (6, 0, 0), None),
    ("crypto", (7, 0, 2), None),
    ("nativehttp", (7, 0, 2), Some((9, 0, 0))),
    ("runtimewd", (8, 0, 0), None),
    ("runtimewdtimeout", (8, 0, 0), None),
    ("tftpblksize", (8, 0, 0), None),
    ("acpitables", (8, 0, 0), None),
    ("skip", (8, 0, 1), None),
    ("errtimeout", (8, 0, 1), None),
];

/// Returns every rule that a machine's boot.cfg breaks.
pub fn check_boot_cfg(text: &str, expected: &BootCfgRequirements<'_>) -> Vec<RuleViolation> {
    let mut violations: Vec<RuleViolation> = bytes(text).into_iter().collect();
    let mut pairs: Vec<(usize, String, &str)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        match line.split_once('=') {
            _ if line.is_empty() || line.starts_with('#') => {}
            Some((key, value)) => {
                pairs.push((at + 1, key.trim().to_ascii_lowercase(), value.trim()))
            }
            None => violations.push(RuleViolation::error(
                1,
                at + 1,
                "this is neither `key=value` nor a comment",
            )),
        }
    }
    violations.extend(once(&pairs));
    for (number, key, value) in &pairs {
        if NUMBERS.contains(&key.as_str()) && !is_number(value) {
            violations.push(RuleViolation::error(
                3,
                *number,
                format!("`{key}` must be a number, or the loader stops"),
            ));
        }
        match key.as_str() {
            "kernel" => violations.extend(file(*number, value, expected)),
            "crypto" if !value.is_empty() => violations.extend(file(*number, value, expected)),
            "modules" | "acpitables" => {
                // A module's name is followed by its own command line.
                let names = value.split("---").map(|one| one.split_whitespace().next());
                violations.extend(
                    names
                        .flatten()
                        .filter_map(|name| file(*number, name, expected)),
                );
            }
            "prefix" if !is_web(value) => {
                violations.push(RuleViolation::error(
                    6,
                    *number,
                    "a loader that was loaded over HTTP needs an absolute URL here",
                ));
            }
            "kernelopt" => violations.extend(kernelopt(*number, value, expected)),
            _ => {}
        }
    }
    violations.extend(unsupported(&pairs));
    violations.sort_by_key(|violation| (violation.line, violation.rule));
    violations
}

fn bytes(text: &str) -> Option<RuleViolation> {
    let bad = |line: &str| !line.is_ascii() || line.ends_with('\r');
    let at = text.split('\n').position(bad)?;
    Some(RuleViolation::error(
        11,
        at + 1,
        "this is not ASCII with Unix line endings",
    ))
}

fn once(pairs: &[(usize, String, &str)]) -> Vec<RuleViolation> {
    let mut violations = Vec::new();
    for key in ["kernel", "modules", "kernelopt"] {
        let lines: Vec<usize> = pairs
            .iter()
            .filter(|(_, known, _)| known == key)
            .map(|(number, ..)| *number)
            .collect();
        match lines.as_slice() {
            [_] => {}
            [] => violations.push(RuleViolation::error(2, 1, format!("there is no `{key}=`"))),
            [_, second, ..] => violations.push(RuleViolation::error(
                2,
                *second,
                format!("`{key}=` is repeated"),
            )),
        }
    }
    violations
}

fn file(number: usize, path: &str, expected: &BootCfgRequirements<'_>) -> Option<RuleViolation> {
    if path.starts_with(['/', '\\']) {
        return Some(RuleViolation::error(
            4,
            number,
            format!("`{path}` begins with a slash, so `prefix` is ignored"),
        ));
    }
    (!(expected.has)(&path.to_lowercase()))
        .then(|| RuleViolation::error(5, number, format!("the image has no file `{path}`")))
}

fn is_web(url: &str) -> bool {
    url.strip_prefix("http://")
        .is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/') && !rest.contains("//"))
}

fn kernelopt(number: usize, value: &str, expected: &BootCfgRequirements<'_>) -> Vec<RuleViolation> {
    let mut violations = Vec::new();
    let words: Vec<&str> = value.split_whitespace().collect();
    let documents: Vec<&str> = words
        .iter()
        .filter_map(|word| word.strip_prefix("ks="))
        .collect();
    match documents.as_slice() {
        [url] if has_address(url) => {}
        [_] => violations.push(RuleViolation::error(
            7,
            number,
            "`ks=` must be an http URL with an IP address, since names cannot be resolved yet",
        )),
        _ => violations.push(RuleViolation::error(
            7,
            number,
            "there must be exactly one `ks=`",
        )),
    }
    if !words.contains(&"runweasel") {
        violations.push(RuleViolation::error(
            8,
            number,
            "without `runweasel` the installer does not start",
        ));
    }
    if words
        .iter()
        .any(|word| word.eq_ignore_ascii_case("cdromBoot"))
    {
        violations.push(RuleViolation::error(
            8,
            number,
            "`cdromBoot` makes the installer search for a CD-ROM",
        ));
    }
    for bootif in words.iter().filter_map(|word| word.strip_prefix("BOOTIF=")) {
        let mac = bootif
            .strip_prefix("01-")
            .filter(|mac| !mac.bytes().any(|byte| byte.is_ascii_uppercase()));
        let mac = mac
            .filter(|mac| mac.len() == 17 && mac.contains('-'))
            .and_then(|mac| mac.parse::<Mac>().ok());
        if mac.is_none() || expected.mac.is_some_and(|expected| mac != Some(expected)) {
            violations.push(RuleViolation::error(
                9,
                number,
                "`BOOTIF` must be `01-` and the MAC address in lower case with hyphens",
            ));
        }
    }
    violations
}

fn has_address(url: &str) -> bool {
    let host = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    let socket = host.parse::<std::net::SocketAddr>().is_ok();
    let plain = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<std::net::IpAddr>()
        .is_ok();
    socket || plain
}

/// Whether the loader accepts a value as a number: digits, optionally after a minus. An empty value is zero.
fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    value.is_empty() || !digits.starts_with(['+', '-']) && value.parse::<i32>().is_ok()
}

/// Reports keys that the image's loader does not support yet, or no longer.
fn unsupported(pairs: &[(usize, String, &str)]) -> Vec<RuleViolation> {
    let build = pairs.iter().rev().find(|(_, key, _)| key == "build");
    let Some(version) = build.and_then(|(_, _, build)| version(build)) else {
        return Vec::new();
    };
    let is_known = |key: &str| {
        let entry = SUPPORTED_SINCE.iter().find(|(known, ..)| *known == key);
        entry.is_none_or(|(_, since, before)| {
            *since <= version && before.is_none_or(|before| version < before)
        })
    };
    let unknown = pairs.iter().filter(|(_, key, _)| !is_known(key));
    let (major, minor, update) = version;
    unknown
        .map(|(number, key, _)| {
            let message =
                format!("the loader of {major}.{minor}.{update} does not support `{key}`");
            RuleViolation::error(10, *number, message)
        })
        .collect()
}

/// Parses `7.0.3-0.35.19482537`.
fn version(build: &str) -> Option<EsxiVersion> {
    let mut parts = build.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || parts.next()?.ok();
    Some((next()?, next()?, next()?))
}
