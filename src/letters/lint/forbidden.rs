//! Words that must not be used, unless they are part of a harmless phrase or stand near one that
//! must accompany them.

use std::ops::Range;

use super::rules::Rule;
use super::{Finding, Letter, Passage};

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let financing = letter.input.financing;
    let mut findings = Vec::new();
    for passage in letter.passages() {
        for rule in letter.rules.forbidden.iter().filter(|rule| rule.is_for(financing)) {
            let found = |span| rule.found(passage.part, passage.words.context(&span));
            findings.extend(offences(rule, passage).into_iter().map(found));
        }
    }
    findings
}

fn offences(rule: &Rule, passage: &Passage) -> Vec<Range<usize>> {
    let mut suspects = rule.phrases.find(&passage.copy);
    if suspects.is_empty() {
        return suspects;
    }
    let harmless = rule.except.find(&passage.copy);
    // What must be said nearby may be said by the disclaimer.
    let company = rule.unless_near.find(&passage.whole);
    suspects.retain(|span| {
        let is_within = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let is_near = |other: &Range<usize>| passage.words.distance(span, other) <= rule.within;
        !harmless.iter().any(is_within) && !company.iter().any(is_near)
    });
    suspects.sort_by_key(|span| (span.start, span.end));
    // Several phrases, or readings of the text, find the same words.
    suspects.dedup_by(|later, earlier| later.start < earlier.end);
    suspects
}
