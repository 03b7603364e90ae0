//! Amounts: whole minor units and a currency, never a float, and how a reader writes them.

use std::fmt;

/// An amount as Stripe sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// In the smallest unit that Stripe counts the currency in.
    pub minor: i64,
    /// Lower-case ISO 4217 code.
    pub currency: String,
}

/// Currencies that Stripe counts whole (<https://docs.stripe.com/currencies#zero-decimal>). UGX and ISK are not among them:
/// they have no smaller unit, and Stripe counts hundredths all the same.
const WHOLE: [&str; 15] =
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"];
/// Currencies that Stripe counts in thousandths.
const THOUSANDTHS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];
/// Signs that no other currency of Capital's is written with.
const SIGNS: [(&str, &str); 6] =
    [("usd", "$"), ("gbp", "£"), ("eur", "€"), ("aud", "A$"), ("cad", "CA$"), ("jpy", "¥")];

impl Money {
    /// The sum with an amount of the same currency; none where the currencies differ or the sum has no room.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let same = self.currency == other.currency;
        let minor = self.minor.checked_add(other.minor).filter(|_| same)?;
        Some(Self { minor, currency: self.currency.clone() })
    }

    fn decimals(&self) -> usize {
        let currency = self.currency.as_str();
        if WHOLE.contains(&currency) {
            0
        } else if THOUSANDTHS.contains(&currency) {
            3
        } else {
            2
        }
    }
}

/// As in English: `$1,000.00`, `-¥1,000`, `1,000.00 CHF`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.decimals();
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let sign = if self.minor < 0 { "-" } else { "" };
        let symbol = SIGNS.iter().find(|(currency, _)| *currency == self.currency).map(|(_, symbol)| *symbol);
        write!(f, "{sign}{}{}", symbol.unwrap_or_default(), grouped(whole))?;
        if !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        if symbol.is_none() {
            write!(f, " {}", self.currency.to_uppercase())?;
        }
        Ok(())
    }
}

/// A comma after each three digits, from the right.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> Money {
        Money { minor, currency: currency.to_owned() }
    }

    #[test]
    fn amounts_are_written_as_a_reader_writes_them() {
        let cases = [
            (100_000, "usd", "$1,000.00"),
            (5, "usd", "$0.05"),
            (0, "usd", "$0.00"),
            (-123_456_789, "gbp", "-£1,234,567.89"),
            (99_999, "eur", "€999.99"),
            (100_000, "aud", "A$1,000.00"),
            (100_000, "cad", "CA$1,000.00"),
            (1_000, "jpy", "¥1,000"),
            (1_234_500, "ugx", "12,345.00 UGX"),
            (1_234_500, "kwd", "1,234.500 KWD"),
            (100_000, "chf", "1,000.00 CHF"),
            (i64::MAX, "usd", "$92,233,720,368,547,758.07"),
            (i64::MIN, "usd", "-$92,233,720,368,547,758.08"),
        ];
        for (minor, currency, written) in cases {
            assert_eq!(money(minor, currency).to_string(), written);
        }
    }

    #[test]
    fn currencies_are_never_mixed_and_sums_never_wrap() {
        assert_eq!(money(1, "usd").plus(&money(2, "usd")), Some(money(3, "usd")));
        assert_eq!(money(1, "usd").plus(&money(2, "eur")), None);
        assert_eq!(money(i64::MAX, "usd").plus(&money(1, "usd")), None);
    }
}
