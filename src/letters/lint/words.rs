//! A text as words. White space, line ends, punctuation and hyphens only separate words; numbers,
//! links and names have kinds of their own, so that no rule about words applies to them.

use std::ops::Range;
use std::sync::LazyLock;

use linkify::LinkFinder;
use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::normalize::{is_invisible, normalize, with_accents, without_digraphs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    Word,
    Number,
    /// A number with a currency.
    Amount,
    Percent,
    /// A web address or a mailbox.
    Link,
    /// Part of a name or of an address, which the letter's author did not choose.
    Name,
    /// Part of the disclaimer, which Stripe approved as it is.
    Disclaimer,
}

#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Normalized, in German [`without_digraphs`]. Numbers have their currency first and no spaces.
    pub(super) text: String,
    /// The same with digraphs: the `ue` of `neue` is no `ü`.
    literal: String,
    /// Of which names it is a part, as phrases write them.
    marks: String,
    pub(super) kind: WordKind,
    /// Bytes of the source.
    pub(super) span: Range<usize>,
    /// A sentence, a paragraph or a list item begins here.
    pub(super) breaks: bool,
}

/// The words of a text.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) source: String,
    pub(super) all: Vec<Word>,
}

/// The words of a text as phrases are compared with them: a line for each, and an empty line before
/// each sentence. A line has the spellings of its word between spaces, as in ` neue neu `: accented
/// ones begin with `=`, names that phrases may mean with `{`, and numbers are ` # `. A line without
/// spellings stands for a word that no rule is about.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: String,
    /// Where each line begins, or the empty one before it, and the bytes of the source that it
    /// stands for.
    spans: Vec<(usize, Range<usize>)>,
}

/// What [`LinkFinder`] does not find: links without a scheme, or to an IPv6 address.
const OTHER_LINK: &str = r#"(?i:www\.|https?://)[^\s<>"“”„«»()]*[^\s<>"“”„«»().,;:!?'’*\]}]"#;
/// Spaces and apostrophes group digits by three. Only currencies of Capital's markets and their
/// neighbours count.
const NUMBER: &str = r"(?x)
    (?: (?<sign> [$€£¥] | USD | EUR | GBP | AUD | CAD | CHF | JPY | NZD ) [^\S\n]* )?
    (?<digits> \d+ (?: [.,]\d+ | ['’\u{a0}\u{202f}\u{2009}]\d{3} )* )
    (?<suffix> [\p{L}\p{M}\p{N}]* )
    (?: [^\S\n]* (?: (?<percent> [%％٪] )
        | (?<after> [$€£¥] | (?: USD | EUR | GBP | AUD | CAD | CHF | JPY | NZD )(?-u:\b) ) ) )?";
const WORD: &str = r"[\p{L}\p{M}\p{N}](?:[\p{DI}\p{Bidi_Control}\u{2800}]*[\p{L}\p{M}\p{N}])*";

const QUOTES: [char; 6] = ['“', '”', '„', '«', '»', '’'];
const ORDINALS: [&str; 7] = ["", "st", "nd", "rd", "th", "er", "e"];

static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!("(?<link>{OTHER_LINK})|(?:{NUMBER})|{WORD}")));
static PARAGRAPH_OR_ITEM: LazyLock<Regex> = LazyLock::new(|| pattern(r"\n\s*[\n•*–·-]"));
static HYPHEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\p{DI}*[-‐‑–−_]\p{DI}*(?:\r?\n\s*)?$"));

/// A regular expression of this module's authors.
pub(super) fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the lint's patterns are constants, and a test compiles each")
}

impl Words {
    pub(super) fn read(source: &str, german: bool) -> Self {
        let mut all: Vec<Word> = Vec::new();
        let mut push = |span: Range<usize>, (kind, literal): (WordKind, String)| {
            let gap = &source[all.last().map_or(0, |word| word.span.end)..span.start];
            let breaks = all.last().is_none_or(|before| ends_sentence(before, gap));
            let is_word = german && kind == WordKind::Word;
            let text = if is_word { without_digraphs(&literal) } else { literal.clone() };
            all.push(Word { text, literal, marks: String::new(), kind, span, breaks });
        };
        for span in LinkFinder::new().spans(source) {
            if span.kind().is_some() {
                // It takes quotation marks other than ASCII for a part of the address.
                let link = span.as_str().trim_start_matches(QUOTES);
                let start = span.end() - link.len();
                let link = link.trim_end_matches(QUOTES);
                push(start..start + link.len(), (WordKind::Link, link.to_lowercase()));
                continue;
            }
            for token in TOKEN.find_iter(span.as_str()) {
                let range = span.start() + token.start()..span.start() + token.end();
                push(range, read_token(token.as_str()));
            }
        }
        Self { source: source.to_owned(), all }
    }

    /// Where these words stand one after the other, whatever separates them.
    pub(super) fn find(&self, wanted: &Self) -> Vec<Range<usize>> {
        let length = wanted.all.len();
        let same = |here: &[Word]| here.iter().zip(&wanted.all).all(|(a, b)| a.text == b.text);
        let starts = 0..(self.all.len() + 1).saturating_sub(length);
        let found = starts.map(|start| start..start + length);
        found.filter(|place| length > 0 && same(&self.all[place.clone()])).collect()
    }

    /// Gives these words another kind wherever they stand.
    pub(super) fn set_kind(&mut self, wanted: &Self, kind: WordKind) {
        for place in self.find(wanted) {
            let mut words = self.all[place.clone()].iter().zip(&wanted.all);
            let is_same = |(here, there)| self.visible(here) == wanted.visible(there);
            // A shop named "Loan" must not excuse every "loan": names count with their capitals.
            if kind != WordKind::Name || words.all(is_same) {
                self.all[place].iter_mut().for_each(|word| word.kind = kind);
            }
        }
    }

    /// Marks these words, wherever they stand, as a name in phrases.
    pub(super) fn mark(&mut self, name: &Self, mark: &str) {
        for place in self.find(name) {
            self.all[place].iter_mut().for_each(|word| word.marks.extend([mark, " "]));
        }
    }

    /// A word as it is written, without invisible characters.
    pub(super) fn visible(&self, word: &Word) -> String {
        self.written(word).chars().filter(|c| !is_invisible(*c)).collect()
    }

    pub(super) fn written(&self, word: &Word) -> &str {
        &self.source[word.span.clone()]
    }

    /// The words in lines, and after them the readings of the text in which `pre-\napproved` is one
    /// word and so is `l o a n`. In `a l o a n` the first letter may be a word of its own, so there
    /// are two such readings. First without the disclaimer's words, then with them.
    pub(super) fn lines(&self) -> [Lines; 2] {
        let joined = [0, 1].map(|kept_apart| self.joined(kept_apart));
        let mut readings = vec![&self.all];
        for joined in &joined {
            if readings.iter().all(|known| known.len() != joined.len()) {
                readings.push(joined);
            }
        }
        [false, true].map(|with_disclaimer| {
            let mut lines = Lines::default();
            for word in readings.iter().copied().flatten() {
                let spellings = self.spellings(word, with_disclaimer);
                let empty_line = if word.breaks { "\n" } else { "" };
                lines.spans.push((lines.text.len(), word.span.clone()));
                lines.text.extend([empty_line, " ", &spellings, &word.marks, "\n"]);
            }
            lines
        })
    }

    fn spellings(&self, word: &Word, with_disclaimer: bool) -> String {
        match word.kind {
            WordKind::Number => "# ".to_owned(),
            WordKind::Percent => "% ".to_owned(),
            WordKind::Disclaimer if !with_disclaimer => String::new(),
            WordKind::Word | WordKind::Disclaimer => {
                let accented = with_accents(self.written(word));
                let mut spellings = format!("{} ", word.literal);
                if word.text != word.literal {
                    spellings.extend([&word.text, " "]);
                }
                if accented != word.literal {
                    spellings.extend(["=", &accented, " "]);
                }
                spellings
            }
            WordKind::Amount | WordKind::Link | WordKind::Name => String::new(),
        }
    }

    fn joined(&self, kept_apart: usize) -> Vec<Word> {
        let (mut joined, mut letters): (Vec<Word>, usize) = (Vec::new(), 0);
        for (place, word) in self.all.iter().enumerate() {
            let is_letter = self.continues_spaced_word(place);
            letters = if is_letter { letters + 1 } else { 0 };
            let joins = if is_letter { letters > kept_apart } else { self.is_hyphenated(place) };
            match joined.last_mut() {
                Some(last) if joins => {
                    last.text.push_str(&word.text);
                    last.literal.push_str(&word.literal);
                    last.span.end = word.span.end;
                }
                Some(_) | None => joined.push(word.clone()),
            }
        }
        joined
    }

    fn are_words(&self, place: usize) -> bool {
        place > 0 && self.all[place - 1..=place].iter().all(|word| word.kind == WordKind::Word)
    }

    fn is_hyphenated(&self, place: usize) -> bool {
        self.are_words(place) && HYPHEN.is_match(self.gap(place))
    }

    fn continues_spaced_word(&self, place: usize) -> bool {
        self.are_words(place)
            && self.all[place - 1..=place].iter().all(|word| word.text.chars().count() == 1)
            && self.gap(place).chars().count() <= 1
            && !self.gap(place).contains(['\n', '\'', '’'])
    }

    /// What separates a word from the one before it.
    pub(super) fn gap(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.all[place - 1].span.end };
        &self.source[start..self.all[place].span.start]
    }

    /// The number of words between two spans of the source.
    pub(super) fn distance(&self, one: &Range<usize>, other: &Range<usize>) -> usize {
        let (from, to) = (one.end.min(other.end), one.start.max(other.start));
        self.all.iter().filter(|word| from <= word.span.start && word.span.end <= to).count()
    }

    /// A span of the source in `«»` with a few words around it.
    pub(super) fn context(&self, span: &Range<usize>) -> String {
        const AROUND: usize = 4;
        let first = self.all.partition_point(|word| word.span.end <= span.start);
        let end = self.all.partition_point(|word| word.span.start < span.end).max(first + 1);
        let from = first.saturating_sub(AROUND);
        let to = (end + AROUND).min(self.all.len());
        let before = if from > 0 { "… " } else { "" };
        let after = if to < self.all.len() { " …" } else { "" };
        format!("{before}{}{after}", self.shown(from..to, &(first..end)))
    }

    /// The text on one line, without names and links: findings are logged, and a link may hold a
    /// secret.
    pub(super) fn anonymous(&self) -> String {
        let end = self.all.last().map_or(0, |word| word.span.end);
        let start = self.all.first().map_or(0, |word| word.span.start);
        let shown = self.shown(0..self.all.len(), &(0..0));
        format!("{}{shown}{}", &self.source[..start], &self.source[end..]).trim().to_owned()
    }

    fn shown(&self, words: Range<usize>, marked: &Range<usize>) -> String {
        let mut shown = String::new();
        for place in words.clone() {
            let word = &self.all[place];
            shown.push_str(if place > words.start { self.gap(place) } else { "" });
            shown.push_str(if place == marked.start && !marked.is_empty() { "«" } else { "" });
            shown.push_str(match word.kind {
                WordKind::Name => "(name)",
                WordKind::Link => "(link)",
                WordKind::Word
                | WordKind::Number
                | WordKind::Amount
                | WordKind::Percent
                | WordKind::Disclaimer => self.written(word),
            });
            shown.push_str(if place + 1 == marked.end { "»" } else { "" });
        }
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn read_token(token: &str) -> (WordKind, String) {
    // Most are plain words, and to take a token apart is slow.
    let is_plain = !token.contains(|c: char| c.is_numeric() || matches!(c, '.' | '/'));
    let parts = if is_plain { None } else { TOKEN.captures(token) };
    let Some(parts) = parts else { return (WordKind::Word, normalize(token)) };
    if parts.name("link").is_some() {
        return (WordKind::Link, token.to_lowercase());
    }
    // `1st` and `24e` are numbers, `4x4` is not.
    let is_ordinal = parts.name("suffix").is_some_and(|it| ORDINALS.contains(&it.as_str()));
    let Some(digits) = parts.name("digits").filter(|_| is_ordinal) else {
        return (WordKind::Word, normalize(token));
    };
    let is_read = |c: &char| c.is_ascii_digit() || matches!(c, '.' | ',');
    let digits: String = digits.as_str().nfkd().filter(is_read).collect();
    match parts.name("sign").or(parts.name("after")) {
        Some(currency) => (WordKind::Amount, format!("{}{digits}", currency.as_str())),
        None if parts.name("percent").is_some() => (WordKind::Percent, digits + "%"),
        None => (WordKind::Number, digits),
    }
}

impl Lines {
    /// What a range of this text stands for in the source.
    pub(super) fn span(&self, range: &Range<usize>) -> Range<usize> {
        let first = self.spans.partition_point(|(start, _)| *start <= range.start) - 1;
        let end = self.spans.partition_point(|(start, _)| *start < range.end);
        self.spans[first].1.start..self.spans[end - 1].1.end
    }
}

fn ends_sentence(before: &Word, gap: &str) -> bool {
    // `St. Gallen` and `24. Dezember` go on.
    let is_abbreviated = before.text.chars().count() == 1
        || before.kind == WordKind::Number && before.text.len() <= 2;
    let has_stop = gap.contains('.') && gap.contains(char::is_whitespace) && !is_abbreviated;
    has_stop || gap.contains(['!', '?', '…']) || PARAGRAPH_OR_ITEM.is_match(gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<(WordKind, String)> {
        Words::read(source, false).all.into_iter().map(|word| (word.kind, word.text)).collect()
    }

    #[test]
    fn numbers_are_recognized_in_every_notation() {
        for (written, kind, text) in [
            ("$1,000.00", WordKind::Amount, "$1,000.00"),
            ("1.000,00 €", WordKind::Amount, "€1.000,00"),
            ("1\u{202f}000,00\u{a0}€", WordKind::Amount, "€1000,00"),
            ("EUR 1’000.50", WordKind::Amount, "EUR1000.50"),
            ("1,000.00 CHF", WordKind::Amount, "CHF1,000.00"),
            ("15 %", WordKind::Percent, "15%"),
            ("12.5%", WordKind::Percent, "12.5%"),
            ("１５%", WordKind::Percent, "15%"),
            ("24.12.2026", WordKind::Number, "24.12.2026"),
            ("24th", WordKind::Number, "24"),
            ("12-month", WordKind::Number, "12"),
            ("4x4", WordKind::Word, "4x4"),
            ("2026,", WordKind::Number, "2026"),
        ] {
            assert_eq!(tokens(written)[0], (kind, text.to_owned()), "{written}");
        }
    }

    #[test]
    fn a_link_is_one_token_without_the_punctuation_around_it() {
        for written in [
            "https://loans.example/instant?x=1&y=2",
            "www.loan.example",
            "loan.officer@bank.example",
            "ftp://x.example",
            "http://localhost:8080/capital",
            "http://[::1]:8080/capital",
            "https://bücher.example/ä",
        ] {
            let expected = [(WordKind::Link, written.to_owned())];
            for text in [format!("({written})."), format!("“{written}”,"), format!("<{written}>")]
            {
                assert_eq!(tokens(&text), expected, "{text}");
            }
        }
        let words = tokens("and/or @ home: me@ end.The next");
        assert!(words.iter().all(|(kind, _)| *kind == WordKind::Word), "{words:?}");
    }

    #[test]
    fn sentences_end_where_a_reader_would_end_them() {
        let starts = |source: &str| -> Vec<String> {
            let words = Words::read(source, false);
            words.all.into_iter().filter(|word| word.breaks).map(|word| word.text).collect()
        };
        assert_eq!(
            starts("One two. Three\nfour! Five\n\nsix\n- seven"),
            ["one", "three", "five", "six", "seven"]
        );
        assert_eq!(starts("On 24. Dezember at St. B. Smith, 3.5 km"), ["on", "b"]);
    }

    #[test]
    fn words_split_by_hyphens_line_ends_or_spaces_are_also_read_as_one() {
        for (written, joined) in [
            ("pre-approved", "preapproved"),
            ("pre\u{2011}approved", "preapproved"),
            ("Dar-\n  lehen", "darlehen"),
            ("l o a n", "loan"),
            ("l-o-a-n", "loan"),
            ("a l o a n", "loan"),
        ] {
            let lines = Words::read(written, false).lines()[0].text.clone();
            assert!(lines.contains(&format!(" {joined} ")), "{written}: {lines:?}");
        }
        assert!(!Words::read("low\nan", false).lines()[0].text.contains("lowan"));
    }

    #[test]
    fn a_line_has_every_spelling_of_its_word() {
        let lines =
            |source: &str, german: bool| Words::read(source, german).lines()[0].text.clone();
        assert_eq!(lines("neue RÜCKGABE", true), "\n neue neu \n ruckgabe =rückgabe \n");
        assert_eq!(lines("Dû. 12, 5 %, $3, neue", false), "\n du =dû \n\n # \n % \n \n neue \n");
    }

    #[test]
    fn a_name_is_set_apart_with_its_capitals_and_is_not_shown() {
        let mut words = Words::read("Loan Inc, get a loan inc.", false);
        words.set_kind(&Words::read("Loan Inc", false), WordKind::Name);
        assert_eq!(words.anonymous(), "(name) (name), get a loan inc.");
        assert_eq!(words.context(&(16..20)), "(name) (name), get a «loan» inc");
    }
}
