//! The figures and links of both parts must be the same: an amount in the HTML alone never reaches
//! a reader of plain text.

use std::collections::BTreeSet;

use super::builtin_rules::builtin;
use super::links::{Link, shortened};
use super::words::{Word, WordKind, Words};
use super::{Finding, Letter, Part, Passage};

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let in_text = facts(letter, &letter.text);
    let in_html = facts(letter, &letter.html);
    // A preview or an alternative text may leave figures out, but not have others.
    let beside = facts(letter, &letter.asides);
    let text_only = in_text.difference(&in_html).map(|fact| (Part::Text, fact));
    let html_only = in_html.union(&beside).filter(|fact| !in_text.contains(*fact));
    let all = text_only.chain(html_only.map(|fact| (Part::Html, fact)));
    let found = |fact| format!("only there: {}", shortened(fact));
    all.map(|(part, fact)| builtin("parts-differ").found(part, found(fact))).collect()
}

fn facts(letter: &Letter<'_>, Passage { words: text, links, .. }: &Passage) -> BTreeSet<String> {
    let pages = links.iter().filter_map(Link::page);
    let pages = pages.filter(|page| Some(*page) != letter.input.unsubscribe_url);
    let mut facts: BTreeSet<String> = pages.map(ToString::to_string).collect();
    // The merchant's name, addresses and the disclaimer are checked word for word elsewhere.
    let is_ours =
        |word: &Word| !matches!(word.kind, WordKind::Name | WordKind::Disclaimer | WordKind::Link);
    let ours = |place: usize| text.all.get(place).filter(|word| is_ours(word));
    let is_month = |word: &Word| letter.rules.months.contains(&word.text);
    for (place, word) in text.all.iter().enumerate().filter(|(_, word)| is_ours(word)) {
        let after = ours(place + 1);
        let starts_date = after.is_some_and(is_month);
        if matches!(word.kind, WordKind::Amount | WordKind::Percent)
            || word.kind == WordKind::Number && (starts_date || !is_list_number(text, place))
        {
            facts.insert(word.text.clone());
        } else if is_month(word) {
            // `24. Dezember` and `December 24` are a day and a month; `may` alone is neither.
            let before = place.checked_sub(1).and_then(ours);
            let day =
                [before, after].into_iter().flatten().find(|word| word.kind == WordKind::Number);
            facts.extend(day.map(|day| format!("{} {}", word.text, day.text)));
        }
    }
    facts
}

/// `1.` or `2)` at the start of a line: lists of HTML have no such text.
fn is_list_number(text: &Words, place: usize) -> bool {
    let word = &text.all[place];
    let starts_line = place == 0 || text.gap(place).contains('\n');
    let rest = &text.source[word.span.end..];
    let is_marked = rest.starts_with(')')
        || rest.strip_prefix('.').is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    starts_line && is_marked && word.text.len() <= 2
}
