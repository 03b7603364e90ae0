//! Words that must not be used, unless they are part of a harmless phrase or stand near one that
//! must accompany them.

use std::ops::Range;

use super::phrase::{Phrase, Search};
use super::rules::Rule;
use super::words::Words;
use super::{Finding, Letter};

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let financing = letter.input.financing;
    let mut findings = Vec::new();
    for (part, text) in letter.parts() {
        for rule in letter.rules.forbidden.iter().filter(|rule| rule.is_for(financing)) {
            let offences = offences(rule, text, letter.search());
            findings.extend(offences.iter().map(|span| rule.found(part, text.context(span))));
        }
    }
    findings
}

fn offences(rule: &Rule, text: &Words, search: Search<'_>) -> Vec<Range<usize>> {
    let all = |phrases: &[Phrase], search| -> Vec<Range<usize>> {
        phrases.iter().flat_map(|phrase| phrase.find(text, search)).collect()
    };
    let mut suspects = all(&rule.phrases, search);
    if suspects.is_empty() {
        return suspects;
    }
    let harmless = all(&rule.except, search);
    // What must be said nearby may be said by the disclaimer.
    let company = all(&rule.unless_near, Search { in_disclaimer: true, ..search });
    suspects.retain(|span| {
        let is_within = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let is_near = |other: &Range<usize>| text.distance(span, other) <= rule.within;
        !harmless.iter().any(is_within) && !company.iter().any(is_near)
    });
    suspects.sort_by_key(|span| (span.start, span.end));
    // Several phrases, or readings of the text, find the same words.
    suspects.dedup_by(|later, earlier| later.start < earlier.end);
    suspects
}
