//! Text that comes from outside and is shown to a person: what is taken out of it before it is kept
//! or sent, and how it is printed.

use std::borrow::Cow;
use std::fmt::Write;

use icu_properties::props::{BidiControl, BinaryProperty, DefaultIgnorableCodePoint};

/// Characters that look like a space and that Unicode does not call one: the Hangul fillers, the
/// blank pattern of Braille and the null note head.
const BLANKS: [char; 6] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}', '\u{1d159}'];

/// Does this character show nothing, or change the direction in which its neighbours are read?
pub fn is_invisible(c: char) -> bool {
    // Most characters are ASCII, which has none of these.
    !c.is_ascii()
        && (BLANKS.contains(&c)
            || DefaultIgnorableCodePoint::for_char(c)
            || BidiControl::for_char(c))
}

/// One line without control characters and without anything invisible; white space is folded. Empty
/// where nothing is left to see.
pub fn plain(text: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control() || BLANKS.contains(&c);
    let seen = text.chars().filter(|c| is_blank(*c) || !is_invisible(*c));
    let spaced: String = seen.map(|c| if is_blank(c) { ' ' } else { c }).collect();
    spaced.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Must this character not reach a terminal as it is? A terminal obeys control characters, and an
/// invisible one makes a line look like another.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_invisible(c)
}

/// Text for a terminal: what must not reach it is written out, as in `\u{1b}`. A line stays one
/// line.
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

/// A line without the words of which a mail program makes a link: those with an address of a page or of
/// a mailbox, with its scheme or without.
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
    fn what_nobody_sees_is_taken_out() {
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
    fn what_a_terminal_would_obey_is_written_out() {
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
    fn a_word_of_which_a_mail_program_makes_a_link_is_left_out() {
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
