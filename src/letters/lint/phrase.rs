//! Phrases as the rule files write them, and where a text has them.
//!
//! | written | stands for |
//! |---|---|
//! | `flat fee` | these words in this order, in one sentence |
//! | `pre-approved` | one word, two words, or hyphenated |
//! | `=dû` | this word with its accents: `du` is another |
//! | `repay*`, `*kredit*` | words that begin with it, or contain it |
//! | `pay\|paid` | one of these words |
//! | `(won't\|will not) affect` | one of these phrases |
//! | `(a\|your)? credit check` | with it or without |
//! | `pay … back` | up to four words between |
//! | `#`, `%` | a number; a percentage |
//! | `{program}`, `{platform}` | the name of the program, or of the platform |

use std::collections::HashSet;
use std::ops::Range;

use super::normalize::{normalize, with_accents};
use super::words::{Kind, Word, Words};

/// Words that a `…` stands for, at most.
const MAX_GAP: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Phrase(Node);

/// What phrases are searched with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search<'a> {
    pub(super) program: &'a Words,
    pub(super) platform: &'a Words,
    /// Whether the disclaimer is searched too.
    pub(super) in_disclaimer: bool,
}

#[derive(Clone, Debug)]
enum Node {
    Word(Pattern),
    /// Any number, or any percentage.
    Figure(Kind),
    Gap,
    Name(Name),
    OneOf(Vec<Node>),
    Sequence(Vec<Node>),
    Optional(Box<Node>),
}

#[derive(Clone, Copy, Debug)]
enum Name {
    Program,
    Platform,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    has_accents: bool,
    open_before: bool,
    open_after: bool,
}

impl Phrase {
    /// Parses a phrase, or says what is wrong with it.
    pub(super) fn parse(source: &str, german: bool) -> Result<Self, String> {
        let mut parser = Parser { rest: source, german };
        let phrase = Self(parser.sequence(false)?);
        if !parser.rest.is_empty() {
            return Err(format!("`{}` is out of place", parser.rest));
        }
        // A phrase of optional words and numbers alone would be found everywhere.
        let search = Search {
            program: &Words::default(),
            platform: &Words::default(),
            in_disclaimer: false,
        };
        for meaningless in ["", "1", "1%"] {
            let text = Words::read(meaningless, german);
            let matcher = Matcher { source: &text.source, words: &text.all, search, start: 0 };
            if !matcher.ends(&phrase.0, 0).is_empty() {
                return Err("it has no word that must be there".to_owned());
            }
        }
        Ok(phrase)
    }

    /// The spans of the source that match. Where one contains another, only the inner one.
    pub(super) fn find(&self, text: &Words, search: Search<'_>) -> Vec<Range<usize>> {
        if !self.0.may_match(&text.vocabulary) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for words in text.views() {
            let mut first_end = usize::MAX;
            for start in (0..words.len()).rev() {
                let matcher = Matcher { source: &text.source, words, search, start };
                let end = matcher.ends(&self.0, start).into_iter().max();
                if let Some(end) = end.filter(|end| *end < first_end) {
                    first_end = end;
                    found.push(words[start].span.start..words[end - 1].span.end);
                }
            }
        }
        found
    }
}

impl Node {
    /// False if a word is missing without which the phrase cannot be in the text.
    fn may_match(&self, vocabulary: &HashSet<String>) -> bool {
        match self {
            Self::Word(pattern) if pattern.has_accents => true,
            Self::Word(pattern) if pattern.open_before || pattern.open_after => {
                vocabulary.iter().any(|word| pattern.fits(word))
            }
            Self::Word(pattern) => vocabulary.contains(&pattern.text),
            Self::OneOf(nodes) => nodes.iter().any(|node| node.may_match(vocabulary)),
            Self::Sequence(nodes) => nodes.iter().all(|node| node.may_match(vocabulary)),
            Self::Figure(_) | Self::Gap | Self::Name(_) | Self::Optional(_) => true,
        }
    }
}

impl Pattern {
    fn fits(&self, word: &str) -> bool {
        match (self.open_before, self.open_after) {
            (false, false) => word == self.text,
            (false, true) => word.starts_with(&self.text),
            (true, false) => word.ends_with(&self.text),
            (true, true) => word.contains(&self.text),
        }
    }
}

struct Matcher<'a> {
    source: &'a str,
    words: &'a [Word],
    search: Search<'a>,
    start: usize,
}

impl Matcher<'_> {
    /// Where matches of `node` that begin at the word `at` can end.
    fn ends(&self, node: &Node, at: usize) -> Vec<usize> {
        let word = self.words.get(at).filter(|word| at == self.start || !word.breaks);
        let matches = match node {
            Node::Word(pattern) => word.is_some_and(|word| self.fits(pattern, word)),
            Node::Figure(kind) => word.is_some_and(|word| word.kind == *kind),
            Node::Name(Name::Program) => return self.end_of_name(self.search.program, at),
            Node::Name(Name::Platform) => return self.end_of_name(self.search.platform, at),
            Node::OneOf(nodes) => {
                return nodes.iter().flat_map(|node| self.ends(node, at)).collect();
            }
            Node::Optional(node) => return [vec![at], self.ends(node, at)].concat(),
            Node::Sequence(nodes) => return self.ends_of_sequence(nodes, at),
            Node::Gap => false,
        };
        if matches { vec![at + 1] } else { Vec::new() }
    }

    fn ends_of_sequence(&self, nodes: &[Node], at: usize) -> Vec<usize> {
        match nodes {
            [] => vec![at],
            // The shortest gap: a longer one could reach into what the phrase is not about.
            [Node::Gap, rest @ ..] => (at..=at + MAX_GAP)
                .take_while(|end| (at..*end).all(|skipped| self.continues(skipped)))
                .map(|end| self.ends_of_sequence(rest, end))
                .find(|ends| !ends.is_empty())
                .unwrap_or_default(),
            [node, rest @ ..] => {
                let mut ends = self.ends(node, at);
                // Alternatives that end together would be followed twice, and so on for each node.
                ends.sort_unstable();
                ends.dedup();
                ends.into_iter().flat_map(|end| self.ends_of_sequence(rest, end)).collect()
            }
        }
    }

    fn continues(&self, at: usize) -> bool {
        self.words.get(at).is_some_and(|word| !word.breaks)
    }

    fn fits(&self, pattern: &Pattern, word: &Word) -> bool {
        let is_read =
            word.kind == Kind::Word || word.kind == Kind::Disclaimer && self.search.in_disclaimer;
        if is_read && pattern.has_accents {
            pattern.fits(&with_accents(&self.source[word.span.clone()]))
        } else {
            is_read && pattern.fits(&word.text)
        }
    }

    fn end_of_name(&self, name: &Words, at: usize) -> Vec<usize> {
        let end = at + name.all.len();
        let here = self.words.get(at..end).filter(|here| !here.is_empty());
        let is_it =
            here.is_some_and(|here| here.iter().zip(&name.all).all(|(a, b)| a.text == b.text));
        if is_it { vec![end] } else { Vec::new() }
    }
}

struct Parser<'a> {
    rest: &'a str,
    german: bool,
}

impl Parser<'_> {
    /// Up to the end, or inside parentheses up to `|` or `)`.
    fn sequence(&mut self, in_parentheses: bool) -> Result<Node, String> {
        let mut nodes = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with([')', '|']) {
                break;
            }
            let mut choice = vec![self.item()?];
            // Outside parentheses `|` separates words, inside it separates phrases.
            while !in_parentheses && self.take("|") {
                choice.push(self.item()?);
            }
            let node = if choice.len() == 1 { choice.remove(0) } else { Node::OneOf(choice) };
            nodes.push(if self.take("?") { Node::Optional(Box::new(node)) } else { node });
        }
        match nodes.as_slice() {
            [] => Err("there is nothing in it".to_owned()),
            [Node::Gap, ..] | [.., Node::Gap] => Err("`…` must stand between words".to_owned()),
            [..] => Ok(Node::Sequence(nodes)),
        }
    }

    fn item(&mut self) -> Result<Node, String> {
        if self.take("(") {
            let mut phrases = vec![self.sequence(true)?];
            while self.take("|") {
                phrases.push(self.sequence(true)?);
            }
            return if self.take(")") {
                Ok(Node::OneOf(phrases))
            } else {
                Err("`(` is not closed".to_owned())
            };
        }
        for (sign, node) in [
            ("…", Node::Gap),
            ("#", Node::Figure(Kind::Number)),
            ("%", Node::Figure(Kind::Percent)),
            ("{program}", Node::Name(Name::Program)),
            ("{platform}", Node::Name(Name::Platform)),
        ] {
            if self.take(sign) {
                return Ok(node);
            }
        }
        self.word()
    }

    /// `pre-approved` as two words or as one; `won't` as the two words that texts are read as.
    fn word(&mut self) -> Result<Node, String> {
        let ends = |c: char| c.is_whitespace() || "()?…|".contains(c);
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        let parts = word.split(['-', '\'', '’']).map(|part| self.pattern(part));
        let apart = Node::Sequence(parts.collect::<Result<_, _>>()?);
        if word.contains('-') && !word.contains(['\'', '’']) {
            Ok(Node::OneOf(vec![apart, self.pattern(&word.replace('-', ""))?]))
        } else {
            Ok(apart)
        }
    }

    fn pattern(&self, word: &str) -> Result<Node, String> {
        let (has_accents, text) = strip(word, |word| word.strip_prefix('='));
        let (open_before, text) = strip(text, |text| text.strip_prefix('*'));
        let (open_after, text) = strip(text, |text| text.strip_suffix('*'));
        if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
            return Err(format!("`{word}` is not a word"));
        }
        let text = if has_accents { with_accents(text) } else { normalize(text, self.german) };
        Ok(Node::Word(Pattern { text, has_accents, open_before, open_after }))
    }

    fn take(&mut self, sign: &str) -> bool {
        let (taken, rest) = strip(self.rest, |rest| rest.strip_prefix(sign));
        self.rest = rest;
        taken
    }
}

fn strip(text: &str, strip: impl Fn(&str) -> Option<&str>) -> (bool, &str) {
    strip(text).map_or((false, text), |stripped| (true, stripped))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phrase: &str, text: &str) -> Vec<String> {
        let words = Words::read(text, false).join();
        let program = &Words::read("Rocket Capital", false);
        let platform = &Words::read("Rocket Rides", false);
        let search = Search { in_disclaimer: false, program, platform };
        let found = Phrase::parse(phrase, false).unwrap().find(&words, search);
        let mut found: Vec<String> = found.into_iter().map(|span| text[span].to_owned()).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_phrase_is_found_however_it_is_written() {
        for text in [
            "pre-approved",
            "Pre Approved",
            "preapproved",
            "pre\napproved",
            "pre\u{2011}approved",
            "PRÉ‐APPROVED",
        ] {
            assert_eq!(found("pre-approved", text).len(), 1, "{text}");
        }
        for (phrase, text, places) in [
            ("won't affect", "It won’t  affect you.", vec!["won’t  affect"]),
            ("pay … back", "Pay all of it back.", vec!["Pay all of it back"]),
            ("pay … back", "Pay back and back.", vec!["Pay back"]),
            ("in (#|two) business days|day", "in two business days", vec!["in two business days"]),
            (
                "(does|will) not (ever)? pay",
                "It will not pay. Does not ever pay.",
                vec!["Does not ever pay", "will not pay"],
            ),
            ("from {program}", "from Rocket  capital.", vec!["from Rocket  capital"]),
            ("% interest", "at 5 % interest", vec!["5 % interest"]),
            ("(a)? loan", "a l o a n", vec!["l o a n"]),
            // Of two places, one in the other, the inner one.
            ("in … days", "in your account in two days", vec!["in two days"]),
        ] {
            assert_eq!(found(phrase, text), places, "{phrase} in {text}");
        }
    }

    #[test]
    fn a_phrase_is_not_found_where_something_else_stands() {
        for (phrase, text) in [
            ("loan", "Sloan's sloans"),
            ("=dû", "du"),
            ("pay … back", "Pay. Back."),
            ("pay … back", "pay one two three four five back"),
            ("flat fee", "Flat.\n\nFee"),
            ("loan", "https://loan.example/loan"),
            ("from {program}", "from Rocket Rides"),
        ] {
            assert_eq!(found(phrase, text), Vec::<String>::new(), "{phrase} in {text}");
        }
    }

    #[test]
    fn a_meaningless_phrase_is_refused() {
        for wrong in [
            "", "  ", "( a", "a )", "a || b", "*", "…", "… a", "a …", "#", "%", "a | ", "a | b",
            "()", "{nobody}", "a,b", "(a)?", "(a|#)?",
        ] {
            assert!(Phrase::parse(wrong, false).is_err(), "{wrong}");
        }
    }
}
