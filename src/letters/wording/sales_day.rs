//! The example of a day that letters and the Capital section give.

use crate::format::money::Money;

/// Sales of a thousand units of a currency on a day, and the share of them that is withheld.
#[derive(Clone, Debug)]
pub struct SalesDay {
    pub sales: Money,
    pub share: Money,
}

impl SalesDay {
    /// In whole units of the currency.
    const SALES: u32 = 1000;

    /// `None` in currencies without decimals, where a thousand units are not the sales of a day,
    /// and for a rate that is no share: 0.15 is 15 %.
    pub fn new(currency: &str, rate: f64) -> Option<Self> {
        let money = |minor| Money { minor, currency: currency.to_owned() };
        let decimals = money(0).decimals();
        if decimals == 0 || !(0.0..=1.0).contains(&rate) {
            return None;
        }
        let minor = Self::SALES * 10_u32.pow(u32::from(decimals));
        #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
        let share = (f64::from(minor) * rate).round() as i64;
        Some(Self { sales: money(minor.into()), share: money(share) })
    }
}
