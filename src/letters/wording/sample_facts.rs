//! Sample facts: for checking templates and for showing letters to approvers.

use chrono::DateTime;
use chrono_tz::Tz;
use url::Url;

use super::Facts;
use crate::format::locale::Language;
use crate::format::money::Money;
use crate::letters::Kind;
use crate::stripe::{Contract, RepaymentInterval};

/// A letter to a fictional bakery.
pub fn sample(kind: Kind, language: Language, financing_type: Contract) -> Facts {
    let (country, currency) = match language {
        Language::English => ("US", "usd"),
        Language::German => ("DE", "eur"),
        Language::French => ("FR", "eur"),
    };
    let money = |minor| Money { minor, currency: currency.to_owned() };
    let disclaimer = match language {
        Language::English => {
            "The disclaimer that Stripe approved for the market stands here, in one or more paragraphs."
        }
        Language::German => {
            "Hier steht in einem oder mehreren Absätzen der Hinweis, den Stripe für den Markt freigegeben hat."
        }
        Language::French => {
            "Ici figure, en un ou plusieurs paragraphes, la mention que Stripe a approuvée pour le marché."
        }
    };
    Facts {
        kind,
        is_refill: kind == Kind::Refill,
        language,
        country: Some(country.to_owned()),
        market: Some(country.to_owned()),
        time_zone: Tz::UTC,
        account_name: Some("Jenny's Bakery".to_owned()),
        first_name: Some("Jenny".to_owned()),
        recipient: "jenny.rosen@example.com".to_owned(),
        advance: money(1_500_000),
        fee: money(180_000),
        withhold_rate: 0.15,
        // The end of January 2030.
        expires_at: DateTime::from_timestamp(1_896_048_000, 0).unwrap_or_default(),
        financing_type,
        repayment_interval: None,
        fee_discount: (kind == Kind::Refill).then_some(0.1),
        disclaimer: vec![disclaimer.to_owned()],
        unsubscribe_url: Url::parse("https://courier.example.com/unsubscribe/token").ok(),
        livemode: true,
    }
}

/// The values of `is_refill` that a kind can have. A reminder can have either.
pub fn refill_cases(kind: Kind) -> &'static [bool] {
    match kind {
        Kind::Offer | Kind::PreviouslyEligible | Kind::Repeat => &[false],
        Kind::Refill => &[true],
        Kind::Reminder7d | Kind::Reminder14d | Kind::ReEngagement => &[false, true],
    }
}

/// Facts that together cover every branch of the built-in templates.
pub(super) fn covering_facts(kind: Kind, language: Language) -> impl Iterator<Item = Facts> {
    refill_cases(kind).iter().flat_map(move |is_refill| {
        branches(kind, language).map(|facts| Facts { is_refill: *is_refill, ..facts })
    })
}

fn branches(kind: Kind, language: Language) -> [Facts; 8] {
    let [loan, advance, unspecified] =
        [Contract::Loan, Contract::CashAdvance, Contract::Unspecified]
            .map(|financing_type| sample(kind, language, financing_type));
    let unlike = Money { minor: 1, currency: "xxx".to_owned() };
    let every = |days| RepaymentInterval {
        duration_days: Some(days),
        minimum_amount: Some(1),
        maximum_amount: None,
    };
    let daily = Facts { repayment_interval: Some(every(1)), ..loan.clone() };
    let fixed_term = |days| Facts {
        repayment_interval: Some(every(days)),
        fee_discount: Some(0.1),
        ..sample(kind, language, Contract::FixedTermLoan)
    };
    [
        loan,
        daily,
        fixed_term(7),
        fixed_term(10),
        Facts {
            account_name: None,
            first_name: None,
            unsubscribe_url: None,
            country: None,
            ..advance
        },
        Facts {
            country: Some("GB".to_owned()),
            livemode: false,
            ..sample(kind, language, Contract::CashAdvance)
        },
        Facts {
            country: Some("US".to_owned()),
            unsubscribe_url: None,
            ..sample(kind, language, Contract::Loan)
        },
        Facts {
            livemode: false,
            country: Some("AU".to_owned()),
            fee: unlike,
            unsubscribe_url: None,
            ..unspecified
        },
    ]
}
