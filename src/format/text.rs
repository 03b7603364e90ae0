//! Sanitizes external text before it is stored, emailed or printed on a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use icu_properties::props::{BidiControl, BinaryProperty, DefaultIgnorableCodePoint};

/// Characters that render as a space but are not white space in Unicode: the Hangul fillers, the
/// blank Braille pattern and the null notehead.
const BLANKS: [char; 6] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}', '\u{1d159}'];

/// Whether a character renders as nothing or changes the direction of the text around it.
pub fn is_invisible(c: char) -> bool {
    // A fast path: no ASCII character is invisible in this sense.
    !c.is_ascii()
        && (BLANKS.contains(&c)
            || DefaultIgnorableCodePoint::for_char(c)
            || BidiControl::for_char(c))
}

/// One line without control and invisible characters, with white space collapsed. Empty if nothing
/// visible is left.
pub fn plain(text: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control() || BLANKS.contains(&c);
    let seen = text.chars().filter(|c| is_blank(*c) || !is_invisible(*c));
    let spaced: String = seen.map(|c| if is_blank(c) { ' ' } else { c }).collect();
    spaced.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a character must be escaped on a terminal, which executes control characters; an
/// invisible one makes a line look like another.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_invisible(c)
}

/// Text for a terminal, with unprintable characters escaped as in `\u{1b}`. A line stays one line.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) {
            // Writing into a String cannot fail.
            let _ = write!(printed, "\\u{{{:x}}}", u32::from(c));
        } else {
            printed.push(c);
        }
    }
    Cow::Owned(printed)
}

/// A line without words that a mail program turns into links: URLs, domain names and email
/// addresses, with a scheme or without.
pub fn without_links(text: &str) -> String {
    text.split_whitespace().filter(|word| !has_link(word)).collect::<Vec<_>>().join(" ")
}

fn has_link(text: &str) -> bool {
    const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];
    let is_link = |word: &str| {
        let host = word.split(['/', '?', '#', ':']).next().unwrap_or_default().trim_matches(DOTS);
        let last = host.rsplit(DOTS).next().unwrap_or_default();
        let ends_as_domain =
            last.len() < host.len() && last.chars().filter(|c| c.is_alphabetic()).count() >= 2;
        word.contains("://") || word.contains(['@', '＠']) || ends_as_domain
    };
    text.split(|c: char| "()[]{}<>\"',;|".contains(c)).any(is_link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        for (given, plain_text) in [
            ("Jenny's  Bakery\n", "Jenny's Bakery"),
            ("Jen\u{200b}ny\u{202e}", "Jenny"),
            ("Bob\r\nBcc: x", "Bob Bcc: x"),
            ("\u{115f}\u{2800}", ""),
            ("a\u{3164}b", "a b"),
            ("\u{a0}\u{2028}\u{e0041}\u{fe0f}\u{2066}", ""),
            ("Café\u{a0}Zoë 日本", "Café Zoë 日本"),
        ] {
            assert_eq!(plain(given), plain_text, "{given:?}");
        }
    }

    #[test]
    fn what_a_terminal_would_execute_is_escaped() {
        for (given, printed) in [
            ("plain é 日本", "plain é 日本"),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("two\nlines", "two\\u{a}lines"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{2028}", "a\\u{202e}b\\u{2066}c\\u{200b}d\\u{2028}"),
        ] {
            assert_eq!(printable(given), printed, "{given:?}");
        }
    }

    #[test]
    fn words_that_mail_programs_link_are_removed() {
        for link in [
            "evil.example",
            "https://x",
            "www.evil.example/win?a=b",
            "me@x",
            "(evil.example),",
            "Evil.Example.",
            "evil.example:8080",
            "evil。example",
            "<b>evil.example",
        ] {
            assert_eq!(without_links(&format!("Bob {link} & Co")), "Bob & Co", "{link}");
        }
        for name in [
            "Jenny's Bakery",
            "J. R. Smith & Co.",
            "A.B.C.",
            "No.1 Pizza",
            "24/7 Gym",
            "Inc. Ltd.",
            "v2.0",
            "",
        ] {
            assert_eq!(without_links(name), name);
        }
    }
}
