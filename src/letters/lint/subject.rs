//! The subject line: short, calm, and not pretending to be an answer.

use super::words::Kind;
use super::{Finding, Letter, Part, ours};

/// What Gmail shows on a desk; a telephone shows half of it.
const LONGEST: usize = 70;

/// `Re:` in the languages of our letters, and of the mail programs that our readers have.
const REPLIES: [&str; 12] =
    ["re", "aw", "antw", "antwort", "rép", "rep", "réf", "fw", "fwd", "wg", "tr", "sv"];

/// What is wrong with the subject.
pub(super) fn check(letter: &Letter<'_>) -> Vec<Finding> {
    let subject = letter.specimen.subject;
    let shown =
        |rule: ours::Ours| rule.found(Part::Subject, format!("“{}”", without_names(letter)));
    if subject.trim().is_empty() {
        return vec![ours::SUBJECT_EMPTY.found(Part::Subject, "it is empty")];
    }
    let copy = without_mark(letter);
    let length = copy.chars().count();
    let mut findings = Vec::new();
    findings.extend(
        (length > LONGEST)
            .then(|| ours::SUBJECT_LONG.found(Part::Subject, format!("{length} characters"))),
    );
    findings.extend(is_shouted(letter).then(|| shown(ours::SUBJECT_CAPITALS)));
    findings.extend(copy.contains(['!', '！', '¡']).then(|| shown(ours::SUBJECT_EXCLAMATION)));
    findings.extend(copy.chars().any(is_picture).then(|| shown(ours::SUBJECT_EMOJI)));
    findings.extend(answers(copy).then(|| shown(ours::SUBJECT_REPLY)));
    findings.extend(subject.chars().any(char::is_control).then(|| shown(ours::SUBJECT_LINES)));
    findings
}

/// The subject without the `[Test]` that letters about test data have before it.
fn without_mark<'a>(letter: &'a Letter<'_>) -> &'a str {
    let subject = letter.specimen.subject.trim();
    let unmarked =
        letter.rules.marks.iter().find_map(|mark| subject.strip_prefix(&format!("[{mark}]")));
    unmarked.unwrap_or(subject).trim_start()
}

fn without_names(letter: &Letter<'_>) -> String {
    let words = &letter.subject;
    let shown = words.all.iter().enumerate().map(|(place, word)| {
        let written =
            if word.kind == Kind::Name { "(name)" } else { &words.source[word.span.clone()] };
        format!("{}{written}", words.gap(place))
    });
    shown.collect::<String>() + &words.source[words.all.last().map_or(0, |word| word.span.end)..]
}

/// More capitals than small letters, in two words or more. Short words are abbreviations, and names are as they are.
fn is_shouted(letter: &Letter<'_>) -> bool {
    let words = letter.subject.all.iter().filter(|word| word.kind == Kind::Word);
    let (mut capitals, mut small, mut shouted) = (0, 0, 0);
    for word in words {
        let upper = word.cased.chars().filter(|c| c.is_uppercase()).count();
        capitals += upper;
        small += word.cased.chars().filter(|c| c.is_lowercase()).count();
        shouted += usize::from(upper == word.cased.chars().count() && upper > 2);
    }
    shouted > 1 && capitals > small
}

fn answers(subject: &str) -> bool {
    let Some((start, _)) = subject.split_once([':', '：']) else { return false };
    let start = start.trim().to_lowercase();
    let start = start
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '[' | ']' | '(' | ')' | ' '));
    REPLIES.contains(&start)
}

fn is_picture(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{2190}'..='\u{21ff}' | '\u{fe0f}')
}
