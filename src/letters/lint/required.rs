//! What must be said, in both parts: the sentences of the rules' file, the disclaimer, the postal address, and how to stop the
//! letters. In the HTML it must also be seen ([`legible`]).

use std::ops::Range;

use url::Url;

use super::phrase::Search;
use super::vocabulary::{Views, nowhere};
use super::words::{Kind, Words};
use super::{Finding, Letter, Part, legible, links, ours};

/// What is missing, and what is not seen.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, words) in letter.bodies() {
        let search = Search { in_disclaimer: true, ..letter.search.clone() };
        let place = Place { letter, part, words, views: Views::of(words), search };
        let demands = [place.sentences(), place.disclaimer(), place.address(), place.opt_out()];
        for demand in demands.into_iter().flatten() {
            match (demand.spans.is_empty(), part) {
                (true, _) => findings.push(demand.missing),
                (false, Part::Html) => {
                    findings.extend(legible::check(letter, &demand.what, &demand.spans));
                }
                (false, Part::Subject | Part::Text) => {}
            }
        }
    }
    findings
}

/// Something that must be said, where it is said, and what to find where it is not.
struct Demand {
    what: String,
    spans: Vec<Range<usize>>,
    missing: Finding,
}

struct Place<'a> {
    letter: &'a Letter<'a>,
    part: Part,
    words: &'a Words,
    views: Views<'a>,
    search: Search,
}

impl Place<'_> {
    fn sentences(&self) -> Vec<Demand> {
        let rules = self
            .letter
            .rules
            .required
            .iter()
            .filter(|rule| rule.is_for(self.letter.specimen.financing));
        let demand = |rule: &super::rules::Rule| Demand {
            what: rule.code.clone(),
            spans: self.views.find(&rule.phrases, &self.search),
            missing: nowhere(rule, self.part),
        };
        rules.map(demand).collect()
    }

    fn disclaimer(&self) -> Vec<Demand> {
        let paragraphs = self.letter.specimen.disclaimer;
        if paragraphs.is_empty() {
            let missing = ours::DISCLAIMER.found(self.part, "there is none for this letter");
            return vec![Demand { what: String::new(), spans: Vec::new(), missing }];
        }
        let demand = |paragraph: &String| Demand {
            what: format!("the disclaimer ({})", beginning(paragraph)),
            spans: self.spans_of(paragraph),
            missing: ours::DISCLAIMER
                .found(self.part, format!("not there: {}", beginning(paragraph))),
        };
        paragraphs.iter().map(demand).collect()
    }

    fn address(&self) -> Vec<Demand> {
        let spans = self.spans_of(self.letter.specimen.postal_address);
        let missing = ours::ADDRESS.found(self.part, "the postal address is not there");
        vec![Demand { what: "the postal address".to_owned(), spans, missing }]
    }

    fn opt_out(&self) -> Vec<Demand> {
        let demand = match self.letter.specimen.unsubscribe_url {
            Some(url) => Demand {
                what: "the link that stops the letters".to_owned(),
                spans: self.links_to(url),
                missing: ours::UNSUBSCRIBE
                    .found(self.part, "the link that stops the letters is not there"),
            },
            None => Demand {
                what: "how to stop the letters".to_owned(),
                spans: self.by_reply(),
                missing: ours::OPT_OUT.found(self.part, "how to stop the letters is not there"),
            },
        };
        vec![demand]
    }

    fn spans_of(&self, wanted: &str) -> Vec<Range<usize>> {
        let places = self.words.find(&self.letter.words(wanted));
        places.iter().map(|place| self.span(place)).collect()
    }

    fn span(&self, place: &Range<usize>) -> Range<usize> {
        self.words.all[place.start].span.start..self.words.all[place.end - 1].span.end
    }

    /// In the text the address itself; in the HTML also the words of a link to it.
    fn links_to(&self, url: &Url) -> Vec<Range<usize>> {
        let is_it = |href: &str| links::parse(href).as_ref() == Some(url);
        let shown =
            self.words.all.iter().filter(|word| word.kind == Kind::Link && is_it(&word.cased));
        let mut spans: Vec<Range<usize>> = shown.map(|word| word.span.clone()).collect();
        if self.part == Part::Html {
            let page = &self.letter.page;
            let anchors =
                page.named("a").filter(|(_, anchor)| anchor.get("href").is_some_and(is_it));
            let said = anchors.flat_map(|(place, _)| page.pieces_of(place));
            let said = said.filter(|piece| !page.text[piece.range.clone()].trim().is_empty());
            spans.extend(said.map(|piece| piece.range.clone()));
        }
        spans
    }

    /// The sentence that says how, if the address to write to is there too.
    fn by_reply(&self) -> Vec<Range<usize>> {
        let address = self.letter.specimen.reply_to.to_lowercase();
        let shown = self.words.all.iter().any(|word| word.text == address);
        let anchors = || self.letter.page.named("a").filter_map(|(_, anchor)| anchor.get("href"));
        let linked =
            || anchors().any(|href| href.to_lowercase().starts_with(&format!("mailto:{address}")));
        if shown || self.part == Part::Html && linked() {
            self.views.find(&self.letter.rules.opt_out.by_reply, &self.search)
        } else {
            Vec::new()
        }
    }
}

fn beginning(paragraph: &str) -> String {
    const WORDS: usize = 6;
    let words: Vec<&str> = paragraph.split_whitespace().take(WORDS).collect();
    format!("“{} …”", words.join(" "))
}
