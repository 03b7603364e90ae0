//! A text as words. White space, line ends, quotation marks and hyphens only part them; numbers, links and names are of their own
//! kind, so that no rule about words is ever applied to them.

use std::collections::HashSet;
use std::ops::Range;

use super::fold;
use super::scan;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, which rules are about.
    Word,
    /// A number that is nothing else.
    Number,
    /// A number with a currency.
    Amount,
    /// A number with a per cent sign.
    Percent,
    /// An address on the web or of a mailbox.
    Link,
    /// Part of a name or of an address: what is in it is not our choice.
    Name,
    /// Part of the disclaimer: what is in it was approved.
    Disclaimer,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// As rules compare it ([`fold::fold`]); numbers without spaces, amounts with their currency before them.
    pub(super) text: String,
    /// In small letters, with its accents.
    pub(super) small: String,
    /// As it was written, less what is invisible.
    pub(super) cased: String,
    /// What it is.
    pub(super) kind: Kind,
    /// Where it stands in the text, in bytes.
    pub(super) span: Range<usize>,
    /// A sentence, a paragraph or a block ends before it.
    pub(super) breaks: bool,
    /// It numbers an item of a list, and tells nothing.
    pub(super) counts: bool,
    /// Something invisible that is no soft hyphen stands between its letters.
    pub(super) hides: bool,
}

/// The words of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) source: String,
    pub(super) all: Vec<Word>,
    /// Each word once: most phrases are not in most texts, and need not be looked for.
    known: HashSet<String>,
}

impl Words {
    /// Reads a text.
    pub(super) fn read(source: &str, locale: &str) -> Self {
        let german = locale == "de";
        let mut words = Self::of(source, scan::scan(source, german));
        for place in 0..words.all.len() {
            let counts = words.counts(place);
            words.all[place].counts = counts;
            words.all[place].breaks = counts || words.breaks(place);
        }
        words
    }

    fn of(source: &str, all: Vec<Word>) -> Self {
        let known = all.iter().map(|word| word.text.clone()).collect();
        Self { source: source.to_owned(), all, known }
    }

    /// Is this one of the words?
    pub(super) fn know(&self, text: &str) -> bool {
        self.known.contains(text)
    }

    /// Where these words stand, one after the other, whatever parts them.
    pub(super) fn find(&self, wanted: &Self) -> Vec<Range<usize>> {
        self.find_by(wanted, |word, wanted| word.text == wanted.text)
    }

    /// The same, with the capitals as they are in `wanted`.
    pub(super) fn find_cased(&self, wanted: &Self) -> Vec<Range<usize>> {
        self.find_by(wanted, |word, wanted| word.cased == wanted.cased)
    }

    fn find_by(&self, wanted: &Self, same: impl Fn(&Word, &Word) -> bool) -> Vec<Range<usize>> {
        let length = wanted.all.len();
        if length == 0 {
            return Vec::new();
        }
        let starts = self.all.windows(length).enumerate();
        let found =
            starts.filter(|(_, window)| window.iter().zip(&wanted.all).all(|(a, b)| same(a, b)));
        found.map(|(start, _)| start..start + length).collect()
    }

    /// Gives these words another kind.
    pub(super) fn set_apart(&mut self, places: &[Range<usize>], kind: Kind) {
        for place in places.iter().flat_map(Clone::clone) {
            self.all[place].kind = kind;
        }
    }

    /// The same text with the words put together that hyphens or the ends of lines part, or that are spaced out letter by letter; as
    /// often as there are ways to do that.
    pub(super) fn joined(&self) -> Vec<Self> {
        // In `a l o a n` the first letter is a word of its own.
        let ways = [self.joined_from(0), self.joined_from(1)];
        let differs = |way: &Self, others: &[Self]| {
            others.iter().all(|other| way.all.len() != other.all.len())
        };
        let mut kept = vec![self.clone()];
        for way in ways {
            if differs(&way, &kept) {
                kept.push(way);
            }
        }
        kept.split_off(1)
    }

    /// The first so many letters of what is spaced out stay apart.
    fn joined_from(&self, first: usize) -> Self {
        let mut all: Vec<Word> = Vec::with_capacity(self.all.len());
        let mut letters = 0;
        for (place, word) in self.all.iter().enumerate() {
            let spaced = self.is_spaced_out(place);
            letters = if spaced { letters + 1 } else { 0 };
            let join = if spaced { letters > first } else { self.is_hyphenated(place) };
            match all.last_mut() {
                Some(last) if join => last.append(word),
                Some(_) | None => all.push(word.clone()),
            }
        }
        Self::of(&self.source, all)
    }

    /// How many words stand between two places, in bytes.
    pub(super) fn between(&self, one: &Range<usize>, other: &Range<usize>) -> usize {
        let (from, to) =
            if one.start < other.start { (one.end, other.start) } else { (other.end, one.start) };
        self.ended_by(to).saturating_sub(self.started_before(from))
    }

    fn started_before(&self, offset: usize) -> usize {
        self.all.partition_point(|word| word.span.start < offset)
    }

    fn ended_by(&self, offset: usize) -> usize {
        self.all.partition_point(|word| word.span.end <= offset)
    }

    /// What stands between a word and the one before it.
    pub(super) fn gap(&self, place: usize) -> &str {
        let start = if place == 0 { 0 } else { self.all[place - 1].span.end };
        &self.source[start..self.all[place].span.start]
    }

    /// These words and a few on either side, the words themselves in `«»`. Names are left out: findings are logged.
    pub(super) fn context(&self, span: &Range<usize>) -> String {
        const AROUND: usize = 4;
        let (first, end) = (self.ended_by(span.start), self.started_before(span.end));
        let Some(last) = end.checked_sub(1).filter(|last| first <= *last) else {
            return String::new();
        };
        let (from, to) = (first.saturating_sub(AROUND), (last + AROUND).min(self.all.len() - 1));
        let mut context = String::from(if from > 0 { "… " } else { "" });
        for place in from..=to {
            let between: String = self.gap(place).split_whitespace().collect();
            let parted = self.gap(place).contains(char::is_whitespace) && place > from;
            context.push_str(if place > from { &between } else { "" });
            context.push_str(if parted { " " } else { "" });
            context.push_str(if place == first { "«" } else { "" });
            context.push_str(self.shown(place));
            context.push_str(if place == last { "»" } else { "" });
        }
        context.push_str(if to + 1 < self.all.len() { " …" } else { "" });
        context
    }

    /// The beginning of these words, as it is written. Names are left out.
    pub(super) fn quote(&self, place: &Range<usize>) -> String {
        const LONGEST: usize = 12;
        let cut = place.start..place.end.min(place.start + LONGEST);
        let quoted: Vec<&str> = cut.clone().map(|place| self.shown(place)).collect();
        quoted.join(" ") + if cut.end < place.end { " …" } else { "" }
    }

    /// Some of the words alone.
    pub(super) fn part(&self, place: &Range<usize>) -> Self {
        Self::of("", self.all[place.clone()].to_vec())
    }

    fn shown(&self, place: usize) -> &str {
        let word = &self.all[place];
        match word.kind {
            Kind::Name => "(name)",
            Kind::Link if word.text.contains('@') => "(address)",
            Kind::Word
            | Kind::Number
            | Kind::Amount
            | Kind::Percent
            | Kind::Link
            | Kind::Disclaimer => &self.source[word.span.clone()],
        }
    }

    /// `1.` or `2)` at the beginning of a line; not the day of a date, as in `24. Dezember 2026`.
    fn counts(&self, place: usize) -> bool {
        let word = &self.all[place];
        let at_start = place == 0 || self.gap(place).contains('\n');
        let after = &self.source[word.span.end..];
        let ends = after.starts_with(". ")
            || after.starts_with(".\n")
            || after.starts_with(')')
            || after == ".";
        let year = self
            .all
            .get(place + 2)
            .is_some_and(|year| year.kind == Kind::Number && year.text.len() == 4);
        word.kind == Kind::Number && word.text.len() <= 2 && at_start && ends && !year
    }

    fn breaks(&self, place: usize) -> bool {
        if place == 0 {
            return true;
        }
        let (gap, before) = (self.gap(place), &self.all[place - 1]);
        let abbreviated = before.text.chars().count() == 1
            || before.kind == Kind::Number && before.text.len() <= 2;
        let stops = gap.contains('.') && gap.contains(char::is_whitespace) && !abbreviated;
        let lists = gap
            .split('\n')
            .skip(1)
            .any(|line| line.trim_start().starts_with(['•', '*', '-', '–', '·']));
        stops || lists || gap.contains(['!', '?', '…']) || gap.matches('\n').count() > 1
    }

    fn is_hyphenated(&self, place: usize) -> bool {
        let is_word = |place: usize| self.all[place].kind == Kind::Word;
        if place == 0 || !is_word(place) || !is_word(place - 1) {
            return false;
        }
        let gap: String = self.gap(place).chars().filter(|c| !fold::is_invisible(*c)).collect();
        let mut gap = gap.chars();
        let hyphen = gap.next().is_some_and(|c| matches!(c, '-' | '‐' | '‑' | '–' | '−' | '_'));
        let rest = gap.as_str();
        hyphen && (rest.is_empty() || rest.starts_with(['\n', '\r']) && rest.trim().is_empty())
    }

    /// Is this a single letter, and the one before it too, with as little between them as letters have that are spaced out?
    fn is_spaced_out(&self, place: usize) -> bool {
        let single = |word: &Word| word.kind == Kind::Word && word.text.chars().count() == 1;
        place > 0
            && single(&self.all[place])
            && single(&self.all[place - 1])
            && self.gap(place).chars().count() <= 1
            && !self.gap(place).contains(['\n', '\'', '’'])
    }
}

impl Word {
    fn append(&mut self, next: &Self) {
        self.text.push_str(&next.text);
        self.small.push_str(&next.small);
        self.cased.push_str(&next.cased);
        self.span.end = next.span.end;
        self.hides |= next.hides;
    }
}
