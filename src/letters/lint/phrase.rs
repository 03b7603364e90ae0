//! Phrases as the rule files write them, and where a text has them. A phrase is compiled to a
//! regular expression over the text's [`Lines`], which have one word each.
//!
//! | written | stands for |
//! |---|---|
//! | `flat fee` | these words in this order, in one sentence |
//! | `pre-approved` | one word, two words, or hyphenated |
//! | `=dû` | this word with its accents: `du` is another |
//! | `repay*`, `*kredit*` | words that begin with it, or contain it |
//! | `pay\|paid` | one of these words |
//! | `(won't\|will not) affect` | one of these phrases |
//! | `(a\|your)? credit check` | with it or without |
//! | `pay … back` | up to four words between |
//! | `#`, `%` | a number; a percentage |
//! | `{program}`, `{platform}` | the name of the program, or of the platform |

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use regex::bytes;
use serde::Deserialize;

use super::normalize::{normalize, with_accents};
use super::words::{Lines, pattern};

/// The phrases of a rule. They are texts until they are compiled.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Phrases {
    sources: Vec<String>,
    #[serde(skip)]
    regexes: Vec<bytes::Regex>,
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[()|?…]|\s+|[^\s()|?…]+"));
static GAP_AT_AN_END: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[(|])\s*…|…\s*(?:$|[)|?])"));

/// Up to four words. The fewest: more could reach into what the phrase is not about.
const GAP: &str = r"(?:.+\n){0,4}?.*?";
/// The rest of a word. No accented spelling and no name begins with it: see [`Lines`].
const WILDCARD: &str = r"[^ ={\n]*";

impl Phrases {
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Compiles all, or says what is wrong with one.
    pub(super) fn compile(&mut self) -> Result<(), String> {
        let compile = |source: &String| {
            compile(source).map_err(|problem| format!("the phrase `{source}`: {problem}"))
        };
        self.regexes = self.sources.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The spans of the source that match one of them. Where a match of a phrase contains another
    /// of the same, only the inner one.
    pub(super) fn find(&self, lines: &Lines) -> Vec<Range<usize>> {
        self.regexes.iter().flat_map(|regex| find(regex, lines)).collect()
    }
}

fn find(regex: &bytes::Regex, lines: &Lines) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    // `find_iter` would go on behind a match, and miss those that begin in it.
    while let Some(place) = regex.find_at(lines.text.as_bytes(), from) {
        found.push(place.range());
        from = place.start() + 1;
    }
    let mut first_end = usize::MAX;
    found.reverse();
    found.retain(|place| {
        let is_inner = place.end < first_end;
        first_end = first_end.min(place.end);
        is_inner
    });
    found.into_iter().map(|place| lines.span(&place)).collect()
}

/// Translates a phrase word by word: each becomes [`line_with`] it.
fn compile(source: &str) -> Result<bytes::Regex, String> {
    if GAP_AT_AN_END.is_match(source) {
        return Err("`…` must stand between words".to_owned());
    }
    let mut pattern = "(?m-u)(?:".to_owned();
    let mut depth = 0;
    for token in TOKEN.find_iter(source.trim()).map(|token| token.as_str()) {
        match token {
            "(" => {
                depth += 1;
                pattern += "(?:";
            }
            ")" => {
                depth -= 1;
                pattern += ")";
            }
            "|" | "?" => pattern += token,
            "…" => pattern += GAP,
            // Outside parentheses `|` separates words, inside it separates phrases.
            blank if blank.trim().is_empty() => pattern += if depth == 0 { ")(?:" } else { "" },
            word => pattern += &compile_word(word)?,
        }
    }
    pattern += ")";
    if depth != 0 {
        return Err("a parenthesis is not closed, or not opened".to_owned());
    }
    if ["(?:)", "(?:|", "||", "|)"].iter().any(|empty| pattern.contains(empty)) {
        return Err("there is nothing in it".to_owned());
    }
    let regex = bytes::Regex::new(&pattern).map_err(|error| error.to_string())?;
    // A phrase of optional words and numbers alone would be found everywhere.
    if ["", " # \n", " % \n"].iter().any(|text| regex.is_match(text.as_bytes())) {
        return Err("it has no word that must be there".to_owned());
    }
    Ok(regex)
}

/// `pre-approved` as two words or as one; `won't` as the two words that texts are read as.
fn compile_word(word: &str) -> Result<String, String> {
    match word {
        "#" | "%" => return Ok(line_with(word)),
        // A name may have several words, and begin a line of its own.
        "{program}" | "{platform}" => {
            return Ok(format!(r"(?:^\n?.* {} .*\n)+.*?", regex::escape(word)));
        }
        _ => {}
    }
    let parts = word.split(['-', '\'', '’']).map(spelling).collect::<Result<Vec<_>, _>>()?;
    let apart: String = parts.iter().map(|part| line_with(part)).collect();
    let is_hyphenated = word.contains('-') && !word.contains(['\'', '’']);
    let joined = is_hyphenated.then(|| format!("|{}", line_with(&parts.concat())));
    Ok(format!("(?:{apart}{})", joined.unwrap_or_default()))
}

/// The rest of a line with this spelling, and the start of the next line up to another.
fn line_with(spelling: &str) -> String {
    format!(r" {spelling} .*\n.*?")
}

fn spelling(word: &str) -> Result<String, String> {
    let accented = word.strip_prefix('=');
    let open = accented.unwrap_or(word);
    let (before, open) = open.strip_prefix('*').map_or(("", open), |open| (WILDCARD, open));
    let (after, text) = open.strip_suffix('*').map_or(("", open), |text| (WILDCARD, text));
    if text.is_empty() || !text.chars().all(char::is_alphanumeric) {
        return Err(format!("`{word}` is not a word"));
    }
    let text = match accented {
        Some(_) => format!("={}", with_accents(text)),
        None => regex::escape(&normalize(text)),
    };
    Ok(format!("{before}{text}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::words::Words;
    use super::*;

    fn found(phrase: &str, text: &str) -> Vec<String> {
        let mut words = Words::read(text, false);
        words.mark(&Words::read("Rocket Capital", false), "{program}");
        words.mark(&Words::read("Rocket Rides", false), "{platform}");
        let found = super::find(&compile(phrase).unwrap(), &words.lines()[0]);
        let mut found: Vec<String> = found.into_iter().map(|span| text[span].to_owned()).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_phrase_is_found_however_it_is_written() {
        for text in [
            "pre-approved",
            "Pre Approved",
            "preapproved",
            "pre\napproved",
            "pre\u{2011}approved",
            "PRÉ‐APPROVED",
        ] {
            assert_eq!(found("pre-approved", text).len(), 1, "{text}");
        }
        for (phrase, text, places) in [
            ("won't affect", "It won’t  affect you.", vec!["won’t  affect"]),
            ("pay … back", "Pay all of it back.", vec!["Pay all of it back"]),
            ("pay … back", "Pay back and back.", vec!["Pay back"]),
            ("in (#|two) business days|day", "in two business days", vec!["in two business days"]),
            (
                "(does|will) not (ever)? pay",
                "It will not pay. Does not ever pay.",
                vec!["Does not ever pay", "will not pay"],
            ),
            ("from {program}", "from Rocket  capital.", vec!["from Rocket  capital"]),
            ("from {program}", "from\n\nRocket Capital", vec!["from\n\nRocket Capital"]),
            ("% interest", "at 5 % interest", vec!["5 % interest"]),
            ("(a)? loan", "a l o a n", vec!["l o a n"]),
            // Of two places, one in the other, the inner one.
            ("in … days", "in your account in two days", vec!["in two days"]),
        ] {
            assert_eq!(found(phrase, text), places, "{phrase} in {text}");
        }
    }

    #[test]
    fn a_phrase_is_not_found_where_something_else_stands() {
        for (phrase, text) in [
            ("loan", "Sloan's sloans"),
            ("=dû", "du"),
            ("pay … back", "Pay. Back."),
            ("pay … back", "pay one two three four five back"),
            ("flat fee", "Flat.\n\nFee"),
            ("loan", "https://loan.example/loan"),
            ("from {program}", "from Rocket Rides"),
        ] {
            assert_eq!(found(phrase, text), Vec::<String>::new(), "{phrase} in {text}");
        }
    }

    #[test]
    fn a_meaningless_phrase_is_refused() {
        for wrong in [
            "", "  ", "( a", "a )", "a || b", "*", "…", "… a", "a …", "#", "%", "a | ", "a | b",
            "()", "{nobody}", "a,b", "(a)?", "(a|#)?",
        ] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }
}
