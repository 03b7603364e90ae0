//! Letters as the rules compare them: no capitals, no accents, nothing invisible, and no letter of another alphabet that looks
//! like one of ours.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

pub(super) use crate::format::text::is_invisible;

/// Cyrillic, Greek and Armenian letters that a reader takes for a Latin one, as they stand, and that Latin letter.
const LOOKALIKES: [(&str, &str); 3] = [
    ("АВЕЅІЈКМНОРСТУХҮԌԜаеѕіјкорсухһԁԛԝӏгт", "abesijkmhopctyxygwaesijkopcyxhdqwlrt"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαεηικνορτυχγ", "abezhikmnoptyxaenikvoptuxy"),
    ("օոսհցԼՕՍ", "onuhglou"),
];

/// Does this character only say where a word may be parted? Honest German HTML is full of them.
pub(super) fn is_soft_hyphen(c: char) -> bool {
    c == '\u{ad}'
}

/// Is it part of a word?
pub(super) fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Are letters of two alphabets in this word, as nobody writes who wants to be read?
pub(super) fn mixes_alphabets(word: &str) -> bool {
    let latin = |c: char| c.is_ascii_alphabetic() || matches!(c, 'À'..='ɏ');
    let other = |c: char| matches!(c, '\u{370}'..='\u{52f}' | '\u{531}'..='\u{58f}');
    word.chars().any(latin) && word.chars().any(other)
}

/// In small letters, composed, with its accents: what a rule compares that insists on them.
pub(super) fn small(word: &str) -> String {
    word.to_lowercase().nfc().collect()
}

/// The word as rules compare it. In German `ae`, `oe` and `ue` are `ä`, `ö` and `ü` on a keyboard that has none.
pub(super) fn fold(word: &str, german: bool) -> String {
    let mut folded = String::with_capacity(word.len());
    for c in word.nfkd().filter(|c| !is_combining_mark(*c) && !is_invisible(*c)) {
        let c = latin(c);
        for small in c.to_lowercase() {
            match small {
                'ß' => folded.push_str("ss"),
                'œ' => folded.push_str("oe"),
                'æ' => folded.push_str("ae"),
                'ø' => folded.push('o'),
                'ı' => folded.push('i'),
                'ɑ' => folded.push('a'),
                'ɡ' => folded.push('g'),
                other if is_combining_mark(other) => {}
                other => folded.push(other),
            }
        }
    }
    if german { folded.replace("ae", "a").replace("oe", "o").replace("ue", "u") } else { folded }
}

fn latin(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let found = LOOKALIKES.iter().find_map(|(theirs, ours)| {
        theirs.chars().zip(ours.chars()).find(|(their, _)| *their == c).map(|(_, our)| our)
    });
    found.unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lookalike_has_its_letter() {
        for (theirs, ours) in LOOKALIKES {
            assert_eq!(theirs.chars().count(), ours.chars().count(), "{theirs}");
        }
    }

    #[test]
    fn a_word_is_the_same_however_it_is_written() {
        for written in
            ["Prêt", "pre\u{302}t", "PRET", "pr\u{200b}êt", "ｐｒêｔ", "рrеt", "pr\u{ad}êt"]
        {
            assert_eq!(fold(written, false), "pret", "{written}");
        }
        assert_eq!(fold("Rückzahlung", true), fold("RUECKZAHLUNG", true));
        assert_eq!(fold("Großkredit", true), "grosskredit");
        assert_eq!(fold("neue", false), "neue");
        assert_eq!(fold("ﬁnancing", false), "financing");
        assert_eq!(small("DU\u{302}"), "dû");
    }

    #[test]
    fn two_alphabets_in_a_word_are_seen() {
        assert!(mixes_alphabets("lоan"));
        assert!(!mixes_alphabets("loan") && !mixes_alphabets("Кафе") && !mixes_alphabets("crédit"));
    }
}
