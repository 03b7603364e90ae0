//! What must be said, and seen, in both parts: the required phrases of the rule file, the
//! disclaimer, the postal address, and how to stop the letters.

use super::builtin_rules::builtin;
use super::links;
use super::phrase::Phrase;
use super::rules::PhraseRule;
use super::{Finding, Letter, Part, Passage};

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, text) in [(Part::Text, &letter.text), (Part::Html, &letter.html)] {
        let demands = Demands { letter, part, text }.all();
        // Text that an inline style hides is among the asides.
        let asides = Demands { letter, part, text: &letter.asides }.all();
        for (demand, aside) in demands.into_iter().zip(asides) {
            if !demand.is_met && aside.is_met && part == Part::Html {
                findings.push(
                    builtin("small-print-hidden")
                        .found(part, format!("not visible: {}", demand.what)),
                );
            } else if !demand.is_met {
                findings.push(demand.missing);
            }
        }
    }
    findings
}

struct Demand {
    what: String,
    is_met: bool,
    missing: Finding,
}

/// The demands on one part, judged by one text.
struct Demands<'a> {
    letter: &'a Letter<'a>,
    part: Part,
    text: &'a Passage,
}

impl Demands<'_> {
    fn all(&self) -> Vec<Demand> {
        let Letter { rules, input, .. } = self.letter;
        let required = rules.required.iter().filter(|rule| rule.is_for(input.financing));
        let mut all: Vec<Demand> = required.map(|rule| self.rule(rule)).collect();
        if input.disclaimer.is_empty() {
            all.push(self.builtin(
                "disclaimer-missing",
                "a disclaimer for this letter".to_owned(),
                false,
            ));
        }
        for paragraph in input.disclaimer {
            let start: Vec<&str> = paragraph.split_whitespace().take(6).collect();
            let what = format!("the disclaimer (“{} …”)", start.join(" "));
            all.push(self.builtin("disclaimer-missing", what, self.says(paragraph)));
        }
        let says_address = self.says(input.postal_address);
        all.push(self.builtin(
            "postal-address-missing",
            "the postal address".to_owned(),
            says_address,
        ));
        all.push(if input.unsubscribe_url.is_some() {
            let what = "the link that stops the letters".to_owned();
            self.builtin("unsubscribe-missing", what, self.links_to_opt_out())
        } else {
            let what = "how to stop the letters".to_owned();
            self.builtin("opt-out-missing", what, self.explains_opt_out())
        });
        all
    }

    fn rule(&self, rule: &PhraseRule) -> Demand {
        let missing = rule.found(self.part, "it is not said".to_owned());
        Demand { what: rule.code.clone(), is_met: self.has_one_of(&rule.phrases), missing }
    }

    fn builtin(&self, code: &str, what: String, is_met: bool) -> Demand {
        let missing = builtin(code).found(self.part, format!("not there: {what}"));
        Demand { what, is_met, missing }
    }

    fn has_one_of(&self, phrases: &[Phrase]) -> bool {
        phrases.iter().any(|phrase| !phrase.find(&self.text.whole).is_empty())
    }

    fn says(&self, wanted: &str) -> bool {
        !self.text.words.find(&self.letter.words(wanted)).is_empty()
    }

    /// In the text the address itself; in the HTML also a link with words to click on.
    fn links_to_opt_out(&self) -> bool {
        let leads_there =
            |href: &str| links::parse(href).as_ref() == self.letter.input.unsubscribe_url;
        let mut anchors = self.letter.page.anchors.iter().filter(|_| self.part == Part::Html);
        links::shown(&self.text.words).any(leads_there)
            || anchors.any(|anchor| {
                anchor.is_visible && !anchor.text.trim().is_empty() && leads_there(&anchor.href)
            })
    }

    /// The sentence that says how, and the address to write to.
    fn explains_opt_out(&self) -> bool {
        let address = self.letter.input.reply_to.to_lowercase();
        let is_mailto = |href: &str| href.to_lowercase().starts_with(&format!("mailto:{address}"));
        let mut anchors = self.letter.page.anchors.iter().filter(|_| self.part == Part::Html);
        let has_address = self.text.words.all.iter().any(|word| word.text == address)
            || anchors.any(|anchor| is_mailto(&anchor.href));
        has_address && self.has_one_of(&self.letter.rules.opt_out_by_reply)
    }
}
