//! The results of checks, with their severity.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingLevel {
    /// No problem.
    Ok,
    /// The check was not possible.
    Unknown,
    /// A possible problem.
    Warning,
    /// Machines cannot be served.
    Error,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorFinding {
    /// The severity.
    #[serde(rename = "severity")]
    pub(super) mark: FindingLevel,
    /// One line of text.
    #[serde(rename = "message")]
    pub(super) text: String,
    /// Commands that fix the problem, to copy.
    pub(super) run: Vec<String>,
    /// Advice, one item per line.
    pub(super) help: Vec<String>,
}

/// A group of checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Area {
    pub(super) area: &'static str,
    /// The findings, in the order of the checks.
    pub(super) findings: Vec<DoctorFinding>,
}

impl DoctorFinding {
    pub(super) fn ok(text: impl Into<String>) -> DoctorFinding {
        DoctorFinding::new(FindingLevel::Ok, text)
    }

    pub(super) fn unknown(text: impl Into<String>) -> DoctorFinding {
        DoctorFinding::new(FindingLevel::Unknown, text)
    }

    pub(super) fn warning(text: impl Into<String>) -> DoctorFinding {
        DoctorFinding::new(FindingLevel::Warning, text)
    }

    pub(super) fn error(text: impl Into<String>) -> DoctorFinding {
        DoctorFinding::new(FindingLevel::Error, text)
    }

    pub(super) fn new(mark: FindingLevel, text: impl Into<String>) -> DoctorFinding {
        DoctorFinding {
            mark,
            text: text.into(),
            run: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Adds a command.
    pub(super) fn run(mut self, command: impl Into<String>) -> DoctorFinding {
        self.run.push(command.into());
        self
    }

    /// Adds a line of advice.
    pub(super) fn help(mut self, line: impl Into<String>) -> DoctorFinding {
        self.help.push(line.into());
        self
    }
}

/// Counts the findings with this severity.
pub(super) fn count(areas: &[Area], mark: FindingLevel) -> usize {
    let all = areas.iter().flat_map(|area| &area.findings);
    all.filter(|finding| finding.mark == mark).count()
}

/// Joins items as prose: `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Findings as one line each, for tests: severity, text, commands after ` $ `, help after ` > `.
#[cfg(test)]
pub(super) fn finding_lines(findings: &[DoctorFinding]) -> Vec<String> {
    let one = |finding: &DoctorFinding| {
        let mark = format!("{:?}", finding.mark).to_lowercase();
        let run: String = finding
            .run
            .iter()
            .map(|line| format!(" $ {line}"))
            .collect();
        let help: String = finding
            .help
            .iter()
            .map(|line| format!(" > {line}"))
            .collect();
        format!("{mark}: {}{run}{help}", finding.text)
    };
    findings.iter().map(one).collect()
}
