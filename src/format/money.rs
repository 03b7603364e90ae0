//! Amounts of money: whole minor units and a currency, never a float. [`super::locale`] formats
//! them for readers.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// In the smallest unit in which Stripe counts the currency.
    pub minor: i64,
    /// Lower-case ISO 4217 code.
    pub currency: String,
}

/// Currencies without decimals at Stripe (<https://docs.stripe.com/currencies#zero-decimal>). UGX
/// and ISK are not among them: they have no minor unit, but Stripe counts hundredths.
const ZERO_DECIMAL: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];
/// Currencies with three decimals at Stripe.
const THREE_DECIMAL: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// Whether this has the form of a currency code: three ASCII letters.
pub fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
}

impl Money {
    /// The sum. `None` if the currencies differ or the sum overflows.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        let same = self.currency == other.currency;
        let minor = self.minor.checked_add(other.minor).filter(|_| same)?;
        Some(Self { minor, currency: self.currency.clone() })
    }

    /// A decimal number for tables and programs: `-1234.50`.
    pub fn plain(&self) -> String {
        let decimals = usize::from(self.decimals());
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let (sign, point) =
            (if self.minor < 0 { "-" } else { "" }, if fraction.is_empty() { "" } else { "." });
        format!("{sign}{whole}{point}{fraction}")
    }

    /// The number of decimals of the currency at Stripe.
    pub fn decimals(&self) -> u8 {
        let currency = self.currency.as_str();
        if ZERO_DECIMAL.contains(&currency) {
            0
        } else if THREE_DECIMAL.contains(&currency) {
            3
        } else {
            2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> Money {
        Money { minor, currency: currency.to_owned() }
    }

    #[test]
    fn a_number_for_programs_has_a_point_and_nothing_else() {
        let plain = [
            (123_450, "usd"),
            (-5, "eur"),
            (1_000, "jpy"),
            (0, "usd"),
            (-1_234_500, "kwd"),
            (i64::MIN, "usd"),
        ]
        .map(|(minor, currency)| money(minor, currency).plain());
        assert_eq!(
            plain,
            ["1234.50", "-0.05", "1000", "0.00", "-1234.500", "-92233720368547758.08"]
        );
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert!(is_currency("usd") && is_currency("EUR"));
        for bad in ["", "us", "usdx", "u5d", "ééé", "\u{202e}", "us ", "<b>"] {
            assert!(!is_currency(bad), "{bad:?}");
        }
    }

    #[test]
    fn currencies_are_never_mixed_and_sums_never_wrap() {
        assert_eq!(money(1, "usd").plus(&money(2, "usd")), Some(money(3, "usd")));
        assert_eq!(money(1, "usd").plus(&money(2, "eur")), None);
        assert_eq!(money(i64::MAX, "usd").plus(&money(1, "usd")), None);
    }
}
