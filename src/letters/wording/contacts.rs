//! Whom merchants ask about the financing, and where they complain: the operator's contacts, or
//! Stripe's. A platform must give merchants a clear way to complain
//! (<https://docs.stripe.com/capital/regulatory-compliance>).

use std::str::FromStr;

use serde::Serialize;
use url::Url;

use crate::mail::Address;
use crate::stripe::servicing_address;

/// An email address or a web page, as it is shown and as a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// The bare email address, or the page's URL.
    pub address: String,
    /// `mailto:` and the address, or the page's URL.
    pub url: String,
    pub is_page: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an email address nor an https:// address")]
pub struct ContactError;

/// The operator's contacts; `None` for Stripe's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactSettings {
    /// Answers questions about the financing.
    pub support: Option<Contact>,
    pub complaints: Option<Contact>,
}

/// The contacts of a market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contacts {
    pub support: Contact,
    /// `None` if `support` takes complaints too.
    pub complaints: Option<Contact>,
}

impl ContactSettings {
    /// The contacts of the market with this country code.
    pub fn in_market(&self, country: Option<&str>) -> Contacts {
        let stripe = || Contact::email(servicing_address(country));
        let support = self.support.clone().unwrap_or_else(stripe);
        let complaints = self.complaints.clone().unwrap_or_else(stripe);
        Contacts { complaints: Some(complaints).filter(|contact| *contact != support), support }
    }
}

impl Contact {
    fn email(address: &str) -> Self {
        Self { address: address.to_owned(), url: format!("mailto:{address}"), is_page: false }
    }
}

impl FromStr for Contact {
    type Err = ContactError;

    fn from_str(given: &str) -> Result<Self, ContactError> {
        let given = given.trim();
        // A `mailto:` link would need these characters escaped.
        if given.parse::<Address>().is_ok() && !given.contains(['%', '?', '#']) {
            return Ok(Self::email(given));
        }
        let is_public = |url: &Url| {
            url.scheme() == "https" && url.username().is_empty() && url.password().is_none()
        };
        let url = Url::parse(given).ok().filter(is_public).ok_or(ContactError)?;
        Ok(Self { address: url.to_string(), url: url.into(), is_page: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> Option<Contact> {
        text.parse().ok()
    }

    #[test]
    fn stripes_address_takes_what_the_operator_has_no_contact_for() {
        let addresses = |settings: &ContactSettings, country| {
            let Contacts { support, complaints } = settings.in_market(country);
            (support.address, complaints.map(|contact| contact.address))
        };
        let stripe = "capital+support@stripe.com".to_owned();
        let none = ContactSettings::default();
        assert_eq!(addresses(&none, Some("GB")), (stripe.clone(), None));
        let french = "stripe-assistance@youlend.com".to_owned();
        assert_eq!(addresses(&none, Some("FR")), (french, None));

        let [help, page] = ["help@rocket.example", "https://rocket.example/complaints"];
        let support = ContactSettings { support: contact(help), complaints: None };
        assert_eq!(addresses(&support, None), (help.to_owned(), Some(stripe.clone())));
        let complaints = ContactSettings { support: None, complaints: contact(page) };
        assert_eq!(addresses(&complaints, None), (stripe, Some(page.to_owned())));
        let both = ContactSettings { support: contact(help), complaints: contact(help) };
        assert_eq!(addresses(&both, Some("FR")), (help.to_owned(), None));
    }

    #[test]
    fn a_contact_is_an_email_address_or_a_page() {
        let email: Contact = " capital+help@rocket.example ".parse().unwrap();
        assert_eq!(
            (email.url.as_str(), email.is_page),
            ("mailto:capital+help@rocket.example", false)
        );
        let page: Contact = "https://rocket.example/help?topic=capital".parse().unwrap();
        assert_eq!((&page.address, page.is_page), (&page.url, true));
        for bad in [
            "",
            "help",
            "Help <help@rocket.example>",
            "help?@rocket.example",
            "mailto:help@rocket.example",
            "http://rocket.example/help",
            "https://",
            "https://help@rocket.example",
            "//rocket.example/help",
            "javascript:alert(1)",
        ] {
            assert_eq!(bad.parse::<Contact>(), Err(ContactError), "{bad}");
        }
    }
}
