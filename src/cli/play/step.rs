//! The steps of a simulated machine, formatted as text.

use std::fmt;

use super::ipxe;
use crate::model::ByteSize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlayStep {
    /// A file was requested.
    Fetched {
        url: String,
        /// The response's status and length; `None` without a response.
        answer: Option<(u16, u64)>,
    },
    /// A callback was sent.
    Called {
        url: String,
        /// The response's status; `None` without a response.
        status: Option<u16>,
    },
    /// A callback was dropped because of `--lose-callbacks`.
    Lost { url: String },
    /// A line was printed on the machine's screen.
    Screen(String),
    /// The result of a boot.
    Result(String),
}

impl fmt::Display for PlayStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlayStep::Fetched { url, answer } => {
                let answer = match answer {
                    Some((200, length)) => ByteSize(*length).to_string(),
                    Some((status, _)) => status.to_string(),
                    None => "no answer".into(),
                };
                write!(f, "fetches  {:<44}  {answer}", short(url))
            }
            PlayStep::Called { url, status } => {
                let answer = match status {
                    Some(200) => "ok".into(),
                    Some(status) => status.to_string(),
                    None => "no answer".into(),
                };
                write!(f, "reports  {:<44}  {answer}", short(url))
            }
            PlayStep::Lost { url } => write!(f, "reports  {:<44}  lost", short(url)),
            PlayStep::Screen(line) => write!(f, "shows    {line}"),
            PlayStep::Result(result) => write!(f, "         {result}"),
        }
    }
}

/// A URL without the server, an attempt's token, and the query of `/boot`.
fn short(url: &str) -> String {
    let (_server, path) = ipxe::split(url);
    if let Some(rest) = path.strip_prefix("/t/") {
        let name = rest.split_once('/').map_or(rest, |(_token, name)| name);
        return format!("/t/…/{name}");
    }
    match path.split_once('?') {
        Some(("/boot", _)) => "/boot?…".into(),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line() {
        let url = |path: &str| format!("http://192.0.2.1:8080{path}");
        for (step, line) in [
            (
                PlayStep::Fetched {
                    url: url("/boot?boot=1&mac=2"),
                    answer: Some((200, 1_234)),
                },
                "fetches  /boot?…                                       1.2 kB",
            ),
            (
                PlayStep::Fetched {
                    url: url("/repo/esxi/b.b00"),
                    answer: None,
                },
                "fetches  /repo/esxi/b.b00                              no answer",
            ),
            (
                PlayStep::Called {
                    url: url("/t/0123/stage/failed?reason=x"),
                    status: Some(200),
                },
                "reports  /t/…/stage/failed?reason=x                    ok",
            ),
            (PlayStep::Screen("hello".into()), "shows    hello"),
        ] {
            assert_eq!(step.to_string(), line);
        }
    }
}
