//! What must be said, and seen, in both parts: the required phrases of the rule file, the
//! disclaimer, the postal address, and how to stop the letters.

use super::builtin_rules::builtin;
use super::links::Link;
use super::rules::Rule;
use super::words::Words;
use super::{Finding, Letter, Part, Passage};

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let demands = demands(letter);
    for passage in [&letter.text, &letter.html] {
        let part = passage.part;
        for Demand { rule, what, is_met } in
            demands.iter().filter(|demand| !(demand.is_met)(passage))
        {
            // Text that an inline style hides is among the asides.
            findings.push(if part == Part::Html && is_met(&letter.asides) {
                builtin("small-print-hidden").found(part, format!("not visible: {what}"))
            } else {
                rule.found(part, format!("not there: {what}"))
            });
        }
    }
    findings
}

struct Demand<'a> {
    rule: &'a Rule,
    what: String,
    is_met: Box<dyn Fn(&Passage) -> bool + 'a>,
}

impl<'a> Demand<'a> {
    fn new(
        rule: &'a Rule,
        what: impl Into<String>,
        is_met: impl Fn(&Passage) -> bool + 'a,
    ) -> Self {
        Self { rule, what: what.into(), is_met: Box::new(is_met) }
    }
}

fn demands<'a>(letter: &'a Letter<'_>) -> Vec<Demand<'a>> {
    let Letter { rules, input, .. } = letter;
    let required = rules.required.iter().filter(|rule| rule.is_for(input.financing));
    let said = required.map(|rule| {
        let is_said = |passage: &Passage| !rule.phrases.find(&passage.whole).is_empty();
        Demand::new(rule, format!("the words of `{}`", rule.code), is_said)
    });
    let mut demands: Vec<Demand<'a>> = said.collect();
    let disclaimer = builtin("disclaimer-missing");
    if input.disclaimer.is_empty() {
        demands.push(Demand::new(disclaimer, "a disclaimer for this letter", |_| false));
    }
    for paragraph in input.disclaimer {
        let start: Vec<&str> = paragraph.split_whitespace().take(6).collect();
        let what = format!("the disclaimer (“{} …”)", start.join(" "));
        demands.push(Demand::new(disclaimer, what, contains(letter.words(paragraph))));
    }
    let has_address = contains(letter.words(input.postal_address));
    demands.push(Demand::new(builtin("postal-address-missing"), "the postal address", has_address));
    demands.push(match input.unsubscribe_url {
        Some(url) => {
            let leads_there = |link: &Link| link.is_seen() && link.url.as_ref() == Some(url);
            let has_link = move |passage: &Passage| passage.links.iter().any(leads_there);
            Demand::new(builtin("unsubscribe-missing"), "the link that stops the letters", has_link)
        }
        None => Demand::new(builtin("opt-out-missing"), "how to stop the letters", |passage| {
            explains_opt_out(letter, passage)
        }),
    });
    demands
}

fn contains(wanted: Words) -> impl Fn(&Passage) -> bool {
    move |passage| !passage.words.find(&wanted).is_empty()
}

/// The sentence that says how, and the address to write to.
fn explains_opt_out(letter: &Letter<'_>, passage: &Passage) -> bool {
    let address = letter.input.reply_to.to_lowercase();
    let leads_there =
        |link: &Link| link.address.to_lowercase().starts_with(&format!("mailto:{address}"));
    let mut links = letter.html.links.iter().filter(|_| passage.part == Part::Html);
    let has_address =
        passage.words.all.iter().any(|word| word.text == address) || links.any(leads_there);
    has_address && !letter.rules.opt_out_by_reply.find(&passage.whole).is_empty()
}
