//! Calls on behalf of a connected account, with the `Stripe-Account` header
//! (<https://docs.stripe.com/connect/authentication>).

use std::fmt::Display;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::list::{List, Page};
use super::{
    AccountId, ApiResponse, BalanceTransaction, Charge, Client, Error, FinancingSummary, Payout,
    Transfer,
};

impl Client {
    /// A page of an account's financing transactions, newest first
    /// (<https://docs.stripe.com/api/capital/financing_transactions>).
    pub async fn transactions(
        &self,
        account: &AccountId,
        after: Option<&str>,
    ) -> Result<Page, Error> {
        let mut query = vec![("limit", "100")];
        query.extend(after.map(|id| ("starting_after", id)));
        let path = "/v1/capital/financing_transactions";
        let response: ApiResponse<List<Box<RawValue>>> =
            self.as_account("transactions", account, path, &query).await?;
        Ok(Page {
            entries: response.object.data,
            has_more: response.object.has_more,
            at: response.at,
        })
    }

    pub async fn summary(
        &self,
        account: &AccountId,
    ) -> Result<ApiResponse<FinancingSummary>, Error> {
        self.as_account("summary", account, "/v1/capital/financing_summary", &[]).await
    }

    pub async fn charge(&self, account: &AccountId, id: &str) -> Result<Charge, Error> {
        Ok(self
            .as_account("charge", account, &format!("/v1/charges/{}", path_segment(id)), &[])
            .await?
            .object)
    }

    /// A transfer belongs to the platform, so this call has no `Stripe-Account` header.
    pub async fn transfer(&self, id: &str) -> Result<Transfer, Error> {
        let request = self.request(Method::GET, &format!("/v1/transfers/{}", path_segment(id)));
        Ok(self.send("transfer", request).await?.object)
    }

    /// The payouts with `from <= arrival_date < until` (Unix seconds), newest first.
    pub async fn payouts(
        &self,
        account: &AccountId,
        from: i64,
        until: i64,
    ) -> Result<Vec<Payout>, Error> {
        let (from, until) = (from.to_string(), until.to_string());
        let filter = [("arrival_date[gte]", from.as_str()), ("arrival_date[lt]", until.as_str())];
        let mut all = Vec::new();
        let list = Listing { endpoint: "payouts", account, path: "/v1/payouts", filter: &filter };
        self.for_each(&list, |payout| all.push(payout)).await?;
        Ok(all)
    }

    /// Visits the balance transactions of a payout, including its own. Only one page is in memory
    /// at a time.
    pub async fn balance_transactions(
        &self,
        account: &AccountId,
        payout: &str,
        visit: impl FnMut(BalanceTransaction),
    ) -> Result<(), Error> {
        let (endpoint, path) = ("balance_transactions", "/v1/balance_transactions");
        self.for_each(&Listing { endpoint, account, path, filter: &[("payout", payout)] }, visit)
            .await
    }

    async fn for_each<T: DeserializeOwned + Listed>(
        &self,
        list: &Listing<'_>,
        mut visit: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", "100")];
            query.extend(list.filter);
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let page: ApiResponse<List<T>> =
                self.as_account(list.endpoint, list.account, list.path, &query).await?;
            after = page.object.data.last().map(|last| last.id().to_owned());
            page.object.data.into_iter().for_each(&mut visit);
            if !page.object.has_more || after.is_none() {
                return Ok(());
            }
        }
    }

    async fn as_account<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        account: &AccountId,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<ApiResponse<T>, Error> {
        let request = self.request(Method::GET, path).header("Stripe-Account", account.as_str());
        self.send(endpoint, request.query(query)).await
    }
}

/// A list endpoint with its parameters.
struct Listing<'a> {
    endpoint: &'static str,
    account: &'a AccountId,
    path: &'a str,
    filter: &'a [(&'a str, &'a str)],
}

/// An entry with the id after which the next page begins.
trait Listed {
    fn id(&self) -> &str;
}

impl Listed for Payout {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Listed for BalanceTransaction {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Escapes an id of unknown format for use in a path.
fn path_segment(id: &str) -> impl Display {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>()
}
