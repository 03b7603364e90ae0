//! Words that must not be said, unless a harmless phrase has them or something that must go with them is near.

use std::ops::Range;

use super::phrase::{Phrase, Search};
use super::rules::Rule;
use super::words::Words;
use super::{Finding, Letter, Part};

/// A text as it stands, and with the words put together that something parts.
pub(super) struct Views<'a> {
    plain: &'a Words,
    joined: Vec<Words>,
}

impl<'a> Views<'a> {
    pub(super) fn of(plain: &'a Words) -> Self {
        Self { plain, joined: plain.joined() }
    }

    fn all(&self) -> impl Iterator<Item = &Words> {
        std::iter::once(self.plain).chain(&self.joined)
    }

    /// Where one of these phrases stands, in bytes.
    pub(super) fn find(&self, phrases: &[Phrase], search: &Search) -> Vec<Range<usize>> {
        let found = self.all().flat_map(|words| {
            let places = phrases.iter().flat_map(|phrase| phrase.find(words, search));
            places.map(|place| words.all[place.start].span.start..words.all[place.end - 1].span.end)
        });
        found.collect()
    }
}

/// What is said that must not be.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let financing = letter.specimen.financing;
    let rules: Vec<&Rule> =
        letter.rules.forbidden.iter().filter(|rule| rule.is_for(financing)).collect();
    let mut findings = Vec::new();
    for (part, words) in letter.parts() {
        let views = Views::of(words);
        for rule in &rules {
            let found = offending(rule, &views, &letter.search);
            findings.extend(found.iter().map(|span| finding(rule, part, words.context(span))));
        }
    }
    findings
}

fn offending(rule: &Rule, views: &Views<'_>, search: &Search) -> Vec<Range<usize>> {
    let mut suspects = views.find(&rule.phrases, search);
    if suspects.is_empty() {
        return suspects;
    }
    let innocent = views.find(&rule.except, search);
    let companions =
        views.find(&rule.unless_near, &Search { in_disclaimer: true, ..search.clone() });
    suspects.retain(|span| {
        !innocent.iter().any(|harmless| harmless.start <= span.start && span.end <= harmless.end)
    });
    suspects.retain(|span| {
        !companions.iter().any(|near| views.plain.between(span, near) <= rule.within)
    });
    suspects.sort_by_key(|span| (span.start, span.end));
    suspects.dedup_by(|later, earlier| later.start < earlier.end);
    suspects
}

fn finding(rule: &Rule, part: Part, found: String) -> Finding {
    Finding {
        rule: rule.code.clone(),
        severity: rule.severity,
        part,
        found,
        instead: rule.instead.clone(),
        source: rule.source.clone(),
    }
}

/// That nothing of what a rule demands is said.
pub(super) fn nowhere(rule: &Rule, part: Part) -> Finding {
    finding(rule, part, "it is not said".to_owned())
}
