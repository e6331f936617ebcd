//! Evaluates an expression for one machine: yes, no, or unknown.
//!
//! The logic has three values (Kleene's): a missing fact, an error and a comparison of different types are unknown,
//! and so is everything that depends on them, unless the other operand determines the result.

use minijinja::{Environment, Value, value::ValueKind};

use super::term::{Arithmetic, Comparison, Term};

/// The value of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TruthValue {
    /// The expression is true.
    Yes,
    /// The expression is false.
    No,
    /// It cannot be evaluated, for this reason.
    Unknown(String),
}

/// The variables of an expression: facts and tags.
pub(crate) struct ExpressionContext {
    pub(crate) facts: Value,
    pub(crate) tags: Value,
    /// Tags of which it is unknown whether the machine has them.
    pub(crate) unsure: Vec<String>,
}

type ValueResult = Result<Value, String>;

pub(crate) fn evaluate(
    term: &Term,
    known: &ExpressionContext,
    functions: &Environment<'_>,
) -> TruthValue {
    let evaluation = Evaluator { known, functions };
    match evaluation.of(term) {
        Ok(value) if value.kind() == ValueKind::Bool => {
            if value.is_true() {
                TruthValue::Yes
            } else {
                TruthValue::No
            }
        }
        Ok(_) => TruthValue::Unknown("it is neither true nor false".into()),
        Err(reason) => TruthValue::Unknown(reason),
    }
}

struct Evaluator<'a> {
    known: &'a ExpressionContext,
    functions: &'a Environment<'a>,
}

impl Evaluator<'_> {
    fn of(&self, term: &Term) -> ValueResult {
        match term {
            Term::Const(value) => Ok(value.clone()),
            Term::List(terms) => Ok(Value::from(self.all(terms)?)),
            Term::Root(name) if name == "facts" => Ok(self.known.facts.clone()),
            Term::Root(_) => Ok(self.known.tags.clone()),
            Term::Item(of, key) => self.item(of, key),
            Term::Not(inner) => Ok(Value::from(!boolean(&self.of(inner)?)?)),
            Term::Negative(inner) => negative(&self.of(inner)?),
            Term::And(left, right) => self.decided(left, right, false),
            Term::Or(left, right) => self.decided(left, right, true),
            Term::Compare(first, rest) => self.compare(first, rest),
            Term::Arithmetic(op, left, right) => arithmetic(*op, &self.of(left)?, &self.of(right)?),
            Term::If(test, yes, no) => match (boolean(&self.of(test)?)?, no) {
                (true, _) => self.of(yes),
                (false, Some(no)) => self.of(no),
                (false, None) => Err("its condition does not hold and it has no `else`".into()),
            },
            Term::Filter(name, terms) => self.filter(name, terms),
            Term::Test(name, terms) => self.test(name, terms),
        }
    }

    fn all(&self, terms: &[Term]) -> Result<Vec<Value>, String> {
        terms.iter().map(|term| self.of(term)).collect()
    }

    fn item(&self, of: &Term, key: &Term) -> ValueResult {
        let (object, key) = (self.of(of)?, self.of(key)?);
        // An error means the same as a missing item: the value is unknown.
        let value = object.get_item(&key).unwrap_or_default();
        if value.is_undefined() || value.is_none() {
            let path = if matches!(of, Term::Root(_)) {
                "fact "
            } else {
                ""
            };
            return Err(format!("{path}`{key}` is not known"));
        }
        Ok(value)
    }

    /// `and` is decided by a false operand, `or` by a true one, on either side.
    fn decided(&self, left: &Term, right: &Term, decides: bool) -> ValueResult {
        let left = self.of(left).and_then(|value| boolean(&value));
        if left == Ok(decides) {
            return Ok(Value::from(decides));
        }
        let right = self.of(right).and_then(|value| boolean(&value));
        if right == Ok(decides) {
            return Ok(Value::from(decides));
        }
        left?;
        right?;
        Ok(Value::from(!decides))
    }

    fn compare(&self, first: &Term, rest: &[(Comparison, Term)]) -> ValueResult {
        let mut left = self.of(first)?;
        for (by, right) in rest {
            let is_tags = matches!(right, Term::Root(name) if name == "tags");
            let right = self.of(right)?;
            if is_tags
                && self
                    .known
                    .unsure
                    .iter()
                    .any(|tag| left.as_str() == Some(tag))
            {
                return Err(format!("tag `{left}` is not known"));
            }
            if !holds(*by, &left, &right)? {
                return Ok(Value::from(false));
            }
            left = right;
        }
        Ok(Value::from(true))
    }

    fn filter(&self, name: &str, terms: &[Term]) -> ValueResult {
        if let ("default" | "d", [subject, fallback]) = (name, terms) {
            return self.of(subject).or_else(|_| self.of(fallback));
        }
        let args = self.all(terms)?;
        let applied = self.functions.empty_state().apply_filter(name, &args);
        applied.map_err(|error| format!("filter `{name}`: {}", error.kind()))
    }

    fn test(&self, name: &str, terms: &[Term]) -> ValueResult {
        match (name, terms) {
            ("defined", [subject]) => return Ok(Value::from(self.of(subject).is_ok())),
            ("undefined", [subject]) => return Ok(Value::from(self.of(subject).is_err())),
            _ => {}
        }
        let args = self.all(terms)?;
        let passed = self.functions.empty_state().perform_test(name, &args);
        passed
            .map(Value::from)
            .map_err(|error| format!("test `{name}`: {}", error.kind()))
    }
}

fn boolean(value: &Value) -> Result<bool, String> {
    match value.kind() {
        ValueKind::Bool => Ok(value.is_true()),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

fn holds(by: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    if matches!(by, Comparison::In | Comparison::NotIn) {
        return Ok(contains(left, right)? == (by == Comparison::In));
    }
    if left.kind() != right.kind() {
        return Err(format!("`{left}` and `{right}` are of unlike types"));
    }
    Ok(match by {
        Comparison::Equal => left == right,
        Comparison::Unequal => left != right,
        Comparison::Less => left < right,
        Comparison::LessOrEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterOrEqual => left >= right,
        Comparison::In | Comparison::NotIn => unreachable!("answered above"),
    })
}

fn contains(item: &Value, of: &Value) -> Result<bool, String> {
    if let (Some(part), Some(text)) = (item.as_str(), of.as_str()) {
        return Ok(text.contains(part));
    }
    match of.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = of.try_iter().map_err(|error| error.kind().to_string())?;
            Ok(items.any(|other| other.kind() == item.kind() && other == *item))
        }
        _ => Err(format!("`{of}` is not a list, so `{item}` cannot be in it")),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).map_err(|error| error.kind().to_string()),
        _ => Err(format!("`{value}` is not a number")),
    }
}

fn negative(value: &Value) -> ValueResult {
    if let Ok(whole) = i64::try_from(value.clone()) {
        return Ok(Value::from(whole.saturating_neg()));
    }
    number(value).map(|value| Value::from(-value))
}

fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> ValueResult {
    if op == Arithmetic::Concatenate {
        return Ok(Value::from(format!("{left}{right}")));
    }
    let whole = i64::try_from(left.clone())
        .ok()
        .zip(i64::try_from(right.clone()).ok());
    if let Some((a, b)) =
        whole.filter(|_| left.kind() == ValueKind::Number && right.kind() == ValueKind::Number)
    {
        let result = match op {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
            Arithmetic::FloorDivide => a.checked_div_euclid(b),
            Arithmetic::Remainder => a.checked_rem_euclid(b),
            Arithmetic::Divide if b != 0 => return Ok(Value::from(a as f64 / b as f64)),
            Arithmetic::Divide | Arithmetic::Concatenate => None,
        };
        return result
            .map(Value::from)
            .ok_or_else(|| "a number is too large, or divided by zero".into());
    }
    let (a, b) = (number(left)?, number(right)?);
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::FloorDivide => (a / b).floor(),
        Arithmetic::Remainder => a.rem_euclid(b),
        Arithmetic::Concatenate => unreachable!("answered above"),
    };
    if result.is_finite() {
        Ok(Value::from(result))
    } else {
        Err("a number is divided by zero".into())
    }
}
