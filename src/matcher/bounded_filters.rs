//! The filters of the template engine, with bounds on what they make.
//!
//! The engine bounds the number of its instructions, but one filter is one instruction: `indent(1000000000)` would make
//! a gigabyte. So the size of every result is computed before it is made, and their sum is bounded.

use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters,
    value::{Rest, ValueKind, ValueOrKwargs},
};

/// The maximum of a width or a count that an argument requests.
const MAX_NUMBER: i64 = 1_000;

/// The maximum number of items of a list that a filter handles.
const MAX_ITEMS: usize = 100_000;

/// The maximum length of a text that a filter makes, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// The maximum length of all texts of one evaluation together, in bytes.
const MAX_TEXTS: usize = 16 << 20;

/// The assumed length of a value that is not a text, when it is written, in bytes.
const VALUE_LENGTH: usize = 32;

/// What one evaluation has made so far, in bytes.
#[derive(Default)]
struct MadeTexts(usize);

/// Replaces the engine's filters by those with bounds.
pub(crate) fn add_bounded_filters(environment: &mut Environment<'_>) {
    let of_texts = [
        ("upper", Value::from_function(filters::upper)),
        ("lower", Value::from_function(filters::lower)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("trim", Value::from_function(filters::trim)),
        ("escape", Value::from_function(filters::escape)),
        ("e", Value::from_function(filters::escape)),
        ("string", Value::from_function(filters::string)),
        ("split", Value::from_function(filters::split)),
        ("lines", Value::from_function(filters::lines)),
        ("pprint", Value::from_function(filters::pprint)),
    ];
    let of_lists = [
        ("length", Value::from_function(filters::length)),
        ("count", Value::from_function(filters::length)),
        ("reverse", Value::from_function(filters::reverse)),
        ("first", Value::from_function(filters::first)),
        ("last", Value::from_function(filters::last)),
        ("min", Value::from_function(filters::min)),
        ("max", Value::from_function(filters::max)),
        ("sum", Value::from_function(filters::sum)),
        ("sort", Value::from_function(filters::sort)),
        ("list", Value::from_function(filters::list)),
        ("unique", Value::from_function(filters::unique)),
        ("groupby", Value::from_function(filters::groupby)),
        ("map", Value::from_function(filters::map)),
        ("select", Value::from_function(filters::select)),
        ("reject", Value::from_function(filters::reject)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("chain", Value::from_function(filters::chain)),
        ("zip", Value::from_function(filters::zip)),
    ];
    let of_numbers = [
        ("batch", Value::from_function(filters::batch)),
        ("slice", Value::from_function(filters::slice)),
    ];
    add(environment, of_texts, |_| Ok(()));
    add(environment, of_lists, require_short_lists);
    add(environment, of_numbers, |arguments| {
        require_small_numbers(arguments)?;
        require_short_lists(arguments)
    });
    let indent = [("indent", Value::from_function(filters::indent))];
    add(environment, indent, |arguments| {
        require_small_numbers(arguments)?;
        let lines = arguments.first().and_then(Value::as_str);
        let lines = lines.map_or(0, |text| text.matches('\n').count() + 1);
        require_short(lines.saturating_mul(largest_number(arguments)))
    });
    let join = [("join", Value::from_function(filters::join))];
    add(environment, join, require_short_join);
    let replace = [("replace", Value::from_function(filters::replace))];
    add(environment, replace, require_short_replacements);
    let format = [("format", Value::from_function(filters::format))];
    add(environment, format, require_short_format);
}

/// Records that an evaluation makes a text. An error means that all of its texts together are too long.
pub(crate) fn record_text(state: &mut State<'_, '_>, length: usize) -> Result<(), Error> {
    let made = state.get_or_insert_extension(MadeTexts::default());
    made.0 = made.0.saturating_add(length);
    if made.0 <= MAX_TEXTS {
        return Ok(());
    }
    Err(refused(format!(
        "this makes more than {} MiB of text",
        MAX_TEXTS >> 20
    )))
}

fn add<const N: usize>(
    environment: &mut Environment<'_>,
    filters: [(&'static str, Value); N],
    check: impl Fn(&[Value]) -> Result<(), Error> + Copy + Send + Sync + 'static,
) {
    for (name, filter) in filters {
        let bounded = move |state: &mut State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            let arguments = arguments.into_values();
            check(&arguments)?;
            let made = filter.call(state, &arguments)?;
            record_text(state, made.as_str().map_or(0, str::len))?;
            Ok::<_, Error>(made)
        };
        environment.add_filter(name, bounded);
    }
}

/// The numbers among arguments, with or without a name.
fn numbers(arguments: &[Value]) -> impl Iterator<Item = i64> {
    let named = arguments.iter().skip(1).flat_map(|argument| {
        let keys = match argument.kind() {
            ValueKind::Map => argument.try_iter().ok(),
            _ => None,
        };
        let values = keys.into_iter().flatten();
        values.filter_map(|key| argument.get_item(&key).ok())
    });
    let plain = arguments.iter().skip(1).cloned();
    let all = plain.chain(named);
    let numbers = all.filter(|value| value.kind() == ValueKind::Number);
    // A number that does not fit is larger than every bound.
    numbers.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

fn largest_number(arguments: &[Value]) -> usize {
    let largest = numbers(arguments).max().unwrap_or(0).max(4);
    usize::try_from(largest).unwrap_or(usize::MAX)
}

fn require_small_numbers(arguments: &[Value]) -> Result<(), Error> {
    match numbers(arguments).find(|number| *number > MAX_NUMBER) {
        Some(number) => Err(refused(format!(
            "{number} is too large: at most {MAX_NUMBER}"
        ))),
        None => Ok(()),
    }
}

fn require_short_lists(arguments: &[Value]) -> Result<(), Error> {
    for argument in arguments {
        items(argument)?;
    }
    Ok(())
}

/// Returns how many items a value has; none has itself.
fn items(value: &Value) -> Result<usize, Error> {
    let count = match value.kind() {
        ValueKind::Seq | ValueKind::Map => value.len().unwrap_or(0),
        ValueKind::Iterable => value.try_iter()?.take(MAX_ITEMS + 1).count(),
        _ => 0,
    };
    if count > MAX_ITEMS {
        return Err(refused(format!(
            "this list is too long: at most {MAX_ITEMS} items"
        )));
    }
    Ok(count)
}

fn require_short(length: usize) -> Result<(), Error> {
    if length > MAX_TEXT {
        return Err(refused(format!(
            "this text would be longer than {} KiB",
            MAX_TEXT >> 10
        )));
    }
    Ok(())
}

fn length(value: &Value) -> usize {
    value.as_str().map_or(VALUE_LENGTH, str::len)
}

fn require_short_join(arguments: &[Value]) -> Result<(), Error> {
    let [list, rest @ ..] = arguments else {
        return Ok(());
    };
    let count = items(list)?;
    let texts = rest.iter().chain(list.as_str().map(|_| list));
    let joiner: usize = texts.map(longest).max().unwrap_or(0);
    require_short(joiner.saturating_mul(count))?;
    // A value that cannot be iterated over is refused by the filter.
    let listed = list.try_iter().into_iter().flatten();
    let sum = listed
        .map(|item| length(&item))
        .fold(0, usize::saturating_add);
    require_short(sum)
}

/// The length of the longest text in an argument, which may have a name.
fn longest(argument: &Value) -> usize {
    let keys = match argument.kind() {
        ValueKind::Map => argument.try_iter().ok(),
        _ => None,
    };
    let named = keys.into_iter().flatten();
    let named = named.filter_map(|key| argument.get_item(&key).ok());
    let longest = named.map(|value| length(&value)).max();
    longest.unwrap_or_else(|| length(argument))
}

fn require_short_replacements(arguments: &[Value]) -> Result<(), Error> {
    let [Some(text), Some(from), Some(to)] =
        [0, 1, 2].map(|at| arguments.get(at).and_then(Value::as_str))
    else {
        // Numbers are short, and everything else is refused by the filter.
        return Ok(());
    };
    let count = match from.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(from).count(),
    };
    require_short(text.len().saturating_add(count.saturating_mul(to.len())))
}

/// A width or precision in a format of `printf`.
fn require_short_format(arguments: &[Value]) -> Result<(), Error> {
    let Some(format) = arguments.first().and_then(Value::as_str) else {
        return Ok(());
    };
    let is_long = |number: &str| number.trim_start_matches('0').len() > 3;
    let numbers = format.split(|c: char| !c.is_ascii_digit());
    if format.contains('*') || numbers.into_iter().any(is_long) {
        return Err(refused(
            "a width is too large: at most three digits, and no `*`".into(),
        ));
    }
    let texts = arguments.iter().map(length).fold(0, usize::saturating_add);
    require_short(texts)?;
    let conversions = format.matches('%').count();
    require_short(conversions.saturating_mul(MAX_NUMBER as usize))
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluated(expression: &str) -> Result<String, String> {
        let mut environment = Environment::new();
        add_bounded_filters(&mut environment);
        let rendered = environment.render_str(&format!("{{{{ {expression} }}}}"), ());
        rendered.map_err(|error| error.detail().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_filter_makes_no_more_than_its_bound() {
        for expression in [
            "'a\nb' | indent(1000000000)",
            "'a\nb' | indent(width=1000000000)",
            "'a\nb' | indent(2 ** 70)",
            "('a\n' * 100000) | indent(100)",
            "[1] | batch(1000000000, 'x')",
            "[1] | slice(1000000000, 'x')",
            "range(100000) | join('a' * 1000)",
            "range(100000) | join(d='a' * 1000)",
            "['a' * 1000000, 'b' * 1000000] | join",
            "('a' * 10000) | replace('a', 'b' * 10000)",
            "('a' * 10000) | replace('', 'b' * 10000)",
            "'%1000000000s' | format('a')",
            "'%.1000000000f' | format(1.5)",
            "'%*d' | format(1000000000, 1)",
            "('%999s' * 10000) | format('a')",
            "range(100000) | chain(range(100000)) | list",
            "range(100000) | chain(range(100000)) | sort | length",
            "range(100000) | map('string') | chain(range(100000)) | unique | list",
            "('a' * 17000000) | upper",
        ] {
            let refused = evaluated(expression).unwrap_err();
            let is_bound = ["too l", "longer than", "more than"]
                .iter()
                .any(|bound| refused.contains(bound));
            assert!(is_bound, "{expression}: {refused}");
        }
    }

    #[test]
    fn honest_uses_of_filters_give_what_the_engine_gives() {
        for expression in [
            "'a\nb' | indent(8, first=true)",
            "range(5) | batch(2, 0) | list",
            "range(5) | slice(2) | list",
            "[1, 'b', 2.5] | join(', ')",
            "'abc' | join('-')",
            "[{'a': 1}, {'a': 2}] | join('+', attribute='a')",
            "'a.b' | replace('.', '-')",
            "10 | replace(1, 2)",
            "'%05d %s %.2f%%' | format(3, 'x', 1.5)",
            "['b', 'A'] | sort | reverse | first",
            "[3, 1] | map('string') | join",
            "[{'n': 1, 's': 'x'}] | groupby('n') | length",
            "{'b': 1, 'a': 2} | list | sort",
            "['a', 'a'] | unique | list",
            "[1, none, 2] | select | sum",
            "' x ' | trim | upper | title | lower | capitalize",
            "'a b' | split | zip([1, 2]) | list",
        ] {
            let plain = Environment::new()
                .render_str(&format!("{{{{ {expression} }}}}"), ())
                .unwrap();
            assert_eq!(evaluated(expression), Ok(plain), "{expression}");
        }
    }
}
