//! The subject line: short, calm, and not disguised as a reply.

use std::sync::LazyLock;

use regex::Regex;

use super::builtin_rules::builtin;
use super::words::{WordKind, pattern};
use super::{Finding, Letter, Part};

/// What Gmail shows on a wide screen; a phone shows half of it.
const MAX_CHARS: usize = 70;

/// `Re:` and `Fwd:` in the languages of our letters and of common mail programs, as in `AW[2]:`.
static REPLY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^(?:re|aw|antw|antwort|rép|rep|réf|fw|fwd|wg|tr|sv)[\s\d\[\]()]*[:：]")
});
/// Arrows, symbols, dingbats and emoji.
static PICTURE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[\u{1f000}-\u{1faff}\u{2190}-\u{21ff}\u{2600}-\u{27bf}\u{2b00}-\u{2bff}\u{fe0f}]")
});

pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let subject = letter.input.subject.trim();
    if subject.is_empty() {
        return vec![builtin("subject-empty").found(Part::Subject, "it is empty")];
    }
    // Letters about test data begin with `[Test]`.
    let mut marks = letter.rules.marks.iter();
    let unmarked = marks.find_map(|mark| subject.strip_prefix(&format!("[{mark}]")));
    let copy = unmarked.unwrap_or(subject).trim_start();
    let shown = format!("“{}”", letter.subject.words.anonymous());
    let length = copy.chars().count();
    let faults: [(bool, &str, String); 6] = [
        (length > MAX_CHARS, "subject-long", format!("{length} characters")),
        (is_shouted(letter), "subject-capitals", shown.clone()),
        (copy.contains(['!', '！', '¡']), "subject-exclamation", shown.clone()),
        (PICTURE.is_match(copy), "subject-emoji", shown.clone()),
        (REPLY.is_match(copy), "subject-reply", shown.clone()),
        (letter.input.subject.contains(char::is_control), "subject-lines", shown),
    ];
    let broken = faults.into_iter().filter(|(is_broken, ..)| *is_broken);
    broken.map(|(_, code, found)| builtin(code).found(Part::Subject, found)).collect()
}

/// More capitals than small letters, in two words or more. Words of two letters may be
/// abbreviations, and names are as they are.
fn is_shouted(letter: &Letter<'_>) -> bool {
    let subject = &letter.subject.words;
    let words = subject.all.iter().filter(|word| word.kind == WordKind::Word);
    let (mut upper, mut lower, mut shouted) = (0, 0, 0);
    for word in words.map(|word| subject.written(word)) {
        let capitals = word.chars().filter(|c| c.is_uppercase()).count();
        upper += capitals;
        lower += word.chars().filter(|c| c.is_lowercase()).count();
        shouted += usize::from(capitals == word.chars().count() && capitals > 2);
    }
    shouted > 1 && upper > lower
}
