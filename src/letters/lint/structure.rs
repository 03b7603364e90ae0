//! The letter as a whole: its size, its images, what a template left behind, and characters that
//! are not what they look like.

use std::sync::LazyLock;

use regex::Regex;
use unicode_security::MixedScript;

use super::builtin_rules::builtin;
use super::links::shortened;
use super::normalize::is_invisible;
use super::words::{WordKind, Words, pattern};
use super::{Finding, Letter, Part, Passage};

/// Gmail shows no more than this, and a link to the rest.
const CLIPPED_BYTES: usize = 102 * 1024;
/// Names and links are longer in some letters than in the one that is checked.
const NEARLY_CLIPPED_BYTES: usize = 80 * 1024;
/// A letter with images and fewer words than this says in the images what it says.
const MIN_WORDS: usize = 30;

/// Syntax of template languages and mailing services, words that stand for missing text, and names
/// between two signs as in `[NAME]`, `%recipient%`, `<name>`, `##NAME##` and `@name@`.
static LEFTOVER_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) [{}] | <% | %> | \*\| | \|\* | \[\[ | \]\] | \[object\ Object\] | (?i:lorem\ ipsum)
            | (?-u:\b)(?:TODO|FIXME|TBD|XXX|NaN|Lorem)(?-u:\b)
            | \[\p{L}[\w\ .-]*\] | %\p{L}[\w.-]*% | <\p{L}[\w.-]*> | \#\p{L}[\w.-]*\#
            | @\p{L}[\w.-]*@",
    )
});
/// More between two brackets is a remark.
const MAX_PLACEHOLDER_BYTES: usize = 48;

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bytes = letter.input.html.len();
    if bytes > NEARLY_CLIPPED_BYTES {
        let code = if bytes > CLIPPED_BYTES { "html-size" } else { "html-size-near" };
        findings.push(builtin(code).found(Part::Html, format!("{} KB", bytes / 1024)));
    }
    findings.extend(images(letter));
    for Passage { part, words, .. } in letter.passages() {
        findings.extend(leftovers(letter, *part, &words.anonymous()));
        findings.extend(strange_letters(*part, words));
    }
    let attributes = letter.page.elements().flat_map(|element| {
        ["href", "src", "content", "value"].into_iter().filter_map(|name| element.attr(name))
    });
    findings.extend(attributes.flat_map(|value| leftovers(letter, Part::Html, value)));
    findings
}

fn images(letter: &Letter<'_>) -> Vec<Finding> {
    let images: Vec<_> = letter.page.elements().filter(|element| element.name() == "img").collect();
    let without_alt = images.iter().filter(|image| image.attr("alt").is_none());
    let mut findings: Vec<Finding> = without_alt
        .map(|image| {
            let source = shortened(image.attr("src").unwrap_or_default());
            builtin("image-without-alt").found(Part::Html, format!("the image `{source}`"))
        })
        .collect();
    let is_copy = |kind: WordKind| !matches!(kind, WordKind::Disclaimer | WordKind::Name);
    let words = letter.html.words.all.iter().filter(|word| is_copy(word.kind)).count();
    if words < MIN_WORDS && !images.is_empty() {
        findings
            .push(builtin("image-only").found(Part::Html, format!("images, and {words} words")));
    }
    findings
}

fn leftovers(letter: &Letter<'_>, part: Part, text: &str) -> Vec<Finding> {
    const AROUND: usize = 16;
    let is_mark = |found: &str| letter.rules.marks.iter().any(|mark| found == format!("[{mark}]"));
    let found = LEFTOVER_TEXT
        .find_iter(text)
        .filter(|found| found.len() <= MAX_PLACEHOLDER_BYTES && !is_mark(found.as_str()));
    found
        .map(|found| {
            let start = text.floor_char_boundary(found.start().saturating_sub(AROUND));
            let end = text.ceil_char_boundary(found.end() + AROUND);
            builtin("template-leftover").found(part, format!("`{}`", text[start..end].trim()))
        })
        .collect()
}

fn strange_letters(part: Part, text: &Words) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in text.all.iter().filter(|word| word.kind == WordKind::Word) {
        let visible = text.visible(word);
        // Soft hyphens are common in German, where they say where a long word may be split.
        if text.written(word).contains(|c| is_invisible(c) && c != '\u{ad}') {
            findings.push(builtin("hidden-characters").found(part, format!("in “{visible}”")));
        }
        if !visible.is_ascii() && !visible.as_str().is_single_script() {
            findings.push(builtin("mixed-alphabets").found(part, format!("in “{visible}”")));
        }
    }
    findings
}
