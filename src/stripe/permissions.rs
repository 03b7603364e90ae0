//! Whether the key may make the calls that the service makes. Each call reads the first
//! entries of a list, or an object that does not exist.

use reqwest::{Method, RequestBuilder};
use serde::de::IgnoredAny;

use super::list::List;
use super::{AccountId, ApiResponse, Client, Error};

/// A permission of a restricted key (<https://docs.stripe.com/keys/restricted-api-keys>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// As in the Dashboard, roughly.
    pub name: &'static str,
    /// What does not work without it.
    pub needed_for: &'static str,
    /// Whether no email can be sent without it.
    pub is_essential: bool,
    path: &'static str,
    owner: Owner,
}

/// Whose object a call reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Platform,
    /// A connected account, named in `Stripe-Account`.
    Account,
    /// A connected account, named in the path.
    PathAccount,
}

const fn permission(
    name: &'static str,
    needed_for: &'static str,
    is_essential: bool,
    path: &'static str,
    owner: Owner,
) -> Permission {
    Permission { name, needed_for, is_essential, path, owner }
}

/// Reading offers is not among them: [`Client::probe`] tries it. Writing is not either: a call that
/// writes cannot be tried.
pub const PERMISSIONS: [Permission; 9] = [
    permission("accounts", "recipients of emails", true, "/v1/accounts", Owner::Platform),
    permission(
        "persons",
        "owners' email addresses",
        true,
        "/v1/accounts/{account}/persons",
        Owner::PathAccount,
    ),
    permission("events", "reconciliation", true, "/v1/events", Owner::Platform),
    permission(
        "Capital summaries of accounts",
        "balances of financings",
        false,
        "/v1/capital/financing_summary",
        Owner::Account,
    ),
    permission(
        "Capital transactions of accounts",
        "the financing ledger",
        false,
        "/v1/capital/financing_transactions",
        Owner::Account,
    ),
    permission("payouts of accounts", EXPLAIN_PAYOUTS, false, "/v1/payouts", Owner::Account),
    permission(
        "balance transactions of accounts",
        EXPLAIN_PAYOUTS,
        false,
        "/v1/balance_transactions",
        Owner::Account,
    ),
    permission(
        "charges of accounts",
        EXPLAIN_PAYOUTS,
        false,
        "/v1/charges/ch_doctor",
        Owner::Account,
    ),
    permission("transfers", EXPLAIN_PAYOUTS, false, "/v1/transfers/tr_doctor", Owner::Platform),
];

const EXPLAIN_PAYOUTS: &str = "explaining payouts";

/// What Stripe answered.
#[derive(Debug)]
pub enum Permitted {
    Yes,
    /// With Stripe's own name of the permission, if it says so.
    No(Option<String>),
    /// There is no connected account to try it with.
    NotTried,
}

impl Client {
    /// Tries one permission.
    pub async fn is_permitted(
        &self,
        permission: &Permission,
        account: Option<&AccountId>,
    ) -> Result<Permitted, Error> {
        let Some(request) = self.trial(permission, account) else {
            return Ok(Permitted::NotTried);
        };
        match self.send::<IgnoredAny>("permissions", request).await {
            Ok(_) => Ok(Permitted::Yes),
            Err(error) if error.lacks_permission() => Ok(Permitted::No(error.permission_name())),
            // Stripe checks the permission first, so that the object was looked for is an answer.
            Err(error) if error.is_missing() => Ok(Permitted::Yes),
            Err(error) => Err(error),
        }
    }

    fn trial(
        &self,
        permission: &Permission,
        account: Option<&AccountId>,
    ) -> Option<RequestBuilder> {
        let get = |path: &str| self.request(Method::GET, path);
        Some(match permission.owner {
            Owner::Platform => get(permission.path),
            Owner::Account => get(permission.path).header("Stripe-Account", account?.as_str()),
            Owner::PathAccount => get(&permission.path.replace("{account}", account?.as_str())),
        })
    }

    /// Some connected account, to try calls with.
    pub async fn any_account(&self) -> Result<Option<AccountId>, Error> {
        #[derive(serde::Deserialize)]
        struct Listed {
            id: AccountId,
        }
        let request = self.request(Method::GET, "/v1/accounts").query(&[("limit", "1")]);
        let page: ApiResponse<List<Listed>> = self.send("accounts", request).await?;
        Ok(page.object.data.into_iter().next().map(|account| account.id))
    }

    /// Whether Stripe accepts `stripe.embedded_version`, whose components are in preview.
    pub async fn probe_embedded_version(&self) -> Result<(), Error> {
        let path = "/v1/capital/financing_offers";
        let request = self.request_as_of(self.embedded_version(), Method::GET, path);
        let request = request.query(&[("limit", "1")]);
        self.send::<List<IgnoredAny>>("offers", request).await.map(drop)
    }
}
