//! The keywords of a routes file, read without a tree: nearly all of a large file is plain `[[keyword]]` tables.
//!
//! Comes in: the text. Goes out: its plain keywords, and the rest with a line break for each that was taken out, so
//! that lines keep their numbers. Always true: what is given here is what the tree would say of the same text.
//! `None` where anything of a keyword is not as it should be: the tree then tells what and where.
//! The grammar is `toml_parser`'s, on which the tree is built too; a table at a time, for the tokens of a whole
//! file weigh six times the file. Reading 10,000 keywords as a tree took longer than building their automaton.
//! Not here: what the rest says (`routes`), whether keywords make sense together (the table).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::{Token, TokenKind};
use toml_parser::parser::{EventReceiver, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source, Span};

use crate::keyword::{KeywordSpec, Mode};
use crate::message::DepartmentName;

/// What a plain keyword may say; `aliases` stand apart, for they are a list.
const KEYS: [&str; 4] = ["word", "department", "number", "match"];
const ALIASES: &str = "aliases";

/// The name of the tables in question, and of the key that the rest must not have.
pub(super) const KEYWORD: &str = "keyword";

/// Plain keywords in their order, and the text without them.
pub(super) fn read(text: &str) -> Option<(Vec<KeywordSpec>, String)> {
    let mut reader = Reader {
        source: Source::new(text),
        line: 1,
        counted: 0,
        keywords: Vec::new(),
        rest: String::new(),
        departments: HashMap::new(),
        numbers: HashMap::new(),
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

struct Reader<'t> {
    source: Source<'t>,
    /// Of the byte at `counted`.
    line: usize,
    counted: usize,
    keywords: Vec<KeywordSpec>,
    rest: String,
    /// Each name once in memory, however many keywords say it.
    departments: HashMap<String, DepartmentName>,
    numbers: HashMap<String, Arc<str>>,
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
            self.rest.extend(std::iter::repeat_n('\n', self.line - line));
        } else {
            // What stands before the first token is a mark of the encoding, which counts for nothing.
            self.rest.push_str(&text[start..end]);
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
        let mut written = Written::of(self.source);
        let mut error: Option<ParseError> = None;
        parse_document(tokens, &mut ValidateWhitespace::new(&mut written, self.source), &mut error);
        let Written { values: [word, department, number, mode], aliases, is_plain: true, .. } = written else {
            return None;
        };
        let mode = match mode.as_deref() {
            None | Some("word") => Mode::Word,
            Some("exact") => Mode::Exact,
            Some("prefix") => Mode::Prefix,
            Some(_) => return None,
        };
        let (word, department) = (word?, self.department(&department?)?);
        let number = self.number(number.as_deref().unwrap_or("*"));
        let keyword = KeywordSpec { number, word: word.into(), aliases, department, mode, line };
        error.is_none().then_some(keyword)
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

/// Where the parser stands in a keyword.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Header,
    /// Past the header, with no key asked for.
    Between,
    /// A key by its place in `KEYS`.
    Value(usize),
    Aliases,
    InAliases,
}

/// What one table says, as long as it is plain.
struct Written<'t> {
    source: Source<'t>,
    at: At,
    /// In the order of `KEYS`.
    values: [Option<Cow<'t, str>>; 4],
    aliases: Vec<String>,
    has_aliases: bool,
    is_plain: bool,
}

impl<'t> Written<'t> {
    fn of(source: Source<'t>) -> Self {
        let values = [const { None }; 4];
        Self { source, at: At::Start, values, aliases: Vec::new(), has_aliases: false, is_plain: true }
    }

    fn go(&mut self, from: At, to: At) {
        self.is_plain &= self.at == from;
        self.at = to;
    }
}

impl EventReceiver for Written<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.is_plain = false;
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.go(At::Start, At::Header);
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.go(At::Header, At::Between);
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.is_plain = false;
        false
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        self.go(At::Aliases, At::InAliases);
        self.is_plain
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.go(At::InAliases, At::Between);
    }

    fn simple_key(&mut self, span: Span, quoted: Option<Encoding>, _: &mut dyn ErrorSink) {
        self.is_plain &= quoted.is_none();
        let key = self.source.get(span).map_or("", |raw| raw.as_str());
        if self.at == At::Header {
            self.is_plain &= key == KEYWORD;
        } else if key == ALIASES {
            self.is_plain &= !std::mem::replace(&mut self.has_aliases, true);
            self.go(At::Between, At::Aliases);
        } else if let Some(place) = KEYS.iter().position(|known| *known == key) {
            self.is_plain &= self.values[place].is_none();
            self.go(At::Between, At::Value(place));
        } else {
            self.is_plain = false;
        }
    }

    fn key_sep(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.is_plain = false;
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut value = Cow::Borrowed("");
        let raw = self.source.get(span).expect("a span of this text");
        let kind = Raw::new_unchecked(raw.as_str(), encoding, span).decode_scalar(&mut value, error);
        self.is_plain &= kind == ScalarKind::String;
        match self.at {
            At::Value(place) => {
                self.values[place] = Some(value);
                self.at = At::Between;
            }
            At::InAliases => self.aliases.push(value.into_owned()),
            At::Start | At::Header | At::Between | At::Aliases => self.is_plain = false,
        }
    }

    fn error(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.is_plain = false;
    }
}
