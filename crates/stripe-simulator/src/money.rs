//! Amounts for people.

/// `$1,234.50`. All of Capital's currencies have two decimals.
pub(crate) fn format_amount(minor: i64, currency: &str) -> String {
    let digits = (minor / 100).unsigned_abs().to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if minor < 0 { "−" } else { "" };
    let cents = (minor % 100).abs();
    format!("{sign}{}{grouped}.{cents:02}", symbol(currency))
}

/// The currency's symbol, else its code.
pub(crate) fn symbol(currency: &str) -> String {
    match currency {
        "usd" => "$".to_owned(),
        "gbp" => "£".to_owned(),
        "eur" => "€".to_owned(),
        "aud" => "A$".to_owned(),
        "cad" => "C$".to_owned(),
        other => format!("{} ", other.to_uppercase()),
    }
}

/// `15%`, `12.5%`.
pub(crate) fn format_rate(rate: f64) -> String {
    let percent = format!("{:.2}", rate * 100.0);
    format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{format_amount, format_rate};

    #[test]
    fn amounts_and_rates_are_formatted_for_people() {
        let all = [123_456_789, 5, -12_345, 100_000].map(|minor| format_amount(minor, "usd"));
        assert_eq!(all, ["$1,234,567.89", "$0.05", "−$123.45", "$1,000.00"]);
        let others = ["gbp", "eur", "aud", "cad", "chf"].map(|code| format_amount(100, code));
        assert_eq!(others, ["£1.00", "€1.00", "A$1.00", "C$1.00", "CHF 1.00"]);
        assert_eq!([0.15, 0.125, 0.1, 1.0].map(format_rate), ["15%", "12.5%", "10%", "100%"]);
    }
}
