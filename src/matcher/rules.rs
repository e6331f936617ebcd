//! Every expression of a site, compiled once.

use std::collections::BTreeMap;

use minijinja::{Environment, Value, value::Serde};

use super::{
    bounded_filters::add_bounded_filters,
    evaluate::{ExpressionContext, TruthValue, evaluate},
    tags::TagSet,
    term::{Scope, Term, parse},
};
use crate::{
    model::{Facts, Spanned},
    site::{Diagnostic, Site},
};

/// The compiled expressions of a site, by their text.
#[derive(Debug)]
pub struct CompiledRules {
    terms: BTreeMap<(Scope, String), Term>,
    functions: Environment<'static>,
}

impl Default for CompiledRules {
    fn default() -> Self {
        let mut functions = Environment::new();
        add_bounded_filters(&mut functions);
        CompiledRules {
            terms: BTreeMap::new(),
            functions,
        }
    }
}

/// Compiles every expression of `site`: of tags, of policies, and of `expect`.
pub fn compile(site: &Site) -> (CompiledRules, Vec<Diagnostic>) {
    let mut rules = CompiledRules::default();
    let mut diagnostics = Vec::new();
    let mut add = |what: &str, scope, text: Option<&Spanned<String>>| {
        if let Some(text) = text {
            diagnostics.extend(rules.add(what, scope, text));
        }
    };
    for tag in site.tags.values() {
        add("tag", Scope::Facts, tag.body.when.as_ref());
    }
    for policy in site.policies.values() {
        add("policy", Scope::FactsAndTags, policy.rule.when.as_ref());
        add(
            "expectation",
            Scope::FactsAndTags,
            policy.settings.expect.as_deref(),
        );
    }
    add(
        "expectation",
        Scope::FactsAndTags,
        site.defaults.settings.expect.as_deref(),
    );
    for node in site.nodes.values() {
        add(
            "expectation",
            Scope::FactsAndTags,
            node.settings.expect.as_deref(),
        );
    }
    (rules, diagnostics)
}

impl CompiledRules {
    fn add(&mut self, what: &str, scope: Scope, text: &Spanned<String>) -> Option<Diagnostic> {
        let key = (scope, text.value.clone());
        if self.terms.contains_key(&key) {
            return None;
        }
        match parse(text, scope) {
            Ok(term) => {
                self.terms.insert(key, term);
                None
            }
            Err(reason) => {
                let message = format!("the expression of this {what} does not compile: {reason}");
                Some(Diagnostic::error(message, text.span))
            }
        }
    }

    pub fn tag(&self, when: &str, facts: &Facts) -> TruthValue {
        let known = ExpressionContext {
            facts: Value::from(Serde(facts)),
            tags: Value::default(),
            unsure: Vec::new(),
        };
        self.evaluate(Scope::Facts, when, &known)
    }

    /// Evaluates the expression of a policy's `when` or of `expect`.
    pub fn policy(&self, when: &str, facts: &Facts, tags: &TagSet) -> TruthValue {
        let known = ExpressionContext {
            facts: Value::from(Serde(facts)),
            tags: tags
                .yes
                .iter()
                .map(|tag| Value::from(tag.as_str()))
                .collect(),
            unsure: tags.unknown.keys().map(ToString::to_string).collect(),
        };
        self.evaluate(Scope::FactsAndTags, when, &known)
    }

    fn evaluate(&self, scope: Scope, when: &str, known: &ExpressionContext) -> TruthValue {
        match self.terms.get(&(scope, when.to_owned())) {
            Some(term) => evaluate(term, known, &self.functions),
            // A site with such an expression never goes live, and unknown is never yes.
            None => TruthValue::Unknown("it does not compile".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileId, SourceSpan};

    fn verdict(text: &str, facts: &Facts, unsure: &[&str]) -> Result<TruthValue, String> {
        let mut rules = CompiledRules::default();
        let span = SourceSpan {
            file: FileId(0),
            start: 0,
            end: 0,
        };
        if let Some(diagnostic) = rules.add(
            "policy",
            Scope::FactsAndTags,
            &Spanned::new(text.into(), span),
        ) {
            return Err(diagnostic.message);
        }
        let tags = TagSet {
            yes: ["gpu".parse().unwrap()].into(),
            unknown: unsure
                .iter()
                .map(|tag| (tag.parse().unwrap(), String::new()))
                .collect(),
        };
        Ok(rules.policy(text, facts, &tags))
    }

    fn facts() -> Facts {
        let mut facts = Facts::default();
        for (name, text) in [
            ("memory_mib", "65536"),
            ("manufacturer", "Supermicro"),
            ("rack", "7"),
            ("disks", r#"[{"path":"/dev/sda","size_bytes":1000}]"#),
        ] {
            facts.update(Facts::parse(name, text).unwrap());
        }
        facts
    }

    #[test]
    fn an_expression_is_true_false_or_unknown() {
        let yes = [
            r#"facts.memory_mib >= 65536 and facts.manufacturer == "Supermicro""#,
            r#""gpu" in tags and not "old" in tags"#,
            r#""gpu" in tags and "old" not in tags"#,
            r#"facts.manufacturer | lower == "supermicro""#,
            r#"facts.custom.rack == "7""#,
            "facts.disks | length == 1 and facts.disks[0].size_bytes < 2000",
            "facts.cores is undefined",
            "facts.cores | default(4) == 4",
            // One operand determines the result, whatever the other is.
            "facts.cores == 8 or facts.memory_mib > 1",
            "facts.memory_mib / 1024 == 64.0",
            "1 < 2 < 3",
            "true if facts.memory_mib > 1 else false",
        ];
        for text in yes {
            assert_eq!(verdict(text, &facts(), &[]), Ok(TruthValue::Yes), "{text}");
        }
        let no = [
            "facts.memory_mib < 1",
            "facts.cores == 8 and facts.memory_mib < 1",
            r#""x" in ["a"]"#,
        ];
        for text in no {
            assert_eq!(verdict(text, &facts(), &[]), Ok(TruthValue::No), "{text}");
        }
        let unknown = [
            "facts.cores == 8",
            "not facts.cores == 8",
            "facts.cores == 8 or facts.memory_mib < 1",
            r#"facts.memory_mib >= "65536""#,
            r#"facts.custom.rack > 5"#,
            "facts.memory_mib",
            "facts.memory_mib / 0 == 1",
            "facts.nics[0].speed_mbit > 1000",
            r#"facts.memory_mib | nonsense == 1"#,
        ];
        for text in unknown {
            let verdict = verdict(text, &facts(), &[]);
            assert!(
                matches!(verdict, Ok(TruthValue::Unknown(_))),
                "{text}: {verdict:?}"
            );
        }
    }

    #[test]
    fn an_unknown_tag_is_neither_present_nor_absent() {
        for text in [
            r#""odd" in tags"#,
            r#""odd" not in tags"#,
            r#"not "odd" in tags"#,
        ] {
            let verdict = verdict(text, &facts(), &["odd"]);
            assert!(
                matches!(verdict, Ok(TruthValue::Unknown(_))),
                "{text}: {verdict:?}"
            );
        }
    }

    #[test]
    fn an_invalid_expression_is_rejected_with_the_reason() {
        for (text, reason) in [
            (
                "facts.memory == 1",
                "there is no fact `memory`: did you mean `memory_mib`?",
            ),
            (
                "facts.rack == 1",
                "there is no fact `rack`: facts of your own are `facts.custom.rack`",
            ),
            (
                "memory_mib > 1",
                "`memory_mib` is not known here: did you mean `facts.memory_mib`?",
            ),
            (
                "range(10)",
                "nothing can be called here; filters can be used",
            ),
            (
                "facts.memory_mib >",
                "unexpected end of input, expected expression",
            ),
        ] {
            let message = format!("the expression of this policy does not compile: {reason}");
            assert_eq!(verdict(text, &facts(), &[]), Err(message), "{text}");
        }
        let deep = format!("{}1{}", "(".repeat(2_000), ")".repeat(2_000));
        assert!(verdict(&deep, &facts(), &[]).is_err());
        assert!(verdict(&"1+".repeat(4_000), &facts(), &[]).is_err());
    }
}
