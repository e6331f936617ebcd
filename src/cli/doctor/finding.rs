//! What was found, and how grave it is.

use serde::Serialize;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingLevel {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It may be what is wrong.
    Warning,
    /// Machines cannot be served like this.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorFinding {
    /// How it is.
    #[serde(rename = "severity")]
    pub(super) mark: FindingLevel,
    /// What it is, on one line.
    #[serde(rename = "message")]
    pub(super) text: String,
    /// Commands that mend it, to be copied.
    pub(super) run: Vec<String>,
    /// What to do, line by line.
    pub(super) help: Vec<String>,
}

/// What was looked at together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Area {
    /// Its heading.
    pub(super) area: &'static str,
    /// What was found, in the order in which it was looked at.
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

    /// The same with one more command.
    pub(super) fn run(mut self, command: impl Into<String>) -> DoctorFinding {
        self.run.push(command.into());
        self
    }

    /// The same with one more line of what to do.
    pub(super) fn help(mut self, line: impl Into<String>) -> DoctorFinding {
        self.help.push(line.into());
        self
    }
}

/// Counts the findings of a mark.
pub(super) fn count(areas: &[Area], mark: FindingLevel) -> usize {
    let all = areas.iter().flat_map(|area| &area.findings);
    all.filter(|finding| finding.mark == mark).count()
}

/// Words as a list: `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Findings as a table of a test has them: the mark, the text, commands after ` $ `, help after ` > `.
#[cfg(test)]
pub(super) fn written(findings: &[DoctorFinding]) -> Vec<String> {
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
