//! [`Update`]: what an update says, and how it is read.
//!
//! ```text
//! update = { SET path = value { , path = value } | REMOVE path { , path }
//!          | ADD path :value { , path :value } | DELETE path :value { , path :value } }
//! value  = operand [ + operand | - operand ]
//! operand = path | :value | if_not_exists ( path , operand ) | list_append ( operand , operand ) | ( value )
//! ```

use super::{
    Fault, Path, Placeholders, Projection,
    lexer::{Token, Tokens},
};
use crate::dynamodb::{item::Item, value::AttributeValue};

/// What an update does to one path.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dynamodb) enum Action {
    Set(Path, SetValue),
    Remove(Path),
    /// Adds to a number, or elements to a set.
    Add(Path, AttributeValue),
    /// Takes elements from a set.
    Delete(Path, AttributeValue),
}

/// What a path is set to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dynamodb) enum SetValue {
    Path(Path),
    Value(AttributeValue),
    IfNotExists(Path, Box<Self>),
    ListAppend(Box<Self>, Box<Self>),
    Plus(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
}

/// Changes to an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::dynamodb) struct Update {
    pub(super) actions: Vec<Action>,
    /// Whether the update leaves an item alone that is not there, if all it does is to remove.
    pub(super) removes_without_making: bool,
}

impl Action {
    pub(super) const fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Add(path, _) | Self::Delete(path, _) => path,
        }
    }
}

impl Update {
    /// Changes to whole attributes, which do not make an item in order to remove from it.
    pub(in crate::dynamodb) const fn of_attributes(actions: Vec<Action>) -> Self {
        Self {
            actions,
            removes_without_making: true,
        }
    }

    /// The attributes that are changed.
    pub(in crate::dynamodb) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|action| action.path().attribute())
    }

    /// The parts of `item` that the update is about.
    pub(in crate::dynamodb) fn touched(&self, item: &Item) -> Item {
        Projection::of_paths(self.actions.iter().map(Action::path)).apply(item)
    }

    pub(super) fn parse(tokens: &mut Tokens<'_>, placeholders: &mut Placeholders) -> Result<Self, Fault> {
        let mut reader = Reader { tokens, placeholders };
        let mut actions = Vec::new();
        let mut read = Vec::new();
        while reader.tokens.peek() != Token::End {
            let section = reader.section()?;
            if read.contains(&section) {
                return Err(Fault(format!(
                    "The \"{section}\" section can only be used once in an update expression;"
                )));
            }
            read.push(section);
            actions.push(reader.action(section)?);
            while reader.tokens.take(",") {
                actions.push(reader.action(section)?);
            }
        }
        Path::check_apart(&actions.iter().map(Action::path).collect::<Vec<_>>())?;
        Ok(Self {
            actions,
            removes_without_making: false,
        })
    }
}

struct Reader<'t, 'a> {
    tokens: &'t mut Tokens<'a>,
    placeholders: &'t mut Placeholders,
}

impl Reader<'_, '_> {
    fn section(&mut self) -> Result<&'static str, Fault> {
        ["SET", "REMOVE", "ADD", "DELETE"]
            .into_iter()
            .find(|section| self.tokens.take_keyword(section))
            .ok_or_else(|| self.tokens.unexpected())
    }

    fn action(&mut self, section: &str) -> Result<Action, Fault> {
        let path = Path::parse(self.tokens, self.placeholders)?;
        match section {
            "SET" => {
                self.tokens.expect("=")?;
                Ok(Action::Set(path, self.value()?))
            }
            "ADD" => {
                let value = self.placeholder()?;
                match value {
                    AttributeValue::N(_) | AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => {
                        Ok(Action::Add(path, value))
                    }
                    other => Err(wrong_type("ADD", &other)),
                }
            }
            "DELETE" => {
                let value = self.placeholder()?;
                match value {
                    AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_) => {
                        Ok(Action::Delete(path, value))
                    }
                    other => Err(wrong_type("DELETE", &other)),
                }
            }
            _ => Ok(Action::Remove(path)),
        }
    }

    fn placeholder(&mut self) -> Result<AttributeValue, Fault> {
        let Token::Value(name) = self.tokens.peek() else {
            return Err(self.tokens.unexpected());
        };
        self.tokens.next();
        self.placeholders.value(name)
    }

    fn value(&mut self) -> Result<SetValue, Fault> {
        let left = self.operand()?;
        let Some(sign) = ["+", "-"].into_iter().find(|sign| self.tokens.take(sign)) else {
            return Ok(left);
        };
        let right = self.operand()?;
        check_fixed_type(sign, "N", &left)?;
        check_fixed_type(sign, "N", &right)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(match sign {
            "+" => SetValue::Plus(left, right),
            _ => SetValue::Minus(left, right),
        })
    }

    fn operand(&mut self) -> Result<SetValue, Fault> {
        match (self.tokens.peek(), self.tokens.peek_second()) {
            (Token::Symbol("("), _) => {
                self.tokens.next();
                self.tokens.enter()?;
                let value = self.value()?;
                self.tokens.leave();
                self.tokens.expect(")")?;
                Ok(value)
            }
            (Token::Word(name), Token::Symbol("(")) => {
                self.tokens.next();
                function(name, self.arguments()?)
            }
            (Token::Value(_), _) => self.placeholder().map(SetValue::Value),
            _ => Path::parse(self.tokens, self.placeholders).map(SetValue::Path),
        }
    }

    fn arguments(&mut self) -> Result<Vec<SetValue>, Fault> {
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

fn function(name: &str, arguments: Vec<SetValue>) -> Result<SetValue, Fault> {
    if !matches!(name, "if_not_exists" | "list_append") {
        return Err(Fault(format!("Invalid function name; function: {name}")));
    }
    let count = arguments.len();
    let [first, second] = <[SetValue; 2]>::try_from(arguments).map_err(|_| Fault::operand_count(name, count))?;
    if name == "list_append" {
        check_fixed_type(name, "L", &first)?;
        check_fixed_type(name, "L", &second)?;
        return Ok(SetValue::ListAppend(Box::new(first), Box::new(second)));
    }
    match first {
        SetValue::Path(path) => Ok(SetValue::IfNotExists(path, Box::new(second))),
        _ => Err(Fault(format!(
            "Operator or function requires a document path; operator or function: {name}"
        ))),
    }
}

/// Refuses a value from the request that is of another type than `wanted`.
fn check_fixed_type(name: &str, wanted: &str, value: &SetValue) -> Result<(), Fault> {
    match value {
        SetValue::Value(value) if value.type_name() != wanted => Err(Fault::operand_type(name, value.type_name())),
        _ => Ok(()),
    }
}

fn wrong_type(operator: &str, value: &AttributeValue) -> Fault {
    let type_name = match value {
        AttributeValue::S(_) => "STRING",
        AttributeValue::N(_) => "NUMBER",
        AttributeValue::B(_) => "BINARY",
        AttributeValue::Bool(_) => "BOOLEAN",
        AttributeValue::L(_) => "LIST",
        AttributeValue::M(_) => "MAP",
        other => other.type_name(),
    };
    Fault(format!(
        "Incorrect operand type for operator or function; operator: {operator}, operand type: {type_name}"
    ))
}
