//! What must be said, and seen, in both parts: the required phrases of the rule file, the
//! disclaimer, the postal address, and how to stop the letters.

use super::builtin_rules::builtin;
use super::links::Link;
use super::rules::Rule;
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

fn demands<'a>(letter: &'a Letter<'_>) -> Vec<Demand<'a>> {
    let Letter { rules, input, .. } = letter;
    let mut demands = Vec::new();
    let mut demand = |rule: &'a Rule, what: String, is_met: Box<dyn Fn(&Passage) -> bool + 'a>| {
        demands.push(Demand { rule, what, is_met });
    };
    for rule in rules.required.iter().filter(|rule| rule.is_for(input.financing)) {
        let what = format!("the words of `{}`", rule.code);
        demand(rule, what, Box::new(|passage| !rule.phrases.find(&passage.whole).is_empty()));
    }
    let disclaimer = builtin("disclaimer-missing");
    if input.disclaimer.is_empty() {
        demand(disclaimer, "a disclaimer for this letter".to_owned(), Box::new(|_| false));
    }
    for paragraph in input.disclaimer {
        let start: Vec<&str> = paragraph.split_whitespace().take(6).collect();
        let what = format!("the disclaimer (“{} …”)", start.join(" "));
        demand(disclaimer, what, says(letter, paragraph));
    }
    let address = says(letter, input.postal_address);
    demand(builtin("postal-address-missing"), "the postal address".to_owned(), address);
    if let Some(url) = input.unsubscribe_url {
        let what = "the link that stops the letters".to_owned();
        let leads_there = |link: &Link| link.is_seen() && link.url.as_ref() == Some(url);
        let has_link = move |passage: &Passage| passage.links.iter().any(leads_there);
        demand(builtin("unsubscribe-missing"), what, Box::new(has_link));
    } else {
        let what = "how to stop the letters".to_owned();
        demand(
            builtin("opt-out-missing"),
            what,
            Box::new(|passage| explains_opt_out(letter, passage)),
        );
    }
    demands
}

fn says<'a>(letter: &Letter<'_>, wanted: &str) -> Box<dyn Fn(&Passage) -> bool + 'a> {
    let wanted = letter.words(wanted);
    Box::new(move |passage| !passage.words.find(&wanted).is_empty())
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
