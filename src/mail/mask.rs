//! Masks recipient addresses in relay replies. Relays often quote the address that they refuse, in
//! their own spelling; it must not reach logs and timelines, only `letters.recipient`.
//!
//! Masked are the recipient's local part as a whole word, and anything that looks like an address,
//! also where characters are escaped: `%40` (URLs), `=40` (quoted-printable), `+40` (xtext, RFC
//! 3461), `\x40`, `\u0040`, `&#64;` and `&#x40;` (HTML). Spelled-out forms such as `(at)` need no
//! rule: the local part next to them is a word. Text that was escaped twice is not recognized.

use super::address::Address;

/// A decoded character and the range of its source text.
#[derive(Clone, Copy)]
struct DecodedChar {
    value: char,
    start: usize,
    end: usize,
}

/// `j***@example.com`; `***` for what is no address.
pub fn masked_address(address: &str) -> String {
    address.parse().map_or_else(|_| "***".to_owned(), |address: Address| address.to_string())
}

/// As [`masked_address`]; an erased recipient is a hash, which needs no mask.
pub fn masked_recipient(recipient: &str) -> String {
    if recipient.starts_with("sha256:") { recipient.to_owned() } else { masked_address(recipient) }
}

/// Reduces addresses to their first character and their domain.
pub fn masked(text: &str, to: &Address) -> String {
    let literal: Vec<DecodedChar> = text
        .char_indices()
        .map(|(start, value)| DecodedChar { value, start, end: start + value.len_utf8() })
        .collect();
    let once = mask(text, &literal, to);
    let unescaped = unescaped(&once);
    mask(&once, &unescaped, to)
}

fn mask(text: &str, units: &[DecodedChar], to: &Address) -> String {
    let local = to.expose().rsplit_once('@').map_or("", |(local, _)| local);
    // Servers often drop the `+` suffix before they report the address.
    let base = local.split('+').next().unwrap_or_default();
    let mut masked = String::with_capacity(text.len());
    let mut position = 0;
    while let Some(unit) = units.get(position) {
        let hidden = word_at(units, position, local)
            .or_else(|| word_at(units, position, base))
            .or_else(|| address_at(units, position));
        if let Some(length) = hidden {
            masked.push(unit.value);
            masked.push_str("***");
            position += length;
        } else {
            masked.push_str(&text[unit.start..unit.end]);
            position += 1;
        }
    }
    masked
}

/// The length of `word` if it starts here, in any case, and is a whole word.
fn word_at(units: &[DecodedChar], position: usize, word: &str) -> Option<usize> {
    let length = word.chars().count();
    let found = units.get(position..position + length)?;
    let following = &units[position + length..];
    // Already masked.
    let is_masked = following.len() >= 3 && following[..3].iter().all(|unit| unit.value == '*');
    let is_word = length > 0
        && !is_masked
        && found.iter().zip(word.chars()).all(|(unit, c)| unit.value.eq_ignore_ascii_case(&c))
        && is_border(units[..position].iter().rev())
        && is_border(following.iter());
    is_word.then_some(length)
}

/// Whether a word ends before these characters. Codes and ids such as `5.1.1` and `ab-5-cd` are one
/// word; a trailing full stop is not part of it.
fn is_border<'a>(mut following: impl Iterator<Item = &'a DecodedChar>) -> bool {
    let mut next = || following.next().map_or(' ', |unit| unit.value);
    let first = next();
    if "._-".contains(first) { !next().is_alphanumeric() } else { !first.is_alphanumeric() }
}

/// The length of the local part if an address starts here.
fn address_at(units: &[DecodedChar], position: usize) -> Option<usize> {
    let is_local =
        |unit: &&DecodedChar| unit.value.is_ascii_alphanumeric() || "._%+-".contains(unit.value);
    if position > 0 && is_local(&&units[position - 1]) {
        return None;
    }
    let length = units[position..].iter().take_while(is_local).count();
    let at = units.get(position + length).filter(|unit| length > 0 && unit.value == '@')?;
    let is_escaped = at.end - at.start > 1;
    // Queue ids may contain `=40`: an escaped at sign counts only before a domain.
    (!is_escaped || is_domain(&units[position + length + 1..])).then_some(length)
}

/// Whether a domain with an alphabetic top-level label starts here.
fn is_domain(units: &[DecodedChar]) -> bool {
    let belongs =
        |unit: &&DecodedChar| unit.value.is_ascii_alphanumeric() || ".-".contains(unit.value);
    let domain: String = units.iter().take_while(belongs).map(|unit| unit.value).collect();
    let top = domain.trim_end_matches('.').rsplit_once('.').map_or("", |(_, top)| top);
    top.len() >= 2 && top.chars().all(|c| c.is_ascii_alphabetic())
}

fn unescaped(text: &str) -> Vec<DecodedChar> {
    let (mut units, mut start) = (Vec::new(), 0);
    while let Some(literal) = text[start..].chars().next() {
        let (value, length) = escape_at(&text[start..]).unwrap_or((literal, literal.len_utf8()));
        units.push(DecodedChar { value, start, end: start + length });
        start += length;
    }
    units
}

/// The printable ASCII character whose escape starts the text, and the length of the escape.
fn escape_at(text: &str) -> Option<(char, usize)> {
    const HEX: [&str; 5] = ["%", "=", "+", "\\x", "\\u00"];
    let graphic = |byte: u8| byte.is_ascii_graphic().then_some(char::from(byte));
    for prefix in HEX {
        let digits = text.strip_prefix(prefix).and_then(|rest| rest.get(..2));
        if let Some(digits) =
            digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            return Some((graphic(u8::from_str_radix(digits, 16).ok()?)?, prefix.len() + 2));
        }
    }
    if text.starts_with("&commat;") {
        return Some(('@', "&commat;".len()));
    }
    let (number, _) = text.strip_prefix("&#")?.split_once(';')?;
    let byte = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => number.parse(),
    };
    Some((graphic(byte.ok()?)?, "&#;".len() + number.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask_for(reply: &str, to: &str) -> String {
        masked(reply, &to.parse().unwrap())
    }

    #[test]
    fn the_address_is_masked_in_every_spelling() {
        for (reply, expected) in [
            (
                "550 5.1.1 <jenny@bakery.example>: unknown",
                "550 5.1.1 <j***@bakery.example>: unknown",
            ),
            ("550 no such user JENNY here", "550 no such user J*** here"),
            ("550 unknown: jenny.", "550 unknown: j***."),
            ("250 2.0.0 queued as 1A2B3C", "250 2.0.0 queued as 1A2B3C"),
            ("250 ok someone.else@other.example", "250 ok s***@other.example"),
            ("550 =3Cjenny=40bakery.example=3E", "550 =3Cj***=40bakery.example=3E"),
            ("550 jenny%40bakery.example", "550 j***%40bakery.example"),
            ("550 rfc822;jenny+40bakery.example", "550 rfc822;j***+40bakery.example"),
            ("550 jenny&#64;bakery.example", "550 j***&#64;bakery.example"),
            ("550 jenny&#x40;bakery.example", "550 j***&#x40;bakery.example"),
            ("550 jenny(at)bakery.example", "550 j***(at)bakery.example"),
            ("550 jenny at bakery dot example", "550 j*** at bakery dot example"),
            (r"550 \u003cjenny\u0040bakery.example", r"550 \u003cj***\u0040bakery.example"),
            ("550 =6Aenny=40bakery.example", "550 j***=40bakery.example"),
            ("550 bounces+jenny=bakery.example", "550 bounces+j***=bakery.example"),
            ("451 forwarded to owner%40other.example", "451 forwarded to o***%40other.example"),
            ("250 id=40ab-40cd%4011", "250 id=40ab-40cd%4011"),
            ("250 xjenny jennyx jenny-5", "250 xjenny jennyx jenny-5"),
            ("@ é jenny", "@ é j***"),
            ("100% &# &#; &#x; =4 %é \\u00", "100% &# &#; &#x; =4 %é \\u00"),
            ("", ""),
        ] {
            assert_eq!(mask_for(reply, "Jenny@Bakery.example"), expected);
        }
    }

    #[test]
    fn unusual_local_parts_are_masked_and_codes_are_not() {
        for (reply, to, expected) in [
            ("550 no such user o'neil", "o'neil@x.example", "550 no such user o***"),
            ("550 <a/b@x.example> unknown", "a/b@x.example", "550 <a***@x.example> unknown"),
            ("550 5.1.1 no mailbox 5 here", "5@x.example", "550 5.1.1 no mailbox 5*** here"),
            ("550 no such user jenny", "jenny+capital@x.example", "550 no such user j***"),
            ("550 jenny+capital@x.example", "jenny+capital@x.example", "550 j***@x.example"),
        ] {
            assert_eq!(mask_for(reply, to), expected);
        }
    }

    proptest! {
        #[test]
        fn the_recipient_never_survives_masking(
            before in "[ -~é]{0,10}",
            after in "[ -~é]{0,10}",
            at in prop_oneof![Just("@"), Just("%40"), Just("=40"), Just("&#64;"), Just("+40")],
        ) {
            let reply = format!("{before} <jenny{at}bakery.example> {after}");
            prop_assert!(!mask_for(&reply, "jenny@bakery.example").contains("jenny"), "{}", reply);
        }
    }
}
