//! Just enough of Rust's grammar to find paths, strings, macros and module declarations.

use std::path::{Path, PathBuf};

/// One source file as tokens.
#[derive(Debug)]
pub struct Source {
    /// Relative to `src`.
    path: PathBuf,
    tokens: Vec<Token>,
    starts_with_doc: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Word(String),
    Text(String),
    Mark(char),
}

/// A path with the groups of its `use` expanded.
#[derive(Debug)]
struct Found {
    line: usize,
    segments: Vec<String>,
    /// How many inline modules it stands in.
    inside: usize,
}

impl Source {
    /// The file without comments and without items for tests.
    pub fn new(path: &Path, text: &str) -> Self {
        let mut source = Self::whole(path, text);
        source.tokens = without_tests(&source.tokens);
        source
    }

    /// The file without comments.
    pub fn whole(path: &Path, text: &str) -> Self {
        Self {
            path: path.into(),
            tokens: tokens(text),
            starts_with_doc: text.starts_with("//!"),
        }
    }

    /// The top-level module that the file belongs to.
    pub fn top(&self) -> &str {
        let first = self
            .path
            .iter()
            .next()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    pub fn opens_with_doc(&self) -> bool {
        self.starts_with_doc
    }

    /// A violation, as an editor can open it.
    pub fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path.display())
    }

    /// Line and first segment of every `crate::…` path.
    pub fn crate_paths(&self) -> impl Iterator<Item = (usize, &str)> {
        let words = self.tokens.windows(4).filter_map(|four| match four {
            [
                Token {
                    what: What::Word(root),
                    ..
                },
                a,
                b,
                Token {
                    line,
                    what: What::Word(name),
                },
            ] if root == "crate" && a.is(':') && b.is(':') => Some((*line, name.as_str())),
            _ => None,
        });
        words.chain(self.crate_groups())
    }

    /// The same of `crate::{a::…, b}`.
    fn crate_groups(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut found = Vec::new();
        for start in 0..self.tokens.len() {
            if self.word(start) == Some("crate")
                && self.mark(start + 3, '{')
                && self.mark(start + 1, ':')
            {
                let mut depth = 1;
                let mut at = start + 4;
                let mut fresh = true;
                while depth > 0 && at < self.tokens.len() {
                    match &self.tokens[at].what {
                        What::Word(name) if depth == 1 && fresh => {
                            found.push((self.tokens[at].line, name.as_str()))
                        }
                        What::Mark('{') => depth += 1,
                        What::Mark('}') => depth -= 1,
                        _ => {}
                    }
                    fresh = self.mark(at, ',');
                    at += 1;
                }
            }
        }
        found.into_iter()
    }

    /// Lines where a chain of `super` reaches the crate root.
    pub fn escapes(&self) -> impl Iterator<Item = usize> {
        let own_depth = self.path.iter().count() - usize::from(self.path.ends_with("mod.rs"));
        self.paths().into_iter().filter_map(move |path| {
            let supers = path
                .segments
                .iter()
                .take_while(|segment| *segment == "super")
                .count();
            (supers > 0 && supers >= own_depth + path.inside).then_some(path.line)
        })
    }

    /// Paths that begin with one of these, with the whole path as text.
    pub fn paths_that_start(&self, starts: &[&[&str]]) -> impl Iterator<Item = (usize, String)> {
        let matches = |path: &Found| {
            starts
                .iter()
                .any(|start| path.segments.iter().take(start.len()).eq(start.iter()))
        };
        let found: Vec<(usize, String)> = self
            .paths()
            .into_iter()
            .filter(matches)
            .map(|path| (path.line, path.segments.join("::")))
            .collect();
        found.into_iter()
    }

    /// Contents of string literals.
    pub fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.iter().filter_map(|token| match &token.what {
            What::Text(text) => Some((token.line, text.as_str())),
            _ => None,
        })
    }

    /// Names of macros that are called.
    pub fn macros(&self) -> impl Iterator<Item = (usize, &str)> {
        self.tokens.windows(3).filter_map(|three| match three {
            [
                Token {
                    line,
                    what: What::Word(name),
                },
                bang,
                next,
            ] if bang.is('!') && !next.is('=') => Some((*line, name.as_str())),
            _ => None,
        })
    }

    /// Names of `mod name;`.
    pub fn declared_modules(&self) -> impl Iterator<Item = String> {
        self.tokens.windows(3).filter_map(|three| match three {
            [
                Token {
                    what: What::Word(word),
                    ..
                },
                Token {
                    what: What::Word(name),
                    ..
                },
                end,
            ] if word == "mod" && end.is(';') => Some(name.clone()),
            _ => None,
        })
    }

    /// All paths of two or more segments, and `use` trees expanded.
    fn paths(&self) -> Vec<Found> {
        let mut found = Vec::new();
        let mut braces = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.word(at) == Some("mod") && self.mark(at + 2, '{') {
                braces.push(true);
                at += 3;
            } else if self.mark(at, '{') {
                braces.push(false);
                at += 1;
            } else if self.mark(at, '}') {
                braces.pop();
                at += 1;
            } else if self.word(at).is_some() {
                let inside = braces.iter().filter(|is_module| **is_module).count();
                let mut tree = Vec::new();
                let end = self.tree(at, &[], &mut tree);
                found.extend(tree.into_iter().map(|(line, segments)| Found {
                    line,
                    segments,
                    inside,
                }));
                at = end;
            } else {
                at += 1;
            }
        }
        found
    }

    /// Reads `a::b::{c, d::e}` from here; returns where it ends.
    fn tree(
        &self,
        start: usize,
        prefix: &[String],
        found: &mut Vec<(usize, Vec<String>)>,
    ) -> usize {
        let mut segments = prefix.to_vec();
        let mut at = start;
        while let Some(word) = self.word(at) {
            segments.push(word.to_owned());
            at += 1;
            if !(self.mark(at, ':') && self.mark(at + 1, ':')) {
                break;
            }
            at += 2;
            if self.mark(at, '{') {
                return self.group(at + 1, &segments, found);
            }
        }
        found.push((self.tokens[start].line, segments));
        at
    }

    fn group(
        &self,
        start: usize,
        prefix: &[String],
        found: &mut Vec<(usize, Vec<String>)>,
    ) -> usize {
        let mut at = start;
        while at < self.tokens.len() && !self.mark(at, '}') {
            at = if self.word(at).is_some() {
                self.tree(at, prefix, found)
            } else {
                at + 1
            };
        }
        at + 1
    }

    fn word(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.what {
            What::Word(word) => Some(word),
            _ => None,
        }
    }

    fn mark(&self, at: usize, mark: char) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(mark))
    }
}

impl Token {
    fn is(&self, mark: char) -> bool {
        self.what == What::Mark(mark)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.what, What::Word(found) if found == word)
    }
}

/// Drops every item under an attribute `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is('#') && tokens.get(at + 1).is_some_and(|token| token.is('[')) {
            let end = closing(tokens, at + 1);
            let attribute = &tokens[at..end];
            let is_cfg = attribute.get(2).is_some_and(|token| token.is_word("cfg"));
            let negated = attribute.iter().any(|token| token.is_word("not"));
            if is_cfg && !negated && attribute.iter().any(|token| token.is_word("test")) {
                at = end_of_item(tokens, end);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// Past the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.what {
            What::Mark('(' | '[' | '{') => depth += 1,
            What::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Past the item that begins here: its `;`, or its body.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].what {
            What::Mark(';') => return at + 1,
            What::Mark('{') => return closing(tokens, at),
            What::Mark('(' | '[') => at = closing(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Splits a source into words, string literals and marks; comments vanish.
fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
        tokens: Vec::new(),
    };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn step(&mut self) {
        let first = self.rest.chars().next().expect("not empty");
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.take(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
        } else if let Some((open, close)) = self.string() {
            let body = self.rest[open..]
                .find(&close)
                .unwrap_or(self.rest.len() - open);
            self.push(What::Text(self.rest[open..open + body].to_owned()));
            self.take((open + body + close.len()).min(self.rest.len()));
        } else if first == '"' {
            let end = quoted(self.rest, '"');
            self.push(What::Text(self.rest[1..end - 1].to_owned()));
            self.take(end);
        } else if let Some(end) = character(self.rest) {
            self.take(end);
        } else if first.is_alphanumeric() || first == '_' {
            let end = self
                .rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(self.rest.len());
            self.push(What::Word(self.rest[..end].to_owned()));
            self.take(end);
        } else {
            if !first.is_whitespace() {
                self.push(What::Mark(first));
            }
            self.take(first.len_utf8());
        }
    }

    /// Length of the opening and text of the closing of a raw string that starts here.
    fn string(&self) -> Option<(usize, String)> {
        let after = self
            .rest
            .strip_prefix("br")
            .or_else(|| self.rest.strip_prefix('r'))?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        let open = self.rest.len() - after.len() + hashes + 1;
        after[hashes..]
            .starts_with('"')
            .then(|| (open, format!("\"{}", "#".repeat(hashes))))
    }

    fn push(&mut self, what: What) {
        self.tokens.push(Token {
            line: self.line,
            what,
        });
    }

    fn take(&mut self, len: usize) {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
    }
}

/// Past the closing quote of a literal with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Past a character literal that starts here; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut chars = text.strip_prefix('\'')?.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| quoted(text, '\''))
}
