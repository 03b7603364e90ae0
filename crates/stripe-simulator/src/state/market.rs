//! What an account's country decides for every product
//! (<https://docs.stripe.com/capital/marketing>).

use chrono_tz::Tz;

/// A market of Capital. Countries without Capital get the values of the United States.
pub(crate) struct Market {
    /// Lower-case ISO code.
    pub(crate) currency: &'static str,
    /// A likely one.
    pub(crate) timezone: Tz,
    disclaimer: &'static str,
    /// Where loans have another disclaimer than cash advances.
    loan_disclaimer: Option<&'static str>,
}

impl Market {
    pub(crate) fn of(country: &str) -> Self {
        use chrono_tz::{America, Australia, Europe};
        let (currency, timezone, disclaimer) = match country {
            "GB" => ("gbp", Europe::London, "youlend_uk_mca"),
            "FR" => ("eur", Europe::Paris, "youlend_fr_financing"),
            "DE" => ("eur", Europe::Berlin, "youlend_de_financing"),
            "AU" => ("aud", Australia::Sydney, "fundbox_au_financing"),
            "CA" => ("cad", America::Toronto, "fundbox_ca_financing"),
            _ => ("usd", America::New_York, "youlend_us_mca"),
        };
        let loan_disclaimer = (disclaimer == "youlend_us_mca").then_some("celtic_us_loan");
        Self { currency, timezone, disclaimer, loan_disclaimer }
    }

    /// `disclaimer_variant`.
    pub(crate) fn disclaimer(&self, financing_type: &str) -> &'static str {
        let loan = self.loan_disclaimer.filter(|_| financing_type != "cash_advance");
        loan.unwrap_or(self.disclaimer)
    }
}
