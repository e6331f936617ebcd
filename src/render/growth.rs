//! Which templates can make values that grow without a bound.
//!
//! The engine bounds instructions, not what they make: forty times `{% set x = x ~ x %}` is little work and a terabyte. In a
//! template that makes new values only from a bounded number of others, and keeps none of them, such growth is impossible. This
//! recognises templates that may do otherwise. It errs on the safe side.

use std::ops::Range;

use super::scan::{PlacedToken, TemplateToken, for_each_tag};

/// Returns the byte range of the first tag of `text` that can make a value grow.
pub(super) fn growing(text: &str) -> Option<Range<usize>> {
    let mut found = None;
    for_each_tag(text, |tokens, inside, is_statement| {
        if found.is_none() && can_grow(tokens, is_statement) {
            found = Some(inside);
        }
    });
    found
}

/// Why a growing template is refused where it is rendered at each request.
pub(super) const GROWS: &str =
    "this may make a long text: `*`, macros, and values made of several others cannot be used here";

/// Statements that keep what is rendered inside them.
const CAPTURES: [&str; 3] = ["macro", "call", "filter"];

/// Statements that name values.
const NAMES: [&str; 3] = ["set", "with", "for"];

/// Functions that return what was rendered, and values that can be changed.
const CAPTURED: [&str; 4] = ["super", "self", "recursive", "namespace"];

/// Functions and filters that make one list or table of several.
const JOINS: [&str; 3] = ["dict", "chain", "zip"];

fn can_grow(tokens: &[PlacedToken], is_statement: bool) -> bool {
    let words = || tokens.iter().filter_map(|(token, _)| word(token));
    let signs = |wanted: &str| {
        let is_wanted = |(token, _): &&PlacedToken| matches!(token, TemplateToken::Sign(sign) if wanted.contains(*sign));
        tokens.iter().filter(is_wanted).count()
    };
    if signs("*") > 0 || words().any(|word| CAPTURED.contains(&word)) {
        return true;
    }
    let Some(statement) = words().next().filter(|_| is_statement) else {
        return false;
    };
    if CAPTURES.contains(&statement) {
        return true;
    }
    // A list of plain values is what most loops are over.
    let brackets = usize::from(statement == "for");
    let is_block = statement == "set" && signs("=") == 0;
    let joins = signs("~+") > 0 || words().any(|word| JOINS.contains(&word));
    NAMES.contains(&statement) && (is_block || joins || signs("[{") > brackets)
}

fn word(token: &TemplateToken) -> Option<&str> {
    match token {
        TemplateToken::Word(word) => Some(word),
        TemplateToken::Text(_) | TemplateToken::Sign(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_make_values_grow_are_found() {
        for text in [
            "{{ 'a' * 1000 }}",
            "{{ 2 ** 9 }}",
            "{% set x = x ~ x %}",
            "{%- set x = x + x -%}",
            "{% set x = [x, x] %}",
            "{% set x = {'a': x} %}",
            "{% set x = dict(a=x, b=x) %}",
            "{% set x = x | chain(x) %}",
            "{% set x %}…{% endset %}",
            "{% set ns = namespace(a=1) %}",
            "{% with x = x ~ x %}{% endwith %}",
            "{% for y in [x ~ x] %}{% endfor %}",
            "{% for y in [[x, x]] %}{% endfor %}",
            "{% for y in x recursive %}{% endfor %}",
            "{% macro m() %}{% endmacro %}",
            "{% call m() %}{% endcall %}",
            "{% filter upper %}{% endfilter %}",
            "{{ super() }}",
            "{{ self.body() }}",
        ] {
            assert!(growing(text).is_some(), "{text}");
        }
    }

    #[test]
    fn plain_templates_cannot_grow() {
        for text in [
            "{# 'a' * 1000 #}{% raw %}{{ 'a' * 1000 }}{% endraw %} a * b",
            "{{ a ~ '*' ~ b | join('+') }}",
            "{% set x = node.name | lower %}{{ x }}",
            "{% for x in ['a', 'b'] %}{{ x + 1 }}{% else %}{% endfor %}",
            "{% if a.b[0] == 'x' %}{% elif c %}{% endif %}",
            "{% include 'x' %}{% extends 'y' %}{% block z %}{% endblock %}",
        ] {
            assert_eq!(growing(text), None, "{text}");
        }
    }
}
