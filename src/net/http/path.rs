//! The paths of the machines' listener.

use std::str;

use hyper::{Method, Uri};

use crate::{
    control::Callback,
    journal::{LogLevel, Stage},
    model::StageName,
};

use super::{
    SealRequest,
    query::{percent_decoded, printable, value},
};

/// A line of text from a machine is cut to this many characters.
pub(super) const MAX_LINE: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MachineRoute {
    Entry,
    /// The script that a machine boots with.
    Boot,
    ServerHealth,
    Loader {
        name: String,
    },
    /// ESXi's loader, or a file that it loads.
    Mboot {
        repo: String,
        /// Relative to the loader.
        path: String,
    },
    /// A file of an attempt.
    Document {
        token: String,
        name: String,
    },
    Callback {
        token: String,
        callback: Callback,
    },
    /// The question of an installer whether it may overwrite a disk with this seal.
    Seal(SealRequest),
    /// A file of the microkernel.
    Microkernel {
        name: String,
    },
    /// The report of a machine in the microkernel.
    Report {
        token: String,
    },
    /// The poll of a machine in the microkernel.
    Instruction {
        token: String,
    },
    /// A file of a repo.
    Repo {
        repo: String,
        path: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteError {
    NotFound,
    /// It contains `..` or characters that no name has.
    InvalidPath,
}

impl MachineRoute {
    /// Parses a path. Repeated slashes count as one, because scripts often join URLs that way.
    pub(super) fn parse(uri: &Uri) -> Result<MachineRoute, RouteError> {
        let mut segments = PathSegments(uri.path());
        let route = match segments.next() {
            Some("boot.ipxe" | "autoexec.ipxe") => MachineRoute::Entry,
            Some("boot") => MachineRoute::Boot,
            Some("healthz") => MachineRoute::ServerHealth,
            Some("loader") => MachineRoute::Loader {
                name: name(segments.next())?,
            },
            Some("mboot") => MachineRoute::Mboot {
                repo: name(segments.next())?,
                path: segments.names()?,
            },
            Some("microkernel") => MachineRoute::Microkernel {
                name: name(segments.next())?,
            },
            Some("c") => MachineRoute::of_check_in(name(segments.next())?, segments.next())?,
            Some("t") => {
                MachineRoute::of_attempt(name(segments.next())?, &mut segments, uri.query())?
            }
            Some("repo") => MachineRoute::Repo {
                repo: name(segments.next())?,
                path: segments.names()?,
            },
            _ => return Err(RouteError::NotFound),
        };
        match segments.next() {
            Some(_) => Err(RouteError::NotFound),
            None => Ok(route),
        }
    }

    fn of_attempt(
        token: String,
        segments: &mut PathSegments,
        query: Option<&str>,
    ) -> Result<MachineRoute, RouteError> {
        let rest = segments.0;
        let callback = match segments.next() {
            Some("stage") => Callback::Stage {
                stage: stage(segments.next())?,
                reason: value(query, "reason").map(|reason| printable(&reason, MAX_LINE)),
            },
            Some("log") => Callback::Log {
                level: level(segments.next())?,
                text: printable(&segments.text(query), MAX_LINE),
            },
            Some("fact") => Callback::Fact {
                name: name(segments.next())?,
                value: printable(&segments.text(query), usize::MAX),
            },
            Some("seal") => {
                let wipe = match segments.next() {
                    Some("wipe") => true,
                    Some("keep") => false,
                    _ => return Err(RouteError::NotFound),
                };
                let text = printable(&segments.text(query), MAX_LINE);
                if text.is_empty() {
                    return Err(RouteError::NotFound);
                }
                return Ok(MachineRoute::Seal(SealRequest { token, text, wipe }));
            }
            _ => {
                let name = PathSegments(rest).names()?;
                segments.0 = "";
                return Ok(MachineRoute::Document { token, name });
            }
        };
        Ok(MachineRoute::Callback { token, callback })
    }

    fn of_check_in(token: String, segment: Option<&str>) -> Result<MachineRoute, RouteError> {
        match segment {
            Some("report") => Ok(MachineRoute::Report { token }),
            Some("order") => Ok(MachineRoute::Instruction { token }),
            _ => Err(RouteError::NotFound),
        }
    }

    /// The allowed methods, as in the header `Allow`. `/boot` does not allow `HEAD`, because that must not open an
    /// attempt.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            MachineRoute::Boot | MachineRoute::Instruction { .. } | MachineRoute::Seal(_) => "GET",
            MachineRoute::Report { .. } => "POST",
            MachineRoute::Callback { .. } => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        let mut methods = self.methods().split(", ");
        methods.any(|allowed| allowed == method.as_str())
    }
}

/// The rest of a path, split into segments.
struct PathSegments<'a>(&'a str);

impl<'a> PathSegments<'a> {
    /// Takes the next segment, still percent-encoded.
    fn next(&mut self) -> Option<&'a str> {
        let path = self.0.trim_start_matches('/');
        let (segment, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        self.0 = rest;
        (!segment.is_empty()).then_some(segment)
    }

    /// Takes the rest as the path of a file.
    fn names(&mut self) -> Result<String, RouteError> {
        let mut path = name(self.next())?;
        while let Some(segment) = self.next() {
            path.push('/');
            path += &name(Some(segment))?;
        }
        Ok(path)
    }

    /// Takes the rest as text, including slashes and question marks, which scripts do not encode.
    fn text(&mut self, query: Option<&str>) -> Vec<u8> {
        let raw = self.0.strip_prefix('/').unwrap_or(self.0);
        self.0 = "";
        let mut text = percent_decoded(raw.as_bytes()).into_owned();
        if let Some(query) = query {
            text.push(b'?');
            text.extend_from_slice(&percent_decoded(query.as_bytes()));
        }
        text
    }
}

/// Decodes a segment as a name. Characters with a meaning to file systems or terminals are invalid.
fn name(segment: Option<&str>) -> Result<String, RouteError> {
    let segment = segment.ok_or(RouteError::NotFound)?;
    let decoded = percent_decoded(segment.as_bytes());
    let name = str::from_utf8(&decoded).map_err(|_| RouteError::InvalidPath)?;
    let is_invalid = |c: char| c.is_control() || c == '/' || c == '\\';
    if name == "." || name == ".." || name.contains(is_invalid) {
        return Err(RouteError::InvalidPath);
    }
    Ok(name.into())
}

/// A stage's name; the stage need not exist.
fn stage(segment: Option<&str>) -> Result<Stage, RouteError> {
    let name: StageName = name(segment)?
        .parse()
        .map_err(|_| RouteError::InvalidPath)?;
    Ok(Stage::from(name))
}

fn level(segment: Option<&str>) -> Result<LogLevel, RouteError> {
    match segment {
        Some("debug") => Ok(LogLevel::Debug),
        Some("info") => Ok(LogLevel::Info),
        Some("warning") => Ok(LogLevel::Warning),
        Some("error") => Ok(LogLevel::Error),
        _ => Err(RouteError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(token: &str, name: &str) -> Result<MachineRoute, RouteError> {
        Ok(MachineRoute::Document {
            token: token.into(),
            name: name.into(),
        })
    }

    fn callback(callback: Callback) -> Result<MachineRoute, RouteError> {
        Ok(MachineRoute::Callback {
            token: "0a".into(),
            callback,
        })
    }

    fn stage(name: &str, reason: Option<&str>) -> Result<MachineRoute, RouteError> {
        callback(Callback::Stage {
            stage: Stage::from(name.parse::<StageName>().unwrap()),
            reason: reason.map(Into::into),
        })
    }

    fn log(level: LogLevel, text: &str) -> Result<MachineRoute, RouteError> {
        callback(Callback::Log {
            level,
            text: text.into(),
        })
    }

    fn fact(name: &str, value: &str) -> Result<MachineRoute, RouteError> {
        callback(Callback::Fact {
            name: name.into(),
            value: value.into(),
        })
    }

    fn repo(name: &str, path: &str) -> Result<MachineRoute, RouteError> {
        Ok(MachineRoute::Repo {
            repo: name.into(),
            path: path.into(),
        })
    }

    #[test]
    fn every_path_has_one_route() {
        let cases = [
            ("/boot.ipxe", Ok(MachineRoute::Entry)),
            ("//autoexec.ipxe", Ok(MachineRoute::Entry)),
            ("/boot?mac=00-50-56-aa-bb-01", Ok(MachineRoute::Boot)),
            ("http://192.0.2.1/boot", Ok(MachineRoute::Boot)),
            ("/healthz/", Ok(MachineRoute::ServerHealth)),
            ("/t/0a/ks.cfg", document("0a", "ks.cfg")),
            ("/t/0a//01-00/boot.cfg?x", document("0a", "01-00/boot.cfg")),
            ("/t/0a/stage/installed", stage("installed", None)),
            (
                "/t/0a/stage/failed?reason=no%20disk",
                stage("failed", Some("no disk")),
            ),
            (
                "/t/0a/log/error/no%20/dev/sda?%0Ax",
                log(LogLevel::Error, "no /dev/sda? x"),
            ),
            ("/t/0a/log/info/../a%2F", log(LogLevel::Info, "../a/")),
            ("/t/0a/log/info", log(LogLevel::Info, "")),
            ("/t/0a/fact/rack/7", fact("rack", "7")),
            (
                "/repo/esxi//efi/boot/x%20y.efi",
                repo("esxi", "efi/boot/x y.efi"),
            ),
            (
                "/mboot/esxi/01-00-50-56-aa-bb-01/boot.cfg",
                Ok(MachineRoute::Mboot {
                    repo: "esxi".into(),
                    path: "01-00-50-56-aa-bb-01/boot.cfg".into(),
                }),
            ),
            ("/mboot/esxi", Err(RouteError::NotFound)),
            ("/", Err(RouteError::NotFound)),
            ("/boot/x", Err(RouteError::NotFound)),
            ("/BOOT", Err(RouteError::NotFound)),
            ("/t", Err(RouteError::NotFound)),
            ("/t/0a", Err(RouteError::NotFound)),
            ("/t/0a/stage", Err(RouteError::NotFound)),
            ("/t/0a/stage/a/b", Err(RouteError::NotFound)),
            ("/t/0a/log/fatal/x", Err(RouteError::NotFound)),
            ("/repo/esxi", Err(RouteError::NotFound)),
            ("/repo/esxi/", Err(RouteError::NotFound)),
        ];
        for (uri, route) in cases {
            assert_eq!(MachineRoute::parse(&uri.parse().unwrap()), route, "{uri}");
        }
    }

    #[test]
    fn no_path_leaves_its_directory() {
        for segment in [
            "..", "%2e%2e", ".%2E", "..%2f", "a%2fb", "%00", "a%00", "%5c", "..%5C", "\\", "%0a",
            "%ff", ".",
        ] {
            for uri in [
                format!("/repo/esxi/{segment}/etc/passwd"),
                format!("/repo/{segment}/etc/passwd"),
                format!("/mboot/esxi/{segment}/etc/passwd"),
                format!("/t/0a/{segment}/x"),
                format!("/t/{segment}/x"),
                format!("/t/0a/stage/{segment}"),
            ] {
                assert_eq!(
                    MachineRoute::parse(&uri.parse().unwrap()),
                    Err(RouteError::InvalidPath),
                    "{uri}"
                );
            }
        }
    }
}
