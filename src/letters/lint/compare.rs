//! The text against the HTML: who reads the one must be told what who reads the other is told.
//!
//! Amounts, percentages, numbers, dates and links must be the same. Of sentences, at least half the words must stand in the other part
//! beside the same neighbour: layout may differ (a table against lines), what is said may not. A `not` must always be found again. How to
//! stop the letters differs by its nature, as do a button and the words before an address; a preview text is in the HTML alone.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::phrase::Phrase;
use super::words::{Kind, Word, Words};
use super::{Finding, Letter, Part, links, ours};

/// Shorter ones are headings and labels.
const SHORTEST_SENTENCE: usize = 4;

/// What one part says and the other does not.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let [(_, text), (_, html)] = letter.bodies();
    let mut findings = facts(letter, text, html);
    let introduces = |place: &Range<usize>| {
        let next = text.all.get(place.end).or(text.all.get(place.end - 1));
        next.is_some_and(|word| word.kind == Kind::Link)
    };
    findings.extend(sentences(letter, Part::Text, text, &Neighbours::of(html), |place| {
        !introduces(place)
    }));
    findings.extend(sentences(letter, Part::Html, html, &Neighbours::of(text), |place| {
        html.all[place.clone()].iter().all(|word| !is_apart(letter, word))
    }));
    findings
}

/// Is it on a button, or in a text that is not shown?
fn is_apart(letter: &Letter<'_>, word: &Word) -> bool {
    let pieces = &letter.page.pieces;
    let place = pieces.partition_point(|piece| piece.range.end <= word.span.start);
    let element = pieces.get(place).map(|piece| piece.element);
    element.is_some_and(|element| {
        letter.page.elements[element].name == "a" || letter.looks.is_hidden(element)
    })
}

fn facts(letter: &Letter<'_>, text: &Words, html: &Words) -> Vec<Finding> {
    let all = |part, words| {
        let addresses =
            links::addresses(letter, part, words).into_iter().map(|url| url.to_string());
        figures(words, &letter.rules.months)
            .into_iter()
            .chain(addresses)
            .collect::<BTreeSet<String>>()
    };
    let (in_text, in_html) = (all(Part::Text, text), all(Part::Html, html));
    let only = |part, ours: &BTreeSet<String>, theirs: &BTreeSet<String>| -> Vec<Finding> {
        ours.difference(theirs)
            .map(|fact| {
                ours::ONLY_THERE.found(part, format!("only there: {}", links::shortened(fact)))
            })
            .collect()
    };
    let mut findings = only(Part::Text, &in_text, &in_html);
    findings.extend(only(Part::Html, &in_html, &in_text));
    findings
}

/// Numbers as they are written, and dates as `2026-12-24`.
fn figures(words: &Words, months: &[String]) -> Vec<String> {
    let counted = |word: &&Word| {
        !matches!(word.kind, Kind::Name | Kind::Disclaimer | Kind::Link) && !word.counts
    };
    let told: Vec<&Word> = words.all.iter().filter(counted).collect();
    let (mut figures, mut place) = (Vec::new(), 0);
    while place < told.len() {
        if let Some(date) = told.get(place..place + 3).and_then(|three| date(three, months)) {
            figures.push(date);
            place += 3;
        } else {
            if matches!(told[place].kind, Kind::Number | Kind::Amount | Kind::Percent) {
                figures.push(told[place].text.clone());
            }
            place += 1;
        }
    }
    figures
}

fn date(words: &[&Word], months: &[String]) -> Option<String> {
    let [first, second, year] = words else { return None };
    let month =
        |word: &Word| months.iter().position(|month| *month == word.text).map(|place| place + 1);
    let (day, month) = match (month(first), month(second)) {
        (Some(month), None) => (second, month),
        (None, Some(month)) => (first, month),
        (Some(_), Some(_)) | (None, None) => return None,
    };
    let digits: String = day.text.chars().take_while(char::is_ascii_digit).collect();
    let day: u8 = digits.parse().ok().filter(|day| (1..=31).contains(day))?;
    let is_year = year.kind == Kind::Number
        && year.text.len() == 4
        && year.text.chars().all(|c| c.is_ascii_digit());
    is_year.then(|| format!("{}-{month:02}-{day:02}", year.text))
}

/// Which words stand side by side, wherever sentences end.
struct Neighbours(HashSet<(String, String)>);

impl Neighbours {
    fn of(words: &Words) -> Self {
        let told: Vec<&str> = words.all.iter().filter(|word| is_told(word)).map(shown).collect();
        Self(told.windows(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
    }

    /// Which of these words stand there beside the same neighbour.
    fn know(&self, sentence: &[&Word]) -> Vec<bool> {
        let mut known = vec![false; sentence.len()];
        for place in 1..sentence.len() {
            let pair = (shown(sentence[place - 1]).to_owned(), shown(sentence[place]).to_owned());
            if self.0.contains(&pair) {
                known[place - 1] = true;
                known[place] = true;
            }
        }
        known
    }
}

fn is_told(word: &Word) -> bool {
    !matches!(word.kind, Kind::Link | Kind::Disclaimer) && !word.counts
}

fn shown(word: &Word) -> &str {
    if word.kind == Kind::Name { "\u{1}" } else { &word.text }
}

fn sentences(
    letter: &Letter<'_>,
    part: Part,
    words: &Words,
    others: &Neighbours,
    counts: impl Fn(&Range<usize>) -> bool,
) -> Vec<Finding> {
    let opt_out = |place: &Range<usize>| has(&letter.rules.opt_out.words, words, place, letter);
    let mut findings = Vec::new();
    for place in split(words) {
        let sentence: Vec<&Word> =
            words.all[place.clone()].iter().filter(|word| is_told(word)).collect();
        if sentence.len() < SHORTEST_SENTENCE || !counts(&place) || opt_out(&place) {
            continue;
        }
        let known = others.know(&sentence);
        let negates =
            |word: &Word| word.kind == Kind::Word && letter.rules.negations.contains(&word.text);
        let turned = sentence.iter().zip(&known).any(|(word, known)| !known && negates(word));
        if turned || known.iter().filter(|known| **known).count() * 2 < sentence.len() {
            findings.push(
                ours::ONLY_SAID_THERE.found(part, format!("only there: “{}”", words.quote(&place))),
            );
        }
    }
    findings
}

/// The sentences, by words.
fn split(words: &Words) -> Vec<Range<usize>> {
    let mut starts: Vec<usize> =
        (0..words.all.len()).filter(|place| words.all[*place].breaks).collect();
    starts.push(words.all.len());
    starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
}

fn has(phrases: &[Phrase], words: &Words, place: &Range<usize>, letter: &Letter<'_>) -> bool {
    let sentence = words.part(place);
    phrases.iter().any(|phrase| !phrase.find(&sentence, &letter.search).is_empty())
}
