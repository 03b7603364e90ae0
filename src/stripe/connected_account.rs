//! Calls that the platform makes in the name of one of its accounts (<https://docs.stripe.com/connect/authentication>).

use std::fmt::Display;

use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::list::{List, Page};
use super::{
    AccountId, Answered, BalanceTransaction, Charge, Client, Error, FinancingSummary, Payout,
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
        let answered: Answered<List<Box<RawValue>>> =
            self.as_account("transactions", account, path, &query).await?;
        Ok(Page {
            entries: answered.object.data,
            has_more: answered.object.has_more,
            at: answered.at,
        })
    }

    /// Where an account's financing stands, as Stripe counts.
    pub async fn summary(&self, account: &AccountId) -> Result<Answered<FinancingSummary>, Error> {
        self.as_account("summary", account, "/v1/capital/financing_summary", &[]).await
    }

    /// A charge on an account.
    pub async fn charge(&self, account: &AccountId, id: &str) -> Result<Charge, Error> {
        Ok(self
            .as_account("charge", account, &format!("/v1/charges/{}", one(id)), &[])
            .await?
            .object)
    }

    /// A transfer of the platform's, in its own name.
    pub async fn transfer(&self, id: &str) -> Result<Transfer, Error> {
        let request = self.request(Method::GET, &format!("/v1/transfers/{}", one(id)));
        Ok(self.send("transfer", request).await?.object)
    }

    /// The payouts of an account that are to arrive from one moment on and before another (Unix seconds), newest first.
    pub async fn payouts(
        &self,
        account: &AccountId,
        from: i64,
        until: i64,
    ) -> Result<Vec<Payout>, Error> {
        let (from, until) = (from.to_string(), until.to_string());
        let wanted = [("arrival_date[gte]", from.as_str()), ("arrival_date[lt]", until.as_str())];
        let mut all = Vec::new();
        let list = Listing { endpoint: "payouts", account, path: "/v1/payouts", wanted: &wanted };
        self.each(&list, |payout| all.push(payout)).await?;
        Ok(all)
    }

    /// Looks at all movements of the balance that a payout is made of, its own among them. They are held a page at a time.
    pub async fn balance_transactions(
        &self,
        account: &AccountId,
        payout: &str,
        look: impl FnMut(BalanceTransaction),
    ) -> Result<(), Error> {
        let (endpoint, path) = ("balance_transactions", "/v1/balance_transactions");
        self.each(&Listing { endpoint, account, path, wanted: &[("payout", payout)] }, look).await
    }

    async fn each<T: DeserializeOwned + Listed>(
        &self,
        list: &Listing<'_>,
        mut look: impl FnMut(T),
    ) -> Result<(), Error> {
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", "100")];
            query.extend(list.wanted);
            query.extend(after.as_deref().map(|id| ("starting_after", id)));
            let page: Answered<List<T>> =
                self.as_account(list.endpoint, list.account, list.path, &query).await?;
            after = page.object.data.last().map(|last| last.id().to_owned());
            page.object.data.into_iter().for_each(&mut look);
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
    ) -> Result<Answered<T>, Error> {
        let request = self.request(Method::GET, path).header("Stripe-Account", account.as_str());
        self.send(endpoint, request.query(query)).await
    }
}

/// A list of an account's.
struct Listing<'a> {
    endpoint: &'static str,
    account: &'a AccountId,
    path: &'a str,
    wanted: &'a [(&'a str, &'a str)],
}

/// What a list goes on after.
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

/// An id as one step of a path, whatever is in it.
fn one(id: &str) -> impl Display {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>()
}
