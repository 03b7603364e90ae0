//! Calls on behalf of a connected account, with the `Stripe-Account` header
//! (<https://docs.stripe.com/connect/authentication>).

use std::fmt::Display;

use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;

use super::client::paged;
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
        let request = self.as_account(account, "/v1/capital/financing_transactions");
        self.page("transactions", request, after).await
    }

    pub async fn summary(
        &self,
        account: &AccountId,
    ) -> Result<ApiResponse<FinancingSummary>, Error> {
        self.send("summary", self.as_account(account, "/v1/capital/financing_summary")).await
    }

    pub async fn charge(&self, account: &AccountId, id: &str) -> Result<Charge, Error> {
        let request = self.as_account(account, &format!("/v1/charges/{}", path_segment(id)));
        Ok(self.send("charge", request).await?.object)
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
        self.for_each("payouts", account, &filter, |payout| all.push(payout)).await?;
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
        self.for_each("balance_transactions", account, &[("payout", payout)], visit).await
    }

    /// Visits all entries of the account's list `/v1/<endpoint>`.
    async fn for_each<T: DeserializeOwned>(
        &self,
        endpoint: &'static str,
        account: &AccountId,
        filter: &[(&str, &str)],
        mut visit: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let request = self.as_account(account, &format!("/v1/{endpoint}")).query(filter);
            let page: ApiResponse<List<T>> =
                self.send(endpoint, paged(request, after.as_deref())).await?;
            let entries = page.body["data"].as_array();
            after = entries.and_then(|all| all.last()?["id"].as_str().map(str::to_owned));
            page.object.data.into_iter().for_each(&mut visit);
            if !page.object.has_more || after.is_none() {
                return Ok(());
            }
        }
    }

    fn as_account(&self, account: &AccountId, path: &str) -> RequestBuilder {
        self.request(Method::GET, path).header("Stripe-Account", account.as_str())
    }
}

/// Escapes an id of unknown format for use in a path.
fn path_segment(id: &str) -> impl Display {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>()
}
