//! The page for operators: the server's status and a table of the machines, as HTML without scripts.

use std::fmt::{self, Write};

use minijinja::HtmlEscape;

use crate::{
    api::{NodeStatus, ServerStatus},
    model::{PolicyName, TaskName, TimeSpan, Timestamp},
    site::counted,
};

/// The path of the style sheet.
pub(super) const STYLE_PATH: &str = "/page.css";

pub(super) const STYLE: &str = include_str!("page.css");

/// What a browser may do with the page: show it, with the style sheet of this server.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [&str; 7] = [
    "Node", "State", "Since", "Policy", "Task", "Address", "Last",
];

/// Returns the page. Every text in it may come from a machine.
pub(super) fn html(status: &ServerStatus, nodes: &[NodeStatus], now: Timestamp) -> String {
    let mut page = String::new();
    write_page(&mut page, status, nodes, now).expect("writing to a string cannot fail");
    page
}

fn write_page(
    page: &mut String,
    status: &ServerStatus,
    nodes: &[NodeStatus],
    now: Timestamp,
) -> fmt::Result {
    page.write_str(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Bootwright</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta http-equiv=\"refresh\" content=\"30\">\n",
    )?;
    writeln!(page, "<link rel=\"stylesheet\" href=\"{STYLE_PATH}\">")?;
    page.write_str("</head>\n<body>\n<h1>Bootwright</h1>\n")?;
    let revision = status.revision.as_deref().unwrap_or("(none)");
    writeln!(
        page,
        "<p>Site {}, revision {}, {}. The page is loaded again every 30 seconds.</p>",
        HtmlEscape(&status.site),
        HtmlEscape(revision),
        counted(nodes.len(), "machine")
    )?;
    for warning in warnings(status) {
        writeln!(page, "<p class=\"warning\">{}</p>", HtmlEscape(&warning))?;
    }
    page.write_str("<table>\n<thead><tr>")?;
    for header in HEADERS {
        write!(page, "<th>{header}</th>")?;
    }
    page.write_str("</tr></thead>\n<tbody>\n")?;
    for node in nodes {
        write_row(page, node, now)?;
    }
    page.write_str("</tbody>\n</table>\n</body>\n</html>\n")
}

fn warnings(status: &ServerStatus) -> Vec<String> {
    let mut warnings = Vec::new();
    if status.health != "ok" {
        warnings.push(status.health.clone());
    }
    if status.paused {
        warnings.push("Installations are paused: `bootwright resume` restarts them.".into());
    }
    if let Some(reason) = &status.held {
        warnings.push(format!("Every machine is held: {reason}"));
    }
    warnings
}

fn write_row(page: &mut String, node: &NodeStatus, now: Timestamp) -> fmt::Result {
    let state = node.state.to_string();
    let since = node
        .since
        .map(|since| TimeSpan(now.since(since)).to_string());
    write!(
        page,
        "<tr><td>{}</td><td class=\"{state}\">{state}</td>",
        HtmlEscape(&node.name)
    )?;
    let cells = [
        since.as_deref(),
        node.policy.as_ref().map(PolicyName::as_str),
        node.task.as_ref().map(TaskName::as_str),
        node.address.as_deref(),
        Some(node.summary()),
    ];
    for cell in cells {
        write!(page, "<td>{}</td>", HtmlEscape(cell.unwrap_or_default()))?;
    }
    page.write_str("</tr>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MachineState;

    #[test]
    fn what_a_machine_reports_cannot_become_markup() {
        let node = NodeStatus {
            reason: Some("<script>alert('x')</script> & \"y\"".into()),
            since: Some(Timestamp(1_000)),
            task: Some("debian".parse().unwrap()),
            address: Some("192.0.2.12/24".into()),
            ..NodeStatus::bare("web01", MachineState::Failed, "")
        };
        let status = ServerStatus {
            site: "/srv/<b>".into(),
            health: "ok".into(),
            paused: true,
            ..ServerStatus::default()
        };
        let page = html(&status, &[node], Timestamp(61_000));
        let row = "<tr><td>web01</td><td class=\"failed\">failed</td><td>1 m</td><td></td><td>debian</td>\
            <td>192.0.2.12&#x2f;24</td><td>&lt;script&gt;alert(&#x27;x&#x27;)&lt;&#x2f;script&gt; &amp; &quot;y&quot;</td></tr>";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("Site &#x2f;srv&#x2f;&lt;b&gt;,"), "{page}");
        assert!(
            page.contains("<p class=\"warning\">Installations are paused"),
            "{page}"
        );
    }
}
