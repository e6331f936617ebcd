//! Parses expressions. The grammar is that of the template language, without constructs that a rule does not need.
//!
//! There are no calls, slices or loops, so the evaluation of every expression ends, in a time that is bounded by
//! its length.

use minijinja::{
    Value,
    machinery::{ast, parse_expr},
};

use super::depth::{MAX_DEPTH, is_too_deep};
use crate::model::Facts;

/// What an expression may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Only facts: a tag's rule.
    Facts,
    /// Facts and tags: a policy's rule and `expect`.
    FactsAndTags,
}

/// A parsed and checked expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    Const(Value),
    List(Vec<Term>),
    /// `facts.a.b`, `facts.custom["x"]`, `tags`: the root and the path after it.
    Root(String),
    Item(Box<Term>, Box<Term>),
    Not(Box<Term>),
    Negative(Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    Compare(Box<Term>, Vec<(Comparison, Term)>),
    Arithmetic(Arithmetic, Box<Term>, Box<Term>),
    If(Box<Term>, Box<Term>, Option<Box<Term>>),
    Filter(String, Vec<Term>),
    Test(String, Vec<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// An operation on two numbers or two strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Concatenate,
}

/// The maximum length of an expression in bytes.
const MAX_LENGTH: usize = 4_096;

/// Parses an expression and checks it against `scope`. The error is one line for the operator.
pub(crate) fn parse(text: &str, scope: Scope) -> Result<Term, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    if is_too_deep(text) {
        return Err(format!(
            "it is nested too deeply: at most {MAX_DEPTH} levels"
        ));
    }
    let tree = parse_expr(text).map_err(|error| syntax(&error))?;
    let term = convert(&tree)?;
    check_roots(&term, scope)?;
    Ok(term)
}

fn syntax(error: &minijinja::Error) -> String {
    error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned)
}

fn convert(expr: &ast::Expr<'_>) -> Result<Term, String> {
    Ok(match expr {
        ast::Expr::Var(var) => Term::Root(var.id.into()),
        ast::Expr::Const(constant) => Term::Const(constant.value.clone()),
        ast::Expr::UnaryOp(unary) => match unary.op {
            ast::UnaryOpKind::Not => Term::Not(boxed(&unary.expr)?),
            ast::UnaryOpKind::Neg => Term::Negative(boxed(&unary.expr)?),
        },
        ast::Expr::BinOp(binary) => convert_binary(binary)?,
        ast::Expr::Compare(compare) => {
            let rest = compare
                .ops
                .iter()
                .map(|op| Ok((comparison(&op.op), convert(&op.expr)?)));
            Term::Compare(boxed(&compare.expr)?, rest.collect::<Result<_, String>>()?)
        }
        ast::Expr::IfExpr(choice) => Term::If(
            boxed(&choice.test_expr)?,
            boxed(&choice.true_expr)?,
            choice.false_expr.as_ref().map(boxed).transpose()?,
        ),
        ast::Expr::Filter(filter) => {
            let subject = filter
                .expr
                .as_ref()
                .ok_or("a filter needs something to work on")?;
            Term::Filter(filter.name.into(), with_arguments(subject, &filter.args)?)
        }
        ast::Expr::Test(test) => {
            Term::Test(test.name.into(), with_arguments(&test.expr, &test.args)?)
        }
        ast::Expr::GetAttr(get) => Term::Item(
            boxed(&get.expr)?,
            Box::new(Term::Const(Value::from(get.name))),
        ),
        ast::Expr::GetItem(get) => Term::Item(boxed(&get.expr)?, boxed(&get.subscript_expr)?),
        ast::Expr::List(list) => Term::List(converted(&list.items)?),
        ast::Expr::Tuple(tuple) => Term::List(converted(&tuple.items)?),
        ast::Expr::Call(_) => return Err("nothing can be called here; filters can be used".into()),
        ast::Expr::Slice(_) => return Err("slices cannot be used here".into()),
        ast::Expr::Map(_) => return Err("maps cannot be used here".into()),
    })
}

fn convert_binary(binary: &ast::BinOp<'_>) -> Result<Term, String> {
    let (left, right) = (boxed(&binary.left)?, boxed(&binary.right)?);
    let compare = |by| Ok(Term::Compare(left.clone(), vec![(by, (*right).clone())]));
    let op = match binary.op {
        ast::BinOpKind::ScAnd => return Ok(Term::And(left, right)),
        ast::BinOpKind::ScOr => return Ok(Term::Or(left, right)),
        ast::BinOpKind::Eq => return compare(Comparison::Equal),
        ast::BinOpKind::Ne => return compare(Comparison::Unequal),
        ast::BinOpKind::Lt => return compare(Comparison::Less),
        ast::BinOpKind::Lte => return compare(Comparison::LessOrEqual),
        ast::BinOpKind::Gt => return compare(Comparison::Greater),
        ast::BinOpKind::Gte => return compare(Comparison::GreaterOrEqual),
        ast::BinOpKind::In => return compare(Comparison::In),
        ast::BinOpKind::Add => Arithmetic::Add,
        ast::BinOpKind::Sub => Arithmetic::Subtract,
        ast::BinOpKind::Mul => Arithmetic::Multiply,
        ast::BinOpKind::Div => Arithmetic::Divide,
        ast::BinOpKind::FloorDiv => Arithmetic::FloorDivide,
        ast::BinOpKind::Rem => Arithmetic::Remainder,
        ast::BinOpKind::Concat => Arithmetic::Concatenate,
        ast::BinOpKind::Pow => return Err("powers cannot be used here".into()),
    };
    Ok(Term::Arithmetic(op, left, right))
}

fn comparison(op: &ast::CompareOpKind) -> Comparison {
    match op {
        ast::CompareOpKind::Eq => Comparison::Equal,
        ast::CompareOpKind::Ne => Comparison::Unequal,
        ast::CompareOpKind::Lt => Comparison::Less,
        ast::CompareOpKind::Lte => Comparison::LessOrEqual,
        ast::CompareOpKind::Gt => Comparison::Greater,
        ast::CompareOpKind::Gte => Comparison::GreaterOrEqual,
        ast::CompareOpKind::In => Comparison::In,
        ast::CompareOpKind::NotIn => Comparison::NotIn,
    }
}

fn boxed(expr: &ast::Expr<'_>) -> Result<Box<Term>, String> {
    convert(expr).map(Box::new)
}

fn converted(items: &[ast::Expr<'_>]) -> Result<Vec<Term>, String> {
    items.iter().map(convert).collect()
}

fn with_arguments(subject: &ast::Expr<'_>, args: &[ast::CallArg<'_>]) -> Result<Vec<Term>, String> {
    let mut terms = vec![convert(subject)?];
    for arg in args {
        let ast::CallArg::Pos(expr) = arg else {
            return Err("only plain arguments can be used here".into());
        };
        terms.push(convert(expr)?);
    }
    Ok(terms)
}

/// Rejects an unknown root, and a fact that no machine reports.
fn check_roots(term: &Term, scope: Scope) -> Result<(), String> {
    match term {
        Term::Root(name) => match (name.as_str(), scope) {
            ("facts", _) | ("tags", Scope::FactsAndTags) => Ok(()),
            ("tags", Scope::Facts) => Err("a tag cannot ask for other tags; a policy can".into()),
            (other, _) => Err(unknown(other, scope)),
        },
        Term::Item(of, key) => {
            if let (Term::Root(root), Term::Const(key)) = (&**of, &**key)
                && root == "facts"
            {
                check_fact(key)?;
            }
            check_roots(of, scope)?;
            check_roots(key, scope)
        }
        Term::Const(_) => Ok(()),
        Term::Not(inner) | Term::Negative(inner) => check_roots(inner, scope),
        Term::And(left, right) | Term::Or(left, right) | Term::Arithmetic(_, left, right) => {
            check_roots(left, scope)?;
            check_roots(right, scope)
        }
        Term::Compare(first, rest) => {
            check_roots(first, scope)?;
            rest.iter()
                .try_for_each(|(_, term)| check_roots(term, scope))
        }
        Term::If(test, yes, no) => {
            check_roots(test, scope)?;
            check_roots(yes, scope)?;
            no.iter().try_for_each(|no| check_roots(no, scope))
        }
        Term::List(terms) | Term::Filter(_, terms) | Term::Test(_, terms) => {
            terms.iter().try_for_each(|term| check_roots(term, scope))
        }
    }
}

fn unknown(name: &str, scope: Scope) -> String {
    let fact = Facts::NAMES.contains(&name);
    let known = if scope == Scope::Facts {
        "`facts`"
    } else {
        "`facts` and `tags`"
    };
    if fact {
        format!("`{name}` is not known here: did you mean `facts.{name}`?")
    } else {
        format!("`{name}` is not known here: expected {known}")
    }
}

fn check_fact(key: &Value) -> Result<(), String> {
    let Some(name) = key.as_str() else {
        return Ok(());
    };
    if name == "custom" || Facts::NAMES.contains(&name) {
        return Ok(());
    }
    let near = Facts::NAMES
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let near = near.filter(|near| strsim::jaro_winkler(near, name) > 0.75);
    Err(match near {
        Some(near) => format!("there is no fact `{name}`: did you mean `{near}`?"),
        None => format!("there is no fact `{name}`: facts of your own are `facts.custom.{name}`"),
    })
}
