//! `explain`: what a machine gets at its next boot, and why.

use std::path::Path;

use anstyle::AnsiColor;

use super::{
    answer::{parse_answer, show_json, value_text},
    failure::CliResult,
    query::query,
    terminal::{Terminal, plain, state_style},
};
use crate::{
    api::{Explanation, PolicyVerdict, Query, ValueOrigin},
    model::TagName,
};

pub(super) fn run(site: &Path, name: &str, json: bool, terminal: &Terminal) -> CliResult {
    let answer = query(site, &Query::Explain(name.into()), terminal)?;
    if json {
        return show_json(&answer, terminal);
    }
    Ok(terminal.show(&explanation_text(&parse_answer(&answer)?, terminal))?)
}

fn explanation_text(explained: &Explanation, terminal: &Terminal) -> String {
    let mut text = binding(explained) + "\n";
    let state = terminal.paint(&explained.state.to_string(), state_style(explained.state));
    let reason = explained
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(": {}", plain(reason)));
    text += &format!("  state: {state}{reason}\n");
    text += &format!("  next network boot: {}\n", plain(&explained.next));
    if !explained.tags.is_empty() {
        let tags: Vec<&str> = explained.tags.iter().map(TagName::as_str).collect();
        text += &format!("  tags: {}\n", tags.join(", "));
    }
    for (tag, why) in &explained.tags_unknown {
        text += &format!("  tag {} is unknown: {}\n", tag, plain(why));
    }
    if !explained.values.is_empty() {
        text += "  values\n";
        text += &values(&explained.values, terminal);
    }
    if !explained.policies.is_empty() {
        text += "  other policies\n";
        text += &policies(&explained.policies);
    }
    text
}

/// The first line: the source of the machine's task.
fn binding(explained: &Explanation) -> String {
    let name = plain(&explained.name);
    let declared = explained
        .declared
        .as_ref()
        .map(|place| format!("declared: {}", plain(place)));
    let bound = explained
        .bound_by
        .as_ref()
        .map(|place| format!("bound: {}", plain(place)));
    let places: Vec<String> = declared.into_iter().chain(bound).collect();
    let places = match places.as_slice() {
        [] => " (not declared)".into(),
        places => format!(" ({})", places.join(", ")),
    };
    match (&explained.policy, &explained.task) {
        (Some(policy), _) => format!("{name} is bound to policy {policy}{places}"),
        (None, Some(task)) => format!("{name}: task {task}, set by its own declaration{places}"),
        (None, None) => format!("{name} has no policy and no task of its own{places}"),
    }
}

fn values(values: &[ValueOrigin], terminal: &Terminal) -> String {
    let dim = AnsiColor::BrightBlack.on_default();
    let rows: Vec<[String; 4]> = values
        .iter()
        .map(|value| {
            let from = value.from.as_deref().unwrap_or("(built in)");
            [
                plain(&value.key),
                plain(&value_text(&value.value)),
                plain(from),
                remark(value),
            ]
        })
        .collect();
    // A value longer than the limit shifts its own line; the others stay aligned.
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
            .min(40)
    };
    let (key, value, from) = (width(0), width(1), width(2));
    let line = |row: &[String; 4]| {
        let place = terminal.paint(&format!("{:<from$}", row[2]), dim);
        let remark = terminal.paint(&row[3], dim);
        let line = format!(
            "    {:<key$}  {:<value$}  {place}  {remark}",
            row[0], row[1]
        );
        line.trim_end().to_string() + "\n"
    };
    rows.iter().map(line).collect()
}

fn remark(value: &ValueOrigin) -> String {
    let detail = value.detail.as_ref().map(|detail| format!("({detail})"));
    let shadows: Vec<String> = value
        .shadows
        .iter()
        .map(|shadow| format!("{} ({})", value_text(&shadow.value), shadow.from))
        .collect();
    let shadows = (!shadows.is_empty()).then(|| format!("shadows {}", shadows.join(", ")));
    let remarks: Vec<String> = detail.into_iter().chain(shadows).collect();
    plain(&remarks.join("  "))
}

fn policies(others: &[PolicyVerdict]) -> String {
    let width = others
        .iter()
        .map(|other| other.name.as_str().len())
        .max()
        .unwrap_or(0);
    let line = |other: &PolicyVerdict| {
        plain(&format!(
            "    {:>4} {:<width$}  no: {} ({})",
            other.order, other.name, other.why, other.from
        )) + "\n"
    };
    others.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Color;

    #[test]
    fn an_explanation_has_every_part() {
        let explained = serde_json::json!({
            "name": "esx02",
            "state": "bound",
            "installs": {"wanted": 2, "done": 1},
            "declared": "policies.d/nodes/esx02.kdl:3",
            "policy": "esxi",
            "task": "esxi",
            "next": "installer (installs wanted 2, done 1)",
            "tags": ["gpu"],
            "tags_unknown": {"fast": "`cores` is not known"},
            "values": [
                {"key": "address", "value": "192.0.2.12/24", "from": "a.kdl:4", "detail": "prefix from network lab, n.kdl:2", "shadows": []},
                {"key": "dns", "value": ["192.0.2.53"], "from": "p.kdl:9", "shadows": [{"value": ["192.0.2.2"], "from": "n.kdl:4"}]},
                {"key": "retries", "value": 2, "shadows": []},
            ],
            "policies": [{"name": "rocky", "order": 20, "why": "it lacks tag `linux`", "from": "p.kdl:20"}],
        });
        let explained: Explanation = serde_json::from_value(explained).unwrap();
        assert_eq!(
            explanation_text(&explained, &Terminal::new(Color::Never)),
            "esx02 is bound to policy esxi (declared: policies.d/nodes/esx02.kdl:3)\n\
             \x20 state: bound\n\
             \x20 next network boot: installer (installs wanted 2, done 1)\n\
             \x20 tags: gpu\n\
             \x20 tag fast is unknown: `cores` is not known\n\
             \x20 values\n\
             \x20   address  192.0.2.12/24  a.kdl:4     (prefix from network lab, n.kdl:2)\n\
             \x20   dns      192.0.2.53     p.kdl:9     shadows 192.0.2.2 (n.kdl:4)\n\
             \x20   retries  2              (built in)\n\
             \x20 other policies\n\
             \x20     20 rocky  no: it lacks tag `linux` (p.kdl:20)\n"
        );
    }
}
