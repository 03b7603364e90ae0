//! Phrases as the rules' files write them, and where a text has them.
//!
//! | written | stands for |
//! |---|---|
//! | `flat fee` | these words in this order, in one sentence; capitals, accents, white space and line ends do not matter |
//! | `pre-approved` | together, apart, or with a hyphen |
//! | `=dû` | this word with its accents: `du` is another |
//! | `repay*`, `*kredit*` | words that begin with it, or have it anywhere |
//! | `pay\|paid` | one of these words |
//! | `(won't\|will not) affect` | one of these, also of several words |
//! | `(a\|your)? credit check` | with it or without |
//! | `pay … back` | up to four words between |
//! | `#`, `%` | a number; a percentage |
//! | `{program}`, `{platform}` | the name of the program, or of who sends the letter |

use std::ops::Range;

use super::fold;
use super::words::{Kind, Word, Words};

/// How many words a `…` stands for, at most.
const WIDEST_GAP: usize = 4;
/// A phrase that stands for more is better written as two.
const MOST_SPELLINGS: usize = 512;

/// One phrase.
#[derive(Clone, Debug)]
pub(super) struct Phrase {
    spellings: Vec<Vec<Part>>,
}

/// What a phrase is looked for with.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// What `{program}` stands for.
    pub(super) program: Words,
    /// What `{platform}` stands for.
    pub(super) platform: Words,
    /// Is it looked for in the disclaimer too?
    pub(super) in_disclaimer: bool,
}

#[derive(Clone, Debug)]
enum Part {
    OneOf(Vec<Pattern>),
    Number,
    Percent,
    Gap,
    Program,
    Platform,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    accents: bool,
    open_before: bool,
    open_after: bool,
}

impl Phrase {
    /// Reads a phrase, or says what is wrong with it.
    pub(super) fn read(source: &str, locale: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: source.trim(), german: locale == "de", depth: 0 };
        let spellings = reader.alternatives()?;
        if !reader.rest.is_empty() {
            return Err(format!("`{}` closes nothing", reader.rest));
        }
        for spelling in &spellings {
            let says =
                |part: &Part| matches!(part, Part::OneOf(_) | Part::Program | Part::Platform);
            if !spelling.iter().any(says) {
                return Err("it would be found everywhere".to_owned());
            }
            if matches!(spelling.first(), Some(Part::Gap))
                || matches!(spelling.last(), Some(Part::Gap))
            {
                return Err("`…` must stand between words".to_owned());
            }
        }
        Ok(Self { spellings })
    }

    /// Where a text has it, by words. Of two places, one in the other, the inner one.
    pub(super) fn find(&self, words: &Words, search: &Search) -> Vec<Range<usize>> {
        let possible = |parts: &&Vec<Part>| parts.iter().all(|part| part.may_be_in(words));
        let spellings: Vec<&Vec<Part>> = self.spellings.iter().filter(possible).collect();
        let mut found: Vec<Range<usize>> = Vec::new();
        let starts = if spellings.is_empty() { 0 } else { words.all.len() };
        for start in 0..starts {
            let ends = spellings
                .iter()
                .filter_map(|parts| end_of(parts, &words.all, start, start, search));
            found.extend(ends.max().map(|end| start..end));
        }
        let mut first_end = usize::MAX;
        let mut inner = Vec::new();
        for place in found.into_iter().rev() {
            if place.end < first_end {
                first_end = place.end;
                inner.push(place);
            }
        }
        inner.reverse();
        inner
    }
}

/// Where the match ends that has `parts[0]` at `place`.
fn end_of(
    parts: &[Part],
    words: &[Word],
    start: usize,
    place: usize,
    search: &Search,
) -> Option<usize> {
    let Some((part, rest)) = parts.split_first() else { return Some(place) };
    if let Part::Gap = part {
        return (0..=WIDEST_GAP)
            .take_while(|skipped| {
                (place..place + skipped).all(|at| words.get(at).is_some_and(|word| !word.breaks))
            })
            .find_map(|skipped| end_of(rest, words, start, place + skipped, search));
    }
    let word = words.get(place).filter(|word| place == start || !word.breaks)?;
    let matched = match part {
        Part::OneOf(patterns) => {
            search.reads(word) && patterns.iter().any(|pattern| pattern.fits(word))
        }
        Part::Number => word.kind == Kind::Number,
        Part::Percent => word.kind == Kind::Percent,
        Part::Program => return end_of_name(&search.program, rest, words, (start, place), search),
        Part::Platform => {
            return end_of_name(&search.platform, rest, words, (start, place), search);
        }
        Part::Gap => false,
    };
    if matched { end_of(rest, words, start, place + 1, search) } else { None }
}

fn end_of_name(
    name: &Words,
    rest: &[Part],
    words: &[Word],
    (start, place): (usize, usize),
    search: &Search,
) -> Option<usize> {
    let end = place + name.all.len();
    let here = words.get(place..end)?;
    let same =
        !here.is_empty() && here.iter().zip(&name.all).all(|(word, name)| word.text == name.text);
    if same { end_of(rest, words, start, end, search) } else { None }
}

impl Part {
    /// False where no word of the text is it; a quick answer.
    fn may_be_in(&self, words: &Words) -> bool {
        match self {
            Self::OneOf(patterns) => {
                patterns.iter().any(|pattern| !pattern.is_plain() || words.know(&pattern.text))
            }
            Self::Number | Self::Percent | Self::Gap | Self::Program | Self::Platform => true,
        }
    }
}

impl Search {
    fn reads(&self, word: &Word) -> bool {
        word.kind == Kind::Word || self.in_disclaimer && word.kind == Kind::Disclaimer
    }
}

impl Pattern {
    fn is_plain(&self) -> bool {
        !(self.accents || self.open_before || self.open_after)
    }

    fn fits(&self, word: &Word) -> bool {
        let text = if self.accents { &word.small } else { &word.text };
        match (self.open_before, self.open_after) {
            (false, false) => *text == self.text,
            (false, true) => text.starts_with(&self.text),
            (true, false) => text.ends_with(&self.text),
            (true, true) => text.contains(&self.text),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    german: bool,
    /// How many parentheses are open: inside them `|` stands between phrases, outside between words.
    depth: usize,
}

impl Reader<'_> {
    /// What stands between two parentheses, or the whole phrase.
    fn alternatives(&mut self) -> Result<Vec<Vec<Part>>, String> {
        let mut all = Vec::new();
        loop {
            all.extend(self.sequence()?);
            if self.depth == 0 || !self.take("|") {
                return Ok(merged(all));
            }
        }
    }

    fn sequence(&mut self) -> Result<Vec<Vec<Part>>, String> {
        let mut all = vec![Vec::new()];
        let mut is_empty = true;
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with([')', '|']) {
                break;
            }
            let mut next = self.choice()?;
            if self.take("?") {
                next.push(Vec::new());
            }
            all = product(&all, &next);
            if all.len() > MOST_SPELLINGS {
                return Err(format!(
                    "it stands for more than {MOST_SPELLINGS} spellings: write two"
                ));
            }
            is_empty = false;
        }
        if is_empty { Err("there is nothing in it".to_owned()) } else { Ok(all) }
    }

    /// One item, or outside of parentheses several with `|` between them.
    fn choice(&mut self) -> Result<Vec<Vec<Part>>, String> {
        let mut all = self.item()?;
        while self.depth == 0 && self.take("|") {
            all.extend(self.item()?);
        }
        Ok(merged(all))
    }

    fn item(&mut self) -> Result<Vec<Vec<Part>>, String> {
        if self.take("(") {
            self.depth += 1;
            let inside = self.alternatives()?;
            self.depth -= 1;
            return if self.take(")") { Ok(inside) } else { Err("`(` is not closed".to_owned()) };
        }
        for (sign, part) in [
            ("…", Part::Gap),
            ("#", Part::Number),
            ("%", Part::Percent),
            ("{program}", Part::Program),
            ("{platform}", Part::Platform),
        ] {
            if self.take(sign) {
                return Ok(vec![vec![part]]);
            }
        }
        self.word()
    }

    fn word(&mut self) -> Result<Vec<Vec<Part>>, String> {
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '?' | '…' | '|');
        let (word, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        if word.contains(['-', '\'', '’']) {
            self.compound(word)
        } else {
            Ok(vec![vec![Part::OneOf(vec![self.pattern(word)?])]])
        }
    }

    /// `pre-approved` as two words and as one; `won't` as the two that a text has.
    fn compound(&self, word: &str) -> Result<Vec<Vec<Part>>, String> {
        let apart: Result<Vec<Part>, String> = word
            .split(['-', '\'', '’'])
            .map(|part| Ok(Part::OneOf(vec![self.pattern(part)?])))
            .collect();
        let mut all = vec![apart?];
        if word.contains('-') && !word.contains(['\'', '’']) {
            all.push(vec![Part::OneOf(vec![self.pattern(&word.replace('-', ""))?])]);
        }
        Ok(all)
    }

    fn pattern(&self, word: &str) -> Result<Pattern, String> {
        let (accents, bare) = word.strip_prefix('=').map_or((false, word), |bare| (true, bare));
        let (open_before, bare) = bare.strip_prefix('*').map_or((false, bare), |bare| (true, bare));
        let (open_after, bare) = bare.strip_suffix('*').map_or((false, bare), |bare| (true, bare));
        if bare.is_empty() || !bare.chars().all(fold::is_letter) {
            return Err(format!("`{word}` is no word"));
        }
        let text = if accents { fold::small(bare) } else { fold::fold(bare, self.german) };
        Ok(Pattern { text, accents, open_before, open_after })
    }

    fn take(&mut self, sign: &str) -> bool {
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

/// Spellings of one word each are tried as one.
fn merged(all: Vec<Vec<Part>>) -> Vec<Vec<Part>> {
    let (mut words, mut others) = (Vec::new(), Vec::new());
    for spelling in all {
        match spelling.as_slice() {
            [Part::OneOf(patterns)] => words.extend(patterns.iter().cloned()),
            _ => others.push(spelling),
        }
    }
    others.extend((!words.is_empty()).then(|| vec![Part::OneOf(words)]));
    others
}

fn product(before: &[Vec<Part>], after: &[Vec<Part>]) -> Vec<Vec<Part>> {
    let joined =
        |first: &Vec<Part>, second: &Vec<Part>| [first.as_slice(), second.as_slice()].concat();
    before.iter().flat_map(|first| after.iter().map(move |second| joined(first, second))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phrase: &str, text: &str) -> Vec<String> {
        let words = Words::read(text, "en");
        let search = Search {
            in_disclaimer: false,
            program: Words::read("Rocket Capital", "en"),
            platform: Words::read("Rocket Rides", "en"),
        };
        let shown = |place: &Range<usize>| {
            text[words.all[place.start].span.start..words.all[place.end - 1].span.end].to_owned()
        };
        Phrase::read(phrase, "en").unwrap().find(&words, &search).iter().map(shown).collect()
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
        assert_eq!(found("won't affect", "It won’t  affect you."), ["won’t  affect"]);
        assert_eq!(found("pay … back", "Pay all of it back."), ["Pay all of it back"]);
        assert_eq!(
            found("in (#|two) business days|day", "in two business days"),
            ["in two business days"]
        );
        assert_eq!(
            found("(does|will) not (ever)? pay", "It will not pay. Does not ever pay."),
            ["will not pay", "Does not ever pay"]
        );
        assert_eq!(found("from {program}", "from Rocket  capital."), ["from Rocket  capital"]);
        assert_eq!(found("% interest", "at 5 % interest"), ["5 % interest"]);
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
    fn of_two_places_the_inner_one_is_meant() {
        assert_eq!(found("in … days", "in your account in two days"), ["in two days"]);
    }

    #[test]
    fn a_phrase_that_is_none_is_refused() {
        for wrong in [
            "", "  ", "( a", "a )", "a || b", "*", "…", "… a", "a …", "#", "a | ", "a | b", "()",
            "{nobody}", "a,b", "(a)?",
        ] {
            assert!(Phrase::read(wrong, "en").is_err(), "{wrong}");
        }
        let many = "a-b ".repeat(10);
        assert!(Phrase::read(&many, "en").unwrap_err().contains("spellings"));
    }
}
