//! The keywords of a routes file, read without a tree: nearly all of a large file is plain `[[keyword]]` tables.
//!
//! Comes in: the text. Goes out: its plain keywords, and the rest with the lines that were left out of it, so that
//! places keep their numbers. Always true: what is given here is what the tree would say of the same text.
//! `None` where anything of a keyword is not as it should be: the tree then tells what and where.
//! Tokens and strings are read by `toml_parser`, which the tree is built on too; a table at a time, for the tokens of
//! a whole file weigh six times the file. Reading 10,000 keywords as a tree took longer than building their automaton.
//! Not here: what the rest says (`routes`), whether keywords make sense together (the table).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use toml_parser::lexer::{Token, TokenKind};
use toml_parser::{ParseError, Raw, Source};

use crate::keyword::{KeywordSpec, Mode};
use crate::message::DepartmentName;

/// What a plain keyword may say in a string, and in a list of them.
const KEYS: [&str; 4] = ["word", "department", "number", "match"];
const LISTS: [&str; 2] = ["aliases", "departments"];

/// The name of the tables in question, and of the key that the rest must not have.
pub(super) const KEYWORD: &str = "keyword";

/// The shortest keyword's table has about as many bytes: room is made for so many keywords at once.
const TABLE_BYTES: usize = 48;

/// Plain keywords in their order, and the text without them.
pub(super) fn read(text: &str) -> Option<(Vec<KeywordSpec>, Rest)> {
    let mut reader = Reader {
        source: Source::new(text),
        line: 1,
        counted: 0,
        keywords: Vec::with_capacity(text.len() / TABLE_BYTES),
        rest: Rest::default(),
        departments: HashMap::default(),
        numbers: HashMap::default(),
    };
    let mut tokens: Vec<Token> = Vec::new();
    // A line break within brackets ends nothing.
    let mut open_brackets = 0_i64;
    for token in reader.source.lex() {
        let begins_line = tokens.last().is_some_and(|last| last.kind() == TokenKind::Newline);
        if token.kind() == TokenKind::LeftSquareBracket && begins_line && open_brackets == 0 {
            reader.table(&tokens)?;
            tokens.clear();
        }
        open_brackets += match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => -1,
            _ => 0,
        };
        tokens.push(token);
    }
    reader.table(&tokens)?;
    Some((reader.keywords, reader.rest))
}

/// A text without its keywords.
#[derive(Default)]
pub(super) struct Rest {
    pub text: String,
    /// From which byte of it on how many lines were left out, all in all.
    pub left_out: Vec<(usize, usize)>,
}

impl Rest {
    fn leave_out(&mut self, lines: usize) {
        match self.left_out.last_mut() {
            Some((at, all)) if *at == self.text.len() => *all += lines,
            last => {
                let before = last.map_or(0, |(_, all)| *all);
                self.left_out.push((self.text.len(), before + lines));
            }
        }
    }
}

struct Reader<'t> {
    source: Source<'t>,
    /// Of the byte at `counted`.
    line: usize,
    counted: usize,
    keywords: Vec<KeywordSpec>,
    rest: Rest,
    /// Each name once in memory, however many keywords say it.
    departments: HashMap<String, DepartmentName, RandomState>,
    numbers: HashMap<String, Arc<str>, RandomState>,
}

impl<'t> Reader<'t> {
    /// One table with its header, or what stands before the first.
    fn table(&mut self, tokens: &[Token]) -> Option<()> {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return Some(()) };
        let (start, end) = (first.span().start(), last.span().end());
        let text = self.source.input();
        let line = self.line;
        self.line += text[self.counted..end].bytes().filter(|&byte| byte == b'\n').count();
        if self.is_keyword(tokens) {
            let keyword = self.keyword(tokens, line)?;
            self.keywords.push(keyword);
            self.rest.leave_out(self.line - line);
        } else {
            // What stands before the first token is a mark of the encoding, which counts for nothing.
            self.rest.text.push_str(&text[start..end]);
        }
        self.counted = end;
        Some(())
    }

    fn is_keyword(&self, tokens: &[Token]) -> bool {
        let [first, second, name, ..] = tokens else { return false };
        first.kind() == TokenKind::LeftSquareBracket
            && second.kind() == TokenKind::LeftSquareBracket
            && self.source.get(name).is_some_and(|name| name.as_str() == KEYWORD)
    }

    fn keyword(&mut self, tokens: &[Token], line: usize) -> Option<KeywordSpec> {
        let Written { values: [word, department, number, mode], lists: [aliases, departments] } =
            Written::read(self.source, tokens)?;
        let mode = match mode.as_deref() {
            None | Some("word") => Mode::Word,
            Some("exact") => Mode::Exact,
            Some("prefix") => Mode::Prefix,
            Some(_) => return None,
        };
        let (department, departments) = match (department, departments) {
            (Some(name), None) => (self.department(&name)?, None),
            (None, Some(names)) => {
                let names = names.iter().map(|name| self.department(name)).collect::<Option<Arc<[_]>>>()?;
                (names.first()?.clone(), Some(names))
            }
            _ => return None,
        };
        let (word, aliases) = (word?.into(), aliases.unwrap_or_default());
        let number = self.number(number.as_deref().unwrap_or("*"));
        Some(KeywordSpec { number, word, aliases, department, departments, mode, line })
    }

    fn department(&mut self, name: &str) -> Option<DepartmentName> {
        if let Some(known) = self.departments.get(name) {
            return Some(known.clone());
        }
        let department = DepartmentName::parse(name).ok()?;
        self.departments.insert(name.to_owned(), department.clone());
        Some(department)
    }

    fn number(&mut self, written: &str) -> Arc<str> {
        if let Some(known) = self.numbers.get(written) {
            return Arc::clone(known);
        }
        let number: Arc<str> = written.into();
        self.numbers.insert(written.to_owned(), Arc::clone(&number));
        number
    }
}

/// What one table says.
#[derive(Default)]
struct Written<'t> {
    /// In the order of `KEYS`.
    values: [Option<Cow<'t, str>>; 4],
    /// In the order of `LISTS`.
    lists: [Option<Vec<String>>; 2],
}

impl<'t> Written<'t> {
    fn read(source: Source<'t>, tokens: &[Token]) -> Option<Self> {
        let [_, _, _, first, second, tokens @ ..] = tokens else { return None };
        if [first.kind(), second.kind()] != [TokenKind::RightSquareBracket; 2] {
            return None;
        }
        let mut written = Self::default();
        let mut tokens = Tokens { source, left: tokens };
        tokens.end_of_line()?;
        while !tokens.left.is_empty() {
            let key = tokens.take(|kind| kind == TokenKind::Atom)?.as_str();
            tokens.take(|kind| kind == TokenKind::Equals)?;
            let is_new = if let Some(place) = LISTS.iter().position(|known| *known == key) {
                written.lists[place].replace(tokens.strings()?).is_none()
            } else {
                let place = KEYS.iter().position(|known| *known == key)?;
                written.values[place].replace(tokens.string()?).is_none()
            };
            tokens.end_of_line()?;
            is_new.then_some(())?;
        }
        Some(written)
    }
}

/// The tokens of a table that are not read yet. Each way of reading answers `None` where something else stands.
struct Tokens<'t, 'k> {
    source: Source<'t>,
    left: &'k [Token],
}

impl<'t> Tokens<'t, '_> {
    /// The next token behind blanks, if it is wanted.
    fn take(&mut self, is_wanted: impl Fn(TokenKind) -> bool) -> Option<Raw<'t>> {
        if self.left.first()?.kind() == TokenKind::Whitespace {
            self.left = &self.left[1..];
        }
        let (next, left) = self.left.split_first()?;
        if !is_wanted(next.kind()) {
            return None;
        }
        self.left = left;
        self.source.get(next)
    }

    /// The end of a line or of the file, and what says nothing after it.
    fn end_of_line(&mut self) -> Option<()> {
        let kinds = self.left.iter().map(Token::kind);
        let end = kinds.into_iter().find(|kind| *kind != TokenKind::Whitespace)?;
        matches!(end, TokenKind::Comment | TokenKind::Newline | TokenKind::Eof).then_some(())?;
        self.skip()
    }

    /// Passes blanks, comments and line breaks; they too may hold what must not be there.
    fn skip(&mut self) -> Option<()> {
        let mut error: Option<ParseError> = None;
        while let Some((next, left)) = self.left.split_first() {
            match next.kind() {
                TokenKind::Whitespace | TokenKind::Eof => {}
                TokenKind::Newline => self.source.get(next)?.decode_newline(&mut error),
                TokenKind::Comment => self.source.get(next)?.decode_comment(&mut error),
                _ => break,
            }
            self.left = left;
        }
        error.is_none().then_some(())
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        let raw = self.take(|kind| matches!(kind, TokenKind::BasicString | TokenKind::LiteralString))?;
        let (mut value, mut error) = (Cow::Borrowed(""), None::<ParseError>);
        let _ = raw.decode_scalar(&mut value, &mut error);
        error.is_none().then_some(value)
    }

    fn strings(&mut self) -> Option<Vec<String>> {
        let mut strings = Vec::new();
        self.take(|kind| kind == TokenKind::LeftSquareBracket)?;
        self.skip()?;
        while self.left.first()?.kind() != TokenKind::RightSquareBracket {
            strings.push(self.string()?.into_owned());
            self.skip()?;
            if self.left.first()?.kind() == TokenKind::Comma {
                self.left = &self.left[1..];
                self.skip()?;
            } else if self.left.first()?.kind() != TokenKind::RightSquareBracket {
                return None;
            }
        }
        self.left = &self.left[1..];
        Some(strings)
    }
}
