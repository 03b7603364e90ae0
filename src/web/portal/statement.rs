//! `/capital/statement`: a month's transactions by day, for printing, and `.csv` with the same
//! content.

use std::io;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, Months, NaiveDate};
use minijinja::context;
use serde::Serialize;

use super::response::{Notice, value};
use super::section::view::PageFormatter;
use super::tenant::PortalQuery;
use super::{ErrorPage, PortalState, Viewer};
use crate::database::with_timeout;
use crate::financing::AccountLocale;
use crate::financing::report::{Days, Granularity, Report, ReportLine};
use crate::format::csv::{Cell, CsvWriter};
use crate::format::locale::Formats;
use crate::format::money::Money;
use crate::offers::store::AccountOffer;
use crate::stripe::{Contract, OfferStatus};

/// Stripe Capital did not exist before; earlier months are not offered.
const FIRST_YEAR: i32 = 2000;

/// A day's totals, formatted.
#[derive(Serialize)]
struct StatementRow {
    on: String,
    advanced: Option<String>,
    withheld: Option<String>,
    otherwise: Option<String>,
    paid: Option<String>,
    unclear: i64,
}

pub(super) async fn show(
    State(state): State<PortalState>,
    query: PortalQuery,
    headers: HeaderMap,
) -> Response {
    match state.statement(&query, &headers).await {
        Ok((viewer, month, report)) => {
            match with_timeout(state.portal.offers(&viewer.account)).await {
                Ok(offers) => state.page(&viewer, &month, &report, &offers),
                Err(error) => state.fail(&error, viewer.language),
            }
        }
        Err(error) => state.error_page(error),
    }
}

pub(super) async fn csv(
    State(state): State<PortalState>,
    query: PortalQuery,
    headers: HeaderMap,
) -> Response {
    match state.statement(&query, &headers).await {
        Ok((viewer, month, report)) => match csv_table(&report) {
            Ok(table) => csv_response(&month, table),
            Err(error) => {
                tracing::error!(%error, "cannot write a statement as CSV");
                state.error_page(ErrorPage { notice: Notice::NotNow, language: viewer.language })
            }
        },
        Err(error) => state.error_page(error),
    }
}

/// The month of a statement, with links to its neighbors.
struct Month {
    days: Days,
    home: AccountLocale,
    /// `None` if it lies in the future.
    next: Option<String>,
    previous: Option<String>,
}

impl PortalState {
    async fn statement(
        &self,
        query: &PortalQuery,
        headers: &HeaderMap,
    ) -> Result<(Viewer, Month, Report), ErrorPage> {
        let viewer = self.viewer(headers, query.account_tag.as_deref()).await?;
        let statement = async {
            let month = self.month(&viewer, query).await?;
            let (account, zone) = (&viewer.account, month.home.time_zone);
            let report =
                self.portal.financings.report(account, month.days, Granularity::Day, zone).await?;
            Ok((month, report))
        };
        let statement: sqlx::Result<(Month, Report)> = with_timeout(statement).await;
        let (month, report) =
            statement.map_err(|error| self.database_error(&error, viewer.language))?;
        Ok((viewer, month, report))
    }

    /// The requested month; the current one in the account's time zone if none or an invalid one is
    /// requested.
    async fn month(&self, viewer: &Viewer, query: &PortalQuery) -> sqlx::Result<Month> {
        let portal = &self.portal;
        let home = portal.financings.locale(&viewer.account).await?;
        let today = portal.clock.now().with_timezone(&home.time_zone).date_naive();
        let current = today.with_day(1).unwrap_or(today);
        let requested: Option<NaiveDate> =
            query.month.as_deref().and_then(|month| format!("{month}-01").parse().ok());
        let first = requested
            .filter(|first| *first <= current && first.year() >= FIRST_YEAR)
            .unwrap_or(current);
        let after = first.checked_add_months(Months::new(1)).unwrap_or(first);
        let before =
            first.checked_sub_months(Months::new(1)).filter(|first| first.year() >= FIRST_YEAR);
        let to_query = |first: NaiveDate| first.format("%Y-%m").to_string();
        Ok(Month {
            days: Days::month_of(first),
            home,
            next: (after <= current).then(|| to_query(after)),
            previous: before.map(to_query),
        })
    }

    fn page(
        &self,
        viewer: &Viewer,
        month: &Month,
        report: &Report,
        offers: &[AccountOffer],
    ) -> Response {
        let (portal, pages) = (&self.portal, &self.pages);
        let country = month.home.country.as_deref();
        let formats = Formats::new(viewer.language, country);
        let formatter = PageFormatter { formats: &formats, zone: month.home.time_zone };
        let row = |line: &ReportLine| row(&formatter, &formats, line);
        let page = context! {
            account_name => month.home.name.clone(),
            account => viewer.account.as_str(),
            from => formats.date(month.days.first()),
            until => formats.date(month.days.last()),
            month => month.days.first().format("%Y-%m").to_string(),
            time_zone => month.home.time_zone.name(),
            lines => value(report.lines.iter().map(row).collect::<Vec<_>>()),
            totals => value(report.totals.iter().map(row).collect::<Vec<_>>()),
            next => month.next.clone(),
            previous => month.previous.clone(),
            contract => common_contract(offers).as_str(),
            contacts => value(portal.settings.contacts.in_market(country)),
            disclaimers =>
                value(portal.disclaimer_texts(offers.iter(), country, viewer.language)),
            paths => portal.paths(&viewer.account),
        };
        pages.render("statement.html", viewer.language, page)
    }
}

/// The contract of the financings that were paid out; unspecified if they differ.
fn common_contract(offers: &[AccountOffer]) -> Contract {
    let was_paid_out = |offer: &&AccountOffer| match OfferStatus::from(offer.status.clone()) {
        OfferStatus::PaidOut
        | OfferStatus::FullyRepaid
        | OfferStatus::Completed
        | OfferStatus::Canceled => true,
        OfferStatus::Undelivered
        | OfferStatus::Delivered
        | OfferStatus::Accepted
        | OfferStatus::Rejected
        | OfferStatus::Expired
        | OfferStatus::Replaced
        | OfferStatus::Revoked
        | OfferStatus::AcceptedOtherOffer
        | OfferStatus::Other(_) => false,
    };
    let mut contracts =
        offers.iter().filter(was_paid_out).map(|offer| offer.contract().vocabulary());
    let first = contracts.next().unwrap_or(Contract::Unspecified);
    if contracts.all(|other| other == first) { first } else { Contract::Unspecified }
}

fn row(formatter: &PageFormatter<'_>, formats: &Formats, line: &ReportLine) -> StatementRow {
    let amount = |minor: i64| {
        // The page leaves cells without an amount empty.
        (minor != 0).then(|| formatter.money(&Money { minor, currency: line.currency.clone() }))
    };
    StatementRow {
        on: formats.short_date(line.begins_on),
        advanced: amount(line.advanced_minor),
        withheld: amount(line.withheld_minor),
        otherwise: amount(line.paid_otherwise_minor),
        paid: amount(line.paid_minor),
        unclear: line.unclear,
    }
}

const COLUMNS: [&str; 8] = [
    "date",
    "currency",
    "financing_and_fee",
    "withheld",
    "paid_otherwise",
    "paid",
    "transactions",
    "unclear",
];

fn csv_table(report: &Report) -> io::Result<Vec<u8>> {
    let mut out = CsvWriter::new(Vec::new(), COLUMNS)?;
    for line in &report.lines {
        let amount = |minor| Cell::amount(minor, &line.currency);
        out.write([
            line.begins_on.into(),
            Cell::currency(&line.currency),
            amount(line.advanced_minor),
            amount(line.withheld_minor),
            amount(line.paid_otherwise_minor),
            amount(line.paid_minor),
            line.transactions.into(),
            line.unclear.into(),
        ])?;
    }
    out.finish()
}

fn csv_response(month: &Month, table: Vec<u8>) -> Response {
    let name =
        format!("attachment; filename=\"capital-{}.csv\"", month.days.first().format("%Y-%m"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("the name is ASCII")),
    ];
    (StatusCode::OK, headers, table).into_response()
}
