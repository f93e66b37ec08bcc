//! From an expression's text to its tokens.

use super::{BYTES_MAX, DEPTH_MAX, Fault};

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a function's name or an attribute's.
    Word(&'a str),
    /// A placeholder of a name, with its `#`.
    Name(&'a str),
    /// A placeholder of a value, with its `:`.
    Value(&'a str),
    /// An index into a list.
    Index(&'a str),
    /// An operator or a bracket.
    Symbol(&'a str),
    /// After the last token.
    End,
}

const SYMBOLS: [&str; 14] = ["<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-"];

/// The tokens of an expression, and how far they are read.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    /// Each token with the place where it begins.
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, Fault> {
        if text.len() > BYTES_MAX {
            return Err(Fault(format!(
                "Expression size has exceeded the maximum allowed size; expression size: {}",
                text.len()
            )));
        }
        let mut tokens = Vec::new();
        let mut start = 0;
        while let Some(first) = text[start..].bytes().next() {
            if first.is_ascii_whitespace() {
                start += 1;
                continue;
            }
            let token = token_at(&text[start..]).ok_or_else(|| {
                let token = text[start..].chars().next().unwrap_or_default();
                Fault(syntax_error(token.encode_utf8(&mut [0; 4]), &text[start..]))
            })?;
            tokens.push((start, token));
            start += text_of(token).len();
        }
        if tokens.is_empty() {
            return Err(Fault("The expression can not be empty;".to_owned()));
        }
        Ok(Self {
            text,
            tokens,
            at: 0,
            depth: 0,
        })
    }

    pub(super) fn peek(&self) -> Token<'a> {
        self.token(self.at)
    }

    /// The token after the next one.
    pub(super) fn peek_second(&self) -> Token<'a> {
        self.token(self.at + 1)
    }

    fn token(&self, at: usize) -> Token<'a> {
        self.tokens.get(at).map_or(Token::End, |(_, token)| *token)
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    /// Reads `symbol`, if it comes next.
    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let taken = self.peek() == Token::Symbol(symbol);
        self.at += usize::from(taken);
        taken
    }

    /// Reads `keyword` in any case, if it comes next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let taken = matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(taken);
        taken
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take(symbol) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    pub(super) fn expect_end(&self) -> Result<(), Fault> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected()),
        }
    }

    /// The next token is not one that may come here.
    pub(super) fn unexpected(&self) -> Fault {
        let token = match self.peek() {
            Token::End => "<EOF>",
            token => text_of(token),
        };
        let (from, _) = self.tokens[self.at.saturating_sub(1).min(self.tokens.len() - 1)];
        Fault(syntax_error(token, &self.text[from..]))
    }

    /// What is read from here on is one level deeper, until [`leave`](Self::leave). Recursion must not go on without.
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault(format!(
                "The expression is nested deeper than {DEPTH_MAX} levels;"
            )));
        }
        self.depth += 1;
        Ok(())
    }

    pub(super) const fn leave(&mut self) {
        self.depth -= 1;
    }
}

fn token_at(text: &str) -> Option<Token<'_>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let run = |skip: usize| {
        let end = text[skip..].find(|c| !is_part(c)).map_or(text.len(), |len| skip + len);
        (end > skip).then(|| &text[..end])
    };
    match text.chars().next()? {
        '#' => run(1).map(Token::Name),
        ':' => run(1).map(Token::Value),
        c if c.is_ascii_digit() => run(0)
            .filter(|run| run.bytes().all(|b| b.is_ascii_digit()))
            .map(Token::Index),
        c if is_part(c) => run(0).map(Token::Word),
        _ => SYMBOLS
            .into_iter()
            .find(|symbol| text.starts_with(symbol))
            .map(Token::Symbol),
    }
}

fn text_of(token: Token<'_>) -> &str {
    match token {
        Token::Word(text) | Token::Name(text) | Token::Value(text) | Token::Index(text) | Token::Symbol(text) => text,
        Token::End => "",
    }
}

fn syntax_error(token: &str, near: &str) -> String {
    let near = &near[..near.floor_char_boundary(NEAR_BYTES_MAX)];
    format!("Syntax error; token: \"{token}\", near: \"{near}\"")
}

/// The most of an expression that a message repeats.
const NEAR_BYTES_MAX: usize = 32;
