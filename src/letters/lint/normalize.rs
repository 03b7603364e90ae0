//! Spelling for comparison. A rule that forbids "loan" must also find "LOAN", "lo\u{200b}an" and
//! "lоan" with a Cyrillic о.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;

pub(super) use crate::format::text::is_invisible;

/// Lower case, without accents and invisible characters, in Latin letters.
pub(super) fn normalize(word: &str) -> String {
    let mut normal = String::with_capacity(word.len());
    for c in word.nfkd().filter(|c| !is_combining_mark(*c) && !is_invisible(*c)) {
        if c.is_ascii() {
            normal.push(c.to_ascii_lowercase());
        } else {
            normal.push_str(&latin(c));
        }
    }
    normal
}

/// A normalized German word with `ae`, `oe` and `ue` as `ä`, `ö` and `ü` are normalized.
pub(super) fn without_digraphs(normal: &str) -> String {
    normal.replace("ae", "a").replace("oe", "o").replace("ue", "u")
}

/// Lower case, composed, with accents: what a rule about `=dû` compares.
pub(super) fn with_accents(word: &str) -> String {
    let visible = word.chars().filter(|c| !is_invisible(*c) && !c.is_whitespace());
    visible.flat_map(char::to_lowercase).nfc().collect()
}

/// The Latin letters that readers take this character for (Unicode TS 39), or its lower case.
fn latin(c: char) -> String {
    let twin = |letter: &str| {
        let twin: String = skeleton(letter).filter(|c| !is_combining_mark(*c)).collect();
        twin.is_ascii().then(|| twin.to_ascii_lowercase())
    };
    match twin(c.encode_utf8(&mut [0; 4])) {
        // The standard takes I, l and 1 for one character; a capital among them reads as I.
        Some(twin) if twin == "l" && c.is_uppercase() => "i".to_owned(),
        Some(twin) => twin,
        // Of some letters only the capital has a Latin twin (Cyrillic к, т), and ß becomes SS.
        None => twin(&c.to_uppercase().collect::<String>())
            .unwrap_or_else(|| c.to_lowercase().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_in_many_disguises_is_normalized_alike() {
        for (written, normal) in [
            ("Prêt", "pret"),
            ("pre\u{302}t", "pret"),
            ("pr\u{200b}êt", "pret"),
            ("pr\u{ad}êt", "pret"),
            ("ｐｒêｔ", "pret"),
            ("рrеt", "pret"),
            ("lоаn", "loan"),
            ("ІNTEREST", "interest"),
            ("ΙΝΤΕRΕSΤ", "interest"),
            ("bοrrοw", "borrow"),
            ("lօaո", "loan"),
            ("𝐥𝐨𝐚𝐧", "loan"),
            ("ⓛⓞⓐⓝ", "loan"),
            ("ﬁnancing", "financing"),
            ("Großkredit", "grosskredit"),
            ("œuvre", "oeuvre"),
            ("łoan", "loan"),
            ("neue", "neue"),
        ] {
            assert_eq!(normalize(written), normal, "{written}");
        }
    }

    #[test]
    fn german_umlauts_may_be_written_with_two_letters_or_without_dots() {
        let normal = normalize("Rückzahlung");
        assert_eq!(without_digraphs(&normalize("RUECKZAHLUNG")), normal);
        assert_eq!(normalize("Ruckzahlung"), normal);
    }

    #[test]
    fn accents_can_be_kept() {
        assert_eq!(with_accents("DU\u{302}"), "dû");
    }
}
