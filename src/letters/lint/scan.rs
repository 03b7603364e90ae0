//! Finds where words, numbers and links begin and end.

use super::fold::{self, is_invisible, is_letter};
use super::words::{Kind, Word};

/// Currencies as a number has them beside it: those of the markets of Capital, and their neighbours'.
const CURRENCIES: [&str; 8] = ["USD", "EUR", "GBP", "AUD", "CAD", "CHF", "JPY", "NZD"];
const SIGNS: [char; 4] = ['$', '€', '£', '¥'];

struct Scanner<'a> {
    source: &'a str,
    chars: Vec<(usize, char)>,
    place: usize,
    german: bool,
    found: Vec<Word>,
    /// A currency sign that waits for its number, and where it stands.
    sign: Option<(char, usize)>,
    /// Before this place no link begins.
    no_link_before: usize,
}

/// All words of a text. What parts them is judged later.
pub(super) fn scan(source: &str, german: bool) -> Vec<Word> {
    let chars = source.char_indices().collect();
    let mut scanner = Scanner {
        source,
        chars,
        place: 0,
        german,
        found: Vec::new(),
        sign: None,
        no_link_before: 0,
    };
    while let Some(c) = scanner.peek(0) {
        scanner.step(c);
    }
    scanner.found
}

impl Scanner<'_> {
    fn step(&mut self, c: char) {
        if let Some(length) = self.link() {
            self.take_link(length);
        } else if digit(c).is_some() && self.number() {
            self.sign = None;
        } else if is_letter(c) {
            self.sign = None;
            self.word();
        } else {
            if SIGNS.contains(&c) {
                self.sign = Some((c, self.offset(self.place)));
            } else if !is_space(c) {
                self.sign = None;
            }
            self.place += 1;
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.place + ahead).map(|(_, c)| *c)
    }

    fn offset(&self, place: usize) -> usize {
        self.chars.get(place).map_or(self.source.len(), |(offset, _)| *offset)
    }

    fn push(&mut self, text: String, cased: String, kind: Kind, from: usize) {
        let span = from..self.offset(self.place);
        let small = fold::small(&cased);
        self.found.push(Word {
            text,
            small,
            cased,
            kind,
            span,
            breaks: false,
            counts: false,
            hides: false,
        });
    }

    /// Letters, with all that is invisible between them.
    fn word(&mut self) {
        let from = self.offset(self.place);
        let (mut cased, mut hides, mut hidden) = (String::new(), false, false);
        let mut end = self.place;
        while let Some(c) = self.peek(0) {
            if is_letter(c) {
                cased.push(c);
                hides |= hidden;
                end = self.place + 1;
            } else if is_invisible(c) {
                hidden |= !fold::is_soft_hyphen(c);
            } else {
                break;
            }
            self.place += 1;
        }
        self.place = end;
        let text = fold::fold(&cased, self.german);
        self.push(text, cased, Kind::Word, from);
        if let Some(word) = self.found.last_mut() {
            word.hides = hides;
        }
    }

    /// A number with what makes it an amount or a percentage. False where it is the beginning of a word such as `1st`.
    fn number(&mut self) -> bool {
        let (start, mut end, mut digits) = (self.place, self.place, String::new());
        while let Some(c) = self.chars.get(end).map(|(_, c)| *c) {
            if let Some(digit) = digit(c) {
                digits.push(digit);
                end += 1;
            } else if self.separates(end) {
                digits.push(self.chars[end].1);
                end += 1;
            } else {
                break;
            }
        }
        if self.chars.get(end).is_some_and(|(_, c)| is_letter(*c)) {
            return false;
        }
        self.place = end;
        let mut from = self.offset(start);
        let mut currency = self.sign.take().map(|(sign, offset)| {
            from = offset;
            sign.to_string()
        });
        let mut kind = if currency.is_some() { Kind::Amount } else { Kind::Number };
        if let Some(code) = self.code_before(start) {
            currency = Some(code);
            kind = Kind::Amount;
            from = self.found.pop().map_or(from, |word| word.span.start);
        } else if kind == Kind::Number {
            (kind, currency) = self.what_follows();
        }
        digits.retain(|c| c.is_ascii_digit() || matches!(c, '.' | ','));
        let text =
            currency.unwrap_or_default() + &digits + if kind == Kind::Percent { "%" } else { "" };
        self.push(text.clone(), text, kind, from);
        true
    }

    /// Does it stand between the digits of one number? Spaces and apostrophes only group them.
    fn separates(&self, place: usize) -> bool {
        let run = self.chars[place + 1..].iter().take_while(|(_, c)| digit(*c).is_some()).count();
        match self.chars[place].1 {
            '.' | ',' => run > 0,
            '\'' | '’' | '\u{a0}' | '\u{202f}' | '\u{2009}' => run == 3,
            _ => false,
        }
    }

    /// A per cent sign or a currency after a number, with or without a space; takes it.
    fn what_follows(&mut self) -> (Kind, Option<String>) {
        let spaces =
            self.chars[self.place..].iter().take_while(|(_, c)| is_space(*c) && *c != '\n').count();
        let after = self.place + spaces;
        match self.chars.get(after).map(|(_, c)| *c) {
            Some('%' | '％' | '٪') => {
                self.place = after + 1;
                (Kind::Percent, None)
            }
            Some(sign) if SIGNS.contains(&sign) && self.ends_there(after + 1) => {
                self.place = after + 1;
                (Kind::Amount, Some(sign.to_string()))
            }
            Some(_) | None => match self.code_at(after) {
                Some(code) => {
                    self.place = after + code.len();
                    (Kind::Amount, Some(code))
                }
                None => (Kind::Number, None),
            },
        }
    }

    /// Not so for the `$` between `100` and `$200`.
    fn ends_there(&self, place: usize) -> bool {
        self.chars.get(place).is_none_or(|(_, c)| !is_letter(*c))
    }

    fn code_at(&self, place: usize) -> Option<String> {
        let code: String = self.chars.get(place..place + 3)?.iter().map(|(_, c)| *c).collect();
        (CURRENCIES.contains(&code.as_str()) && self.ends_there(place + 3)).then_some(code)
    }

    fn code_before(&self, start: usize) -> Option<String> {
        let last = self.found.last()?;
        let near = self.source[last.span.end..self.offset(start)].chars().all(is_space);
        (near && CURRENCIES.contains(&last.cased.as_str())).then(|| last.cased.clone())
    }

    /// How many characters the link has that begins here.
    fn link(&mut self) -> Option<usize> {
        let before = self.place.checked_sub(1).and_then(|before| self.chars.get(before));
        if before.is_some_and(|(_, c)| is_letter(*c) || *c == '@')
            || self.place < self.no_link_before
        {
            return None;
        }
        let chunk = |longest: usize| {
            let rest = self.chars[self.place..].iter().map(|(_, c)| *c);
            let chunk: String = rest.take_while(|c| !parts_links(*c)).take(longest).collect();
            chunk.trim_end_matches(AFTER_LINKS).to_owned()
        };
        // What a link begins with tells it from a word.
        let start = chunk(LONGEST_MAILBOX);
        if is_web(&start) {
            Some(chunk(LONGEST_LINK).chars().count())
        } else if is_mailbox(&start) {
            Some(start.chars().count())
        } else {
            let length = start.chars().count();
            if !start.contains(['@', ':']) && !start.to_lowercase().contains("www.") {
                // A chunk that was cut may go on with what makes it a link.
                self.no_link_before =
                    self.place + if length < LONGEST_MAILBOX - 1 { length } else { length / 2 };
            }
            None
        }
    }

    fn take_link(&mut self, length: usize) {
        let from = self.offset(self.place);
        self.place += length;
        let cased = self.source[from..self.offset(self.place)].to_owned();
        self.sign = None;
        self.push(cased.to_lowercase(), cased, Kind::Link, from);
    }
}

/// RFC 5321, section 4.5.3.1.3.
const LONGEST_MAILBOX: usize = 254;
/// Of a link that is longer, the rest is read as words.
const LONGEST_LINK: usize = 4096;
/// What may follow a link and is no part of it.
const AFTER_LINKS: [char; 11] = ['.', ',', ';', ':', '!', '?', '\'', '’', ']', '}', '*'];

fn parts_links(c: char) -> bool {
    c.is_whitespace() || matches!(c, '<' | '>' | '"' | '“' | '”' | '„' | '«' | '»' | '(' | ')')
}

fn is_web(chunk: &str) -> bool {
    let small = chunk.get(..chunk.len().min(64)).unwrap_or(chunk).to_lowercase();
    if ["www.", "mailto:", "javascript:", "vbscript:", "data:"]
        .iter()
        .any(|scheme| small.starts_with(scheme))
    {
        return small.len() > "www.".len();
    }
    small.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

fn is_mailbox(chunk: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-@".contains(c);
    chunk.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.contains('@')
            && chunk.chars().all(allowed)
    })
}

/// Also the digits of full-width type.
fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10),
        _ => None,
    }
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<(Kind, String)> {
        scan(source, false).into_iter().map(|word| (word.kind, word.text)).collect()
    }

    #[test]
    fn numbers_are_told_apart_however_they_are_written() {
        for (written, kind, text) in [
            ("$1,000.00", Kind::Amount, "$1,000.00"),
            ("1.000,00 €", Kind::Amount, "€1.000,00"),
            ("1\u{202f}000,00\u{a0}€", Kind::Amount, "€1000,00"),
            ("EUR 1’000.50", Kind::Amount, "EUR1000.50"),
            ("1,000.00 CHF", Kind::Amount, "CHF1,000.00"),
            ("15 %", Kind::Percent, "15%"),
            ("12.5%", Kind::Percent, "12.5%"),
            ("24.12.2026", Kind::Number, "24.12.2026"),
            ("1st", Kind::Word, "1st"),
            ("2026,", Kind::Number, "2026"),
        ] {
            assert_eq!(kinds(written), [(kind, text.to_owned())], "{written}");
        }
        assert_eq!(kinds("100 $200").len(), 2);
    }

    #[test]
    fn a_link_is_one_word_and_not_searched() {
        for written in [
            "https://loans.example/instant?x=1&y=2",
            "www.loan.example",
            "loan.officer@bank.example",
            "mailto:a@b.example",
            "ftp://x.example",
        ] {
            assert_eq!(
                kinds(&format!("({written}).")),
                [(Kind::Link, written.to_owned())],
                "{written}"
            );
        }
        assert!(kinds("and/or @ home: me@").iter().all(|(kind, _)| *kind == Kind::Word));
    }
}
