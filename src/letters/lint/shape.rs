//! What is wrong with the letter as a whole: its size, its images, what a template left in it, and letters that are not what they
//! look like.

use super::html::Element;
use super::words::{Kind, Words};
use super::{Finding, Letter, Part, ours};

/// Gmail shows no more of a letter than this, and a link to the rest.
const CLIPPED_BYTES: usize = 102 * 1024;
/// Names and links are longer in some letters than in the one that was looked at.
const NEARLY_CLIPPED_BYTES: usize = 80 * 1024;
/// A letter with images and fewer words than this says what it says in the images.
const FEWEST_WORDS: usize = 30;
/// What templates, and the programs that fill them in, leave where they fail.
const LEFTOVERS: [&str; 12] = [
    "{",
    "}",
    "<%",
    "%>",
    "*|",
    "|*",
    "${",
    "[[",
    "]]",
    "[object Object]",
    "lorem ipsum",
    "Lorem ipsum",
];
/// Words that stand for words that somebody meant to write.
const UNWRITTEN: [&str; 6] = ["TODO", "FIXME", "TBD", "XXX", "NaN", "Lorem"];

/// All of it.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = size(letter);
    findings.extend(images(letter));
    findings.extend(leftovers(letter));
    for (part, words) in letter.parts() {
        findings.extend(strange_letters(part, words));
    }
    findings
}

fn size(letter: &Letter<'_>) -> Vec<Finding> {
    let bytes = letter.specimen.html.len();
    let found = format!("{} KB", bytes / 1024);
    if bytes > CLIPPED_BYTES {
        vec![ours::TOO_LARGE.found(Part::Html, found)]
    } else if bytes > NEARLY_CLIPPED_BYTES {
        vec![ours::LARGE.found(Part::Html, found)]
    } else {
        Vec::new()
    }
}

fn images(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, image) in letter.page.named("img").filter(|(_, image)| image.get("alt").is_none()) {
        let source = image.get("src").unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let file = source.split('?').next().unwrap_or_default();
        findings.push(ours::NO_ALT.found(Part::Html, format!("the image `{file}`")));
    }
    let approved =
        |word: &&super::words::Word| word.kind != Kind::Disclaimer && word.kind != Kind::Name;
    let words = letter.html.all.iter().filter(approved).count();
    if words < FEWEST_WORDS && letter.page.named("img").next().is_some() {
        findings.push(ours::ALL_IMAGE.found(Part::Html, format!("images, and {words} words")));
    }
    findings
}

fn leftovers(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (part, words) in letter.parts() {
        let text = without_names(words);
        let signs = LEFTOVERS.iter().filter(|sign| text.contains(**sign));
        let mut found: Vec<String> = signs.map(|sign| around(&text, sign)).collect();
        found.extend(placeholders(&text, &letter.rules.marks));
        let unwritten = words
            .all
            .iter()
            .filter(|word| word.kind == Kind::Word && UNWRITTEN.contains(&word.cased.as_str()));
        found.extend(unwritten.map(|word| word.cased.clone()));
        findings.extend(
            found.into_iter().map(|found| ours::LEFTOVER.found(part, format!("`{found}`"))),
        );
    }
    for value in letter.page.elements.iter().flat_map(spoken_attributes) {
        let signs = LEFTOVERS.iter().filter(|sign| value.contains(**sign));
        findings
            .extend(signs.map(|sign| {
                ours::LEFTOVER.found(Part::Html, format!("`{}`", around(value, sign)))
            }));
    }
    findings
}

/// The values of attributes that a template fills in: not styles, which have braces of their own in some places.
fn spoken_attributes(element: &Element) -> impl Iterator<Item = &String> {
    let filled = ["href", "src", "content", "value"];
    element
        .attributes
        .iter()
        .filter(move |(name, _)| filled.contains(&name.as_str()))
        .map(|(_, value)| value)
}

/// `[NAME]`, `%recipient%`, `<name>`, `##NAME##`: letters between two signs, as no sentence has them.
fn placeholders(text: &str, marks: &[String]) -> Vec<String> {
    const LONGEST: usize = 40;
    let mut found = Vec::new();
    for (open, close) in [('[', ']'), ('%', '%'), ('<', '>'), ('#', '#'), ('@', '@')] {
        for (at, _) in text.match_indices(open) {
            let inside = &text[at + open.len_utf8()..];
            let Some((name, _)) =
                inside.split_once(close).filter(|(name, _)| name.len() <= LONGEST)
            else {
                continue;
            };
            let is_name = name.chars().any(char::is_alphabetic)
                && name.chars().all(|c| {
                    c.is_alphanumeric() || matches!(c, '_' | '-' | '.') || open == '[' && c == ' '
                })
                && name.starts_with(char::is_alphabetic);
            if is_name && !marks.iter().any(|mark| mark == name) {
                found.push(format!("{open}{name}{close}"));
            }
        }
    }
    found
}

fn without_names(words: &Words) -> String {
    let (mut kept, mut from) = (String::with_capacity(words.source.len()), 0);
    for word in words.all.iter().filter(|word| matches!(word.kind, Kind::Name | Kind::Link)) {
        kept.push_str(&words.source[from..word.span.start]);
        from = word.span.end;
    }
    kept + &words.source[from..]
}

fn around(text: &str, sign: &str) -> String {
    const AROUND: usize = 16;
    let at = text.find(sign).unwrap_or_default();
    let before: Vec<char> = text[..at].chars().rev().take(AROUND).collect();
    let after = text[at..].chars().take(AROUND + sign.len());
    let shown: String = before.into_iter().rev().chain(after).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Invisible characters and letters of other alphabets inside of words: somebody hides them from filters, or from us.
fn strange_letters(part: Part, words: &Words) -> Vec<Finding> {
    let copy = words.all.iter().filter(|word| word.kind == Kind::Word);
    let mut findings = Vec::new();
    for word in copy {
        if word.hides {
            findings.push(ours::HIDDEN_LETTERS.found(part, format!("in “{}”", word.cased)));
        }
        if super::fold::mixes_alphabets(&word.cased) {
            findings.push(ours::MIXED.found(part, format!("in “{}”", word.cased)));
        }
    }
    findings
}
