//! The paths of the machines' listener, each written here once.

use std::str;

use hyper::{Method, Uri};

use crate::{
    control::Callback,
    journal::{LogLevel, Stage},
    model::StageName,
};

use super::query::{told, unescaped, value};

/// A line that a machine tells people is cut after so many characters.
pub(super) const LONGEST_LINE: usize = 2_000;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MachineRoute {
    /// The entry script.
    Entry,
    /// The script that a machine boots by.
    Boot,
    /// How the server is.
    ServerHealth,
    /// A program that firmware starts first.
    Loader {
        /// Its name.
        name: String,
    },
    /// ESXi's loader, or what it looks for beside itself.
    Mboot {
        /// The repo's name.
        repo: String,
        /// The path beside it.
        path: String,
    },
    /// A file of an attempt.
    Document {
        /// The attempt's token.
        token: String,
        /// The file's name.
        name: String,
    },
    /// What a machine tells.
    Callback {
        /// The attempt's token.
        token: String,
        /// What it tells.
        callback: Callback,
    },
    /// A file of the microkernel.
    Microkernel {
        /// Its name.
        name: String,
    },
    /// What a machine in the microkernel reports.
    Report {
        /// The machine's token.
        token: String,
    },
    /// What it is to do.
    Instruction {
        /// The machine's token.
        token: String,
    },
    /// A repo's file.
    Repo {
        /// The repo's name.
        repo: String,
        /// The path inside it.
        path: String,
    },
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteError {
    /// Nothing is there.
    NotFound,
    /// It climbs out, or holds characters that no name of ours does.
    InvalidPath,
}

impl MachineRoute {
    /// Reads a path. Repeated slashes count as one, since URLs are put together by many hands.
    pub(super) fn read(uri: &Uri) -> Result<MachineRoute, RouteError> {
        let mut steps = Steps(uri.path());
        let route = match steps.next() {
            Some("boot.ipxe" | "autoexec.ipxe") => MachineRoute::Entry,
            Some("boot") => MachineRoute::Boot,
            Some("healthz") => MachineRoute::ServerHealth,
            Some("loader") => MachineRoute::Loader {
                name: name(steps.next())?,
            },
            Some("mboot") => MachineRoute::Mboot {
                repo: name(steps.next())?,
                path: steps.names()?,
            },
            Some("microkernel") => MachineRoute::Microkernel {
                name: name(steps.next())?,
            },
            Some("c") => MachineRoute::of_check_in(name(steps.next())?, steps.next())?,
            Some("t") => MachineRoute::of_attempt(name(steps.next())?, &mut steps, uri.query())?,
            Some("repo") => MachineRoute::Repo {
                repo: name(steps.next())?,
                path: steps.names()?,
            },
            _ => return Err(RouteError::NotFound),
        };
        match steps.next() {
            Some(_) => Err(RouteError::NotFound),
            None => Ok(route),
        }
    }

    fn of_attempt(
        token: String,
        steps: &mut Steps,
        query: Option<&str>,
    ) -> Result<MachineRoute, RouteError> {
        let ahead = steps.0;
        let callback = match steps.next() {
            Some("stage") => Callback::Stage {
                stage: stage(steps.next())?,
                reason: value(query, "reason").map(|reason| told(&reason, LONGEST_LINE)),
            },
            Some("log") => Callback::Log {
                level: level(steps.next())?,
                text: told(&steps.text(query), LONGEST_LINE),
            },
            Some("fact") => Callback::Fact {
                name: name(steps.next())?,
                value: told(&steps.text(query), usize::MAX),
            },
            _ => {
                let name = Steps(ahead).names()?;
                steps.0 = "";
                return Ok(MachineRoute::Document { token, name });
            }
        };
        Ok(MachineRoute::Callback { token, callback })
    }

    fn of_check_in(token: String, step: Option<&str>) -> Result<MachineRoute, RouteError> {
        match step {
            Some("report") => Ok(MachineRoute::Report { token }),
            Some("order") => Ok(MachineRoute::Instruction { token }),
            _ => Err(RouteError::NotFound),
        }
    }

    /// The methods that the path takes, as the header `Allow` lists them. `HEAD` opens no attempt, so `/boot`
    /// does not take it.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            MachineRoute::Boot | MachineRoute::Instruction { .. } => "GET",
            MachineRoute::Report { .. } => "POST",
            MachineRoute::Callback { .. } => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }

    /// Tells whether the path takes a method.
    pub(super) fn takes(&self, method: &Method) -> bool {
        let mut methods = self.methods().split(", ");
        methods.any(|taken| taken == method.as_str())
    }
}

/// What is left of a path.
struct Steps<'a>(&'a str);

impl<'a> Steps<'a> {
    /// Takes the next step, as it is written.
    fn next(&mut self) -> Option<&'a str> {
        let path = self.0.trim_start_matches('/');
        let (step, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        self.0 = rest;
        (!step.is_empty()).then_some(step)
    }

    /// Takes all that is left as the path of a file.
    fn names(&mut self) -> Result<String, RouteError> {
        let mut path = name(self.next())?;
        while let Some(step) = self.next() {
            path.push('/');
            path += &name(Some(step))?;
        }
        Ok(path)
    }

    /// Takes all that is left as text, slashes and question marks included: scripts do not escape them.
    fn text(&mut self, query: Option<&str>) -> Vec<u8> {
        let raw = self.0.strip_prefix('/').unwrap_or(self.0);
        self.0 = "";
        let mut text = unescaped(raw).into_owned();
        if let Some(query) = query {
            text.push(b'?');
            text.extend_from_slice(&unescaped(query));
        }
        text
    }
}

/// Reads one step as a name: nothing that a file system or a terminal could take for something else.
fn name(step: Option<&str>) -> Result<String, RouteError> {
    let plain = unescaped(step.ok_or(RouteError::NotFound)?);
    let name = str::from_utf8(&plain).map_err(|_| RouteError::InvalidPath)?;
    let crooked = |c: char| c.is_control() || c == '/' || c == '\\';
    if name == "." || name == ".." || name.contains(crooked) {
        return Err(RouteError::InvalidPath);
    }
    Ok(name.into())
}

/// A stage's name, known or not, has the shape of one.
fn stage(step: Option<&str>) -> Result<Stage, RouteError> {
    let name: StageName = name(step)?.parse().map_err(|_| RouteError::InvalidPath)?;
    Ok(Stage::from(name))
}

fn level(step: Option<&str>) -> Result<LogLevel, RouteError> {
    match step {
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
    fn every_path_leads_to_one_thing() {
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
            assert_eq!(MachineRoute::read(&uri.parse().unwrap()), route, "{uri}");
        }
    }

    #[test]
    fn no_path_climbs_out() {
        for step in [
            "..", "%2e%2e", ".%2E", "..%2f", "a%2fb", "%00", "a%00", "%5c", "..%5C", "\\", "%0a",
            "%ff", ".",
        ] {
            for uri in [
                format!("/repo/esxi/{step}/etc/passwd"),
                format!("/repo/{step}/etc/passwd"),
                format!("/mboot/esxi/{step}/etc/passwd"),
                format!("/t/0a/{step}/x"),
                format!("/t/{step}/x"),
                format!("/t/0a/stage/{step}"),
            ] {
                assert_eq!(
                    MachineRoute::read(&uri.parse().unwrap()),
                    Err(RouteError::InvalidPath),
                    "{uri}"
                );
            }
        }
    }
}
