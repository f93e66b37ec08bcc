//! [`Condition`]: what conditions and filters say, and how they are read.
//!
//! ```text
//! or         = and { OR and }
//! and        = not { AND not }
//! not        = NOT not | comparison
//! comparison = primary [ comparator primary | BETWEEN primary AND primary | IN ( primary { , primary } ) ]
//! primary    = ( or ) | function ( primary { , primary } ) | path | :value
//! ```
//!
//! A bracket may hold a condition or an operand, and only its end tells which: so both are read as [`Node`]s.

use super::{
    Fault, Operand, Path, Placeholders,
    lexer::{Token, Tokens},
};
use crate::dynamodb::value::AttributeValue;

/// The most values of one `IN`.
const LIST_LEN_MAX: usize = 100;

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparator {
    fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "=" => Self::Equal,
            "<>" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    const fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

/// What must be true of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dynamodb) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    HasType(Operand, Operand),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

/// A condition or an operand, and whether it stands in brackets of its own.
struct Node {
    content: Content,
    bracketed: bool,
}

enum Content {
    Condition(Condition),
    Operand(Operand),
}

impl Node {
    const fn condition(condition: Condition) -> Self {
        Self {
            content: Content::Condition(condition),
            bracketed: false,
        }
    }

    const fn operand(operand: Operand) -> Self {
        Self {
            content: Content::Operand(operand),
            bracketed: false,
        }
    }

    fn into_condition(self, tokens: &Tokens<'_>) -> Result<Condition, Fault> {
        match self.content {
            Content::Condition(condition) => Ok(condition),
            Content::Operand(Operand::Size(_)) => Err(misused("size")),
            Content::Operand(_) => Err(tokens.unexpected()),
        }
    }

    fn into_operand(self) -> Result<Operand, Fault> {
        match self.content {
            Content::Operand(operand) => Ok(operand),
            Content::Condition(condition) => Err(misused(condition.function().unwrap_or("("))),
        }
    }
}

fn misused(function: &str) -> Fault {
    Fault(format!(
        "The function is not allowed to be used this way in an expression; function: {function}"
    ))
}

impl Condition {
    pub(super) fn parse(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<Self, Fault> {
        Reader { tokens, placeholders }.any_condition()
    }

    fn function(&self) -> Option<&'static str> {
        Some(match self {
            Self::Exists(_) => "attribute_exists",
            Self::NotExists(_) => "attribute_not_exists",
            Self::HasType(..) => "attribute_type",
            Self::BeginsWith(..) => "begins_with",
            Self::Contains(..) => "contains",
            _ => return None,
        })
    }
}

struct Reader<'t, 'a> {
    tokens: &'t mut Tokens<'a>,
    placeholders: &'t mut Placeholders,
}

impl Reader<'_, '_> {
    fn any_condition(&mut self) -> Result<Condition, Fault> {
        self.or()?.into_condition(self.tokens)
    }

    fn or(&mut self) -> Result<Node, Fault> {
        self.chain("OR", Condition::Any, Self::and)
    }

    fn and(&mut self) -> Result<Node, Fault> {
        self.chain("AND", Condition::All, Self::not)
    }

    /// One or more of what `read` reads, with `keyword` between them.
    fn chain(
        &mut self,
        keyword: &str,
        join: fn(Vec<Condition>) -> Condition,
        read: fn(&mut Self) -> Result<Node, Fault>,
    ) -> Result<Node, Fault> {
        let first = read(self)?;
        if !self.tokens.take_keyword(keyword) {
            return Ok(first);
        }
        let mut conditions = vec![first.into_condition(self.tokens)?];
        loop {
            conditions.push(read(self)?.into_condition(self.tokens)?);
            if !self.tokens.take_keyword(keyword) {
                return Ok(Node::condition(join(conditions)));
            }
        }
    }

    fn not(&mut self) -> Result<Node, Fault> {
        if !self.tokens.take_keyword("NOT") {
            return self.comparison();
        }
        self.tokens.enter()?;
        let negated = self.not()?.into_condition(self.tokens)?;
        self.tokens.leave();
        Ok(Node::condition(Condition::Not(Box::new(negated))))
    }

    fn comparison(&mut self) -> Result<Node, Fault> {
        let left = self.primary()?;
        if matches!(left.content, Content::Condition(_)) {
            return Ok(left);
        }
        if let Token::Symbol(symbol) = self.tokens.peek() {
            let Some(comparator) = Comparator::of(symbol) else {
                return Ok(left);
            };
            self.tokens.next();
            let (left, right) = (left.into_operand()?, self.operand()?);
            return compare(comparator, left, right).map(Node::condition);
        }
        if self.tokens.take_keyword("BETWEEN") {
            let (left, low) = (left.into_operand()?, self.operand()?);
            if !self.tokens.take_keyword("AND") {
                return Err(self.tokens.unexpected());
            }
            let high = self.operand()?;
            return between(left, low, high).map(Node::condition);
        }
        if self.tokens.take_keyword("IN") {
            let left = left.into_operand()?;
            let list = self.arguments()?;
            if list.len() > LIST_LEN_MAX {
                return Err(Fault::operand_count("IN", list.len()));
            }
            return Ok(Node::condition(Condition::In(left, list)));
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        self.primary()?.into_operand()
    }

    fn primary(&mut self) -> Result<Node, Fault> {
        if self.tokens.take("(") {
            self.tokens.enter()?;
            let inner = self.or()?;
            self.tokens.leave();
            self.tokens.expect(")")?;
            if inner.bracketed {
                return Err(Fault("The expression has redundant parentheses;".to_owned()));
            }
            return Ok(Node {
                bracketed: true,
                ..inner
            });
        }
        match (self.tokens.peek(), self.tokens.peek_second()) {
            (Token::Word(name), Token::Symbol("(")) => {
                self.tokens.next();
                function(name, self.arguments()?)
            }
            _ => Operand::parse_plain(self.tokens, self.placeholders).map(Node::operand),
        }
    }

    /// Operands in brackets.
    fn arguments(&mut self) -> Result<Vec<Operand>, Fault> {
        self.tokens.expect("(")?;
        self.tokens.enter()?;
        let mut arguments = vec![self.operand()?];
        while self.tokens.take(",") {
            arguments.push(self.operand()?);
        }
        self.tokens.leave();
        self.tokens.expect(")")?;
        Ok(arguments)
    }
}

fn function(name: &str, arguments: Vec<Operand>) -> Result<Node, Fault> {
    let count = arguments.len();
    let wrong_count = || Fault::operand_count(name, count);
    let one = |arguments: Vec<Operand>| <[Operand; 1]>::try_from(arguments).map_err(|_| wrong_count());
    let two = |arguments: Vec<Operand>| <[Operand; 2]>::try_from(arguments).map_err(|_| wrong_count());
    let path = |[operand]: [Operand; 1]| match operand {
        Operand::Path(path) => Ok(path),
        _ => Err(Fault(format!(
            "Operator or function requires a document path; operator or function: {name}"
        ))),
    };
    let condition = match name {
        "size" => {
            let [operand] = one(arguments)?;
            return Operand::size_of(operand).map(Node::operand);
        }
        "attribute_exists" => Condition::Exists(path(one(arguments)?)?),
        "attribute_not_exists" => Condition::NotExists(path(one(arguments)?)?),
        "attribute_type" => {
            let [operand, wanted] = two(arguments)?;
            check_type_name(&wanted)?;
            Condition::HasType(operand, wanted)
        }
        "begins_with" => {
            let [operand, prefix] = two(arguments)?;
            for operand in [&operand, &prefix] {
                if let Some(other) = operand.fixed_type().filter(|name| !matches!(*name, "S" | "B")) {
                    return Err(Fault::operand_type("begins_with", other));
                }
            }
            check_distinct("begins_with", &operand, &prefix)?;
            Condition::BeginsWith(operand, prefix)
        }
        "contains" => {
            let [operand, element] = two(arguments)?;
            check_distinct("contains", &operand, &element)?;
            Condition::Contains(operand, element)
        }
        _ => return Err(Fault(format!("Invalid function name; function: {name}"))),
    };
    Ok(Node::condition(condition))
}

fn check_type_name(wanted: &Operand) -> Result<(), Fault> {
    const TYPES: [&str; 10] = ["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"];
    match wanted {
        Operand::Value(AttributeValue::S(name)) if TYPES.contains(&name.as_str()) => Ok(()),
        Operand::Value(AttributeValue::S(name)) => Err(Fault(format!(
            "Invalid attribute type name found; type: {name}, valid types: {{{}}}",
            TYPES.join(",")
        ))),
        other => Err(Fault::operand_type(
            "attribute_type",
            other.fixed_type().unwrap_or("{NS,SS,L,BS,N,M,B,BOOL,NULL,S}"),
        )),
    }
}

fn compare(comparator: Comparator, left: Operand, right: Operand) -> Result<Condition, Fault> {
    check_distinct(comparator.as_str(), &left, &right)?;
    if comparator.orders() {
        check_ordered(comparator.as_str(), &left)?;
        check_ordered(comparator.as_str(), &right)?;
    }
    Ok(Condition::Compare(comparator, left, right))
}

fn between(operand: Operand, low: Operand, high: Operand) -> Result<Condition, Fault> {
    for operand in [&operand, &low, &high] {
        check_ordered("BETWEEN", operand)?;
    }
    if let (Operand::Value(low), Operand::Value(high)) = (&low, &high) {
        if low.type_name() != high.type_name() {
            return Err(Fault(
                "The BETWEEN operator requires same data type for lower and upper bounds;".to_owned(),
            ));
        }
        if low.order(high).is_some_and(std::cmp::Ordering::is_gt) {
            return Err(Fault(
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound;".to_owned(),
            ));
        }
    }
    Ok(Condition::Between(operand, low, high))
}

/// Refuses a fixed value of a type that has no order.
fn check_ordered(operator: &str, operand: &Operand) -> Result<(), Fault> {
    match operand.fixed_type().filter(|name| !matches!(*name, "S" | "N" | "B")) {
        Some(other) => Err(Fault::operand_type(operator, other)),
        None => Ok(()),
    }
}

fn check_distinct(operator: &str, left: &Operand, right: &Operand) -> Result<(), Fault> {
    match (left, right) {
        (Operand::Path(left), Operand::Path(right)) if left == right => Err(Fault(format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: \
             {operator}, first operand: {left}"
        ))),
        _ => Ok(()),
    }
}
