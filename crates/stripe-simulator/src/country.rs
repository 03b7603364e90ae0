//! What the country of an account decides (<https://docs.stripe.com/capital/marketing>, <https://docs.stripe.com/capital/refills>).

/// A market of Capital. Other countries get what the United States have.
pub(crate) struct Market {
    /// Lower-case ISO code.
    pub(crate) currency: &'static str,
    /// Where a merchant of that country is likely to be.
    pub(crate) timezone: chrono_tz::Tz,
    /// Whether a refill stands beside the financing before it rather than settling it. Nothing is documented for Canada.
    pub(crate) stacks_refills: bool,
    /// `disclaimer_variant`; of loans, where that is another.
    disclaimer: &'static str,
    loan_disclaimer: Option<&'static str>,
}

impl Market {
    pub(crate) fn of(country: &str) -> Self {
        use chrono_tz::{America, Australia, Europe};
        let (currency, timezone, stacks_refills, disclaimer) = match country {
            "GB" => ("gbp", Europe::London, true, "youlend_uk_mca"),
            "FR" => ("eur", Europe::Paris, true, "youlend_fr_financing"),
            "DE" => ("eur", Europe::Berlin, true, "youlend_de_financing"),
            "AU" => ("aud", Australia::Sydney, false, "fundbox_au_financing"),
            "CA" => ("cad", America::Toronto, false, "fundbox_ca_financing"),
            _ => ("usd", America::New_York, false, "youlend_us_mca"),
        };
        let loan_disclaimer = (disclaimer == "youlend_us_mca").then_some("celtic_us_loan");
        Self { currency, timezone, stacks_refills, disclaimer, loan_disclaimer }
    }

    pub(crate) fn disclaimer(&self, financing_type: &str) -> &'static str {
        let loan = self.loan_disclaimer.filter(|_| financing_type != "cash_advance");
        loan.unwrap_or(self.disclaimer)
    }
}
