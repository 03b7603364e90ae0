//! `/capital/statement`: a month's transactions by day, or a year's by month, for printing, and
//! `.csv` with the same by day.

mod period;

use std::collections::BTreeMap;
use std::io;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::context;
use serde::Serialize;

use super::response::{Notice, value};
use super::section::history::Financed;
use super::section::view::PageFormatter;
use super::tenant::PortalQuery;
use super::{ErrorPage, PortalState, Viewer};
use crate::database::{Cursor, with_timeout};
use crate::financing::AccountLocale;
use crate::financing::ledger::store::Balance;
use crate::financing::report::{Granularity, Report, ReportLine, ReportRequest};
use crate::format::csv::CsvWriter;
use crate::format::locale::Formats;
use crate::format::money::Money;
use crate::offers::store::AccountOffer;
use period::{Period, Periods};

/// A day's or month's transactions, formatted.
#[derive(Serialize)]
struct StatementRow {
    on: String,
    items: Vec<StatementItem>,
    /// What remains at its end.
    balance: Option<String>,
}

#[derive(Serialize)]
struct StatementItem {
    /// The key of its description in the templates.
    what: &'static str,
    /// Signed from the merchant's point of view.
    amount: String,
}

/// The sums in one currency.
#[derive(Serialize)]
struct StatementSums {
    opening: String,
    items: Vec<StatementItem>,
    closing: String,
    unclear: i64,
}

pub(super) async fn show(
    State(state): State<PortalState>,
    query: PortalQuery,
    headers: HeaderMap,
) -> Response {
    match state.statement(&query, &headers, None).await {
        Ok(statement) => state.statement_page(&statement),
        Err(error) => state.error_page(error),
    }
}

pub(super) async fn csv(
    State(state): State<PortalState>,
    query: PortalQuery,
    headers: HeaderMap,
) -> Response {
    match state.statement(&query, &headers, Some(Granularity::Day)).await {
        Ok(statement) => match csv_table(&statement.report) {
            Ok(table) => csv_response(statement.periods.shown, table),
            Err(error) => {
                tracing::error!(%error, "cannot write a statement as CSV");
                let presentation = statement.viewer.presentation;
                state.error_page(ErrorPage { notice: Notice::NotNow, presentation })
            }
        },
        Err(error) => state.error_page(error),
    }
}

/// What a statement shows.
struct Statement {
    viewer: Viewer,
    home: AccountLocale,
    offers: Vec<AccountOffer>,
    paid_out: BTreeMap<String, chrono::DateTime<chrono::Utc>>,
    /// The financing that it is about; none for all.
    offer_id: Option<String>,
    periods: Periods,
    opening: Vec<Balance>,
    report: Report,
}

impl PortalState {
    /// By the granularity of the period, unless another one is given.
    async fn statement(
        &self,
        query: &PortalQuery,
        headers: &HeaderMap,
        granularity: Option<Granularity>,
    ) -> Result<Statement, ErrorPage> {
        let viewer = self.viewer(headers, query).await?;
        let presentation = viewer.presentation;
        let statement = Box::pin(with_timeout(self.read_statement(viewer, query, granularity)));
        statement.await.map_err(|error| self.database_error(&error, presentation))
    }

    async fn read_statement(
        &self,
        viewer: Viewer,
        query: &PortalQuery,
        granularity: Option<Granularity>,
    ) -> sqlx::Result<Statement> {
        let portal = &self.portal;
        let financings = &portal.financings;
        let account = &viewer.account;
        let home = financings.locale(account).await?;
        let offers = portal.offers(account).await?;
        let paid_out = portal.paid_out(account, &offers).await?;
        let offer_id = query.financing.clone().filter(|offer| paid_out.contains_key(offer));
        let zone = home.time_zone;
        let today = portal.clock.now().with_timezone(&zone).date_naive();
        let span = financings.span(account).await?;
        let span = span.map(|(first, last)| {
            (first.with_timezone(&zone).date_naive(), last.with_timezone(&zone).date_naive())
        });
        let requested = query.period.as_deref().or(query.month.as_deref());
        let periods = Periods::new(requested, span, today);
        let days = periods.shown.days();
        let request = ReportRequest {
            days,
            granularity: granularity.unwrap_or_else(|| periods.shown.granularity()),
            zone,
            offer_id: offer_id.as_deref(),
        };
        // Transaction ids are not empty, so this is exclusive.
        let at = Cursor { created_at: days.from(zone), id: "" };
        let (opening, report) = tokio::try_join!(
            financings.balances(account, &at, offer_id.as_deref()),
            financings.report(account, &request),
        )?;
        Ok(Statement { viewer, home, offers, paid_out, offer_id, periods, opening, report })
    }

    fn statement_page(&self, statement: &Statement) -> Response {
        let (portal, pages) = (&self.portal, &self.pages);
        let Statement { viewer, home, offers, report, periods, .. } = statement;
        let country = home.country.as_deref();
        let formats = Formats::new(viewer.language(), country);
        let formatter = PageFormatter { formats: &formats, zone: home.time_zone };
        let financed = Financed { offers, paid_out: statement.paid_out.clone() };
        let names = statement.paid_out.keys().map(|offer_id| {
            context! {
                id => offer_id,
                name => value(financed.name_of(Some(offer_id), &formatter)),
            }
        });
        let offer_id = statement.offer_id.as_deref();
        let days = periods.shown.days();
        let page = context! {
            account_name => home.name.clone(),
            account => viewer.account.as_str(),
            is_test => portal.is_test(),
            from => formats.date(days.first()),
            until => formats.date(days.last()),
            is_under_way => periods.is_under_way,
            shown => value(periods.shown.view(&formats)),
            periods => value(periods.choices(&formats)),
            next => value(periods.next.map(|period| period.view(&formats))),
            previous => value(periods.previous.map(|period| period.view(&formats))),
            financing => offer_id,
            name => value(financed.name_of(offer_id, &formatter)),
            names => names.collect::<Vec<_>>(),
            time_zone => home.time_zone.name(),
            rows => value(rows(&formatter, &formats, statement)),
            sums => value(sums(&formatter, &statement.opening, report)),
            contacts => value(portal.settings.contacts.in_market(country)),
            disclaimers =>
                value(portal.disclaimer_texts(offers.iter(), country, viewer.language())),
            paths => portal.paths(viewer),
        };
        pages.render("statement.html", viewer.presentation, page)
    }
}

/// The lines with the balance after each.
fn rows(
    formatter: &PageFormatter<'_>,
    formats: &Formats,
    statement: &Statement,
) -> Vec<StatementRow> {
    let mut balances = statement.opening.clone();
    let row = |line: &ReportLine| {
        let balance = balance_of(&mut balances, &line.currency);
        balance.remaining_minor = balance.remaining_minor.saturating_add(line.delta_minor());
        StatementRow {
            on: match statement.periods.shown {
                Period::Month(_) => formats.day_of_year(line.begins_on),
                Period::Year(_) => formats.month(line.begins_on),
            },
            items: items(formatter, line),
            balance: Some(formatter.remaining(balance)),
        }
    };
    statement.report.lines.iter().map(row).collect()
}

fn balance_of<'a>(balances: &'a mut Vec<Balance>, currency: &str) -> &'a mut Balance {
    let known = balances.iter().position(|balance| balance.currency == currency);
    let at = known.unwrap_or_else(|| {
        balances.push(Balance { currency: currency.to_owned(), remaining_minor: 0 });
        balances.len() - 1
    });
    &mut balances[at]
}

/// The amounts of a line that are not zero; at least one.
fn items(formatter: &PageFormatter<'_>, line: &ReportLine) -> Vec<StatementItem> {
    let amounts = [
        ("advanced", line.advanced_minor),
        ("withheld", line.withheld_minor.saturating_neg()),
        ("otherwise", line.paid_otherwise_minor.saturating_neg()),
        ("discounted", line.discounted_minor.saturating_neg()),
    ];
    let items: Vec<StatementItem> = amounts
        .into_iter()
        .filter(|(_, minor)| *minor != 0)
        .map(|(what, minor)| StatementItem {
            what,
            amount: formatter.signed(minor, &line.currency),
        })
        .collect();
    if !items.is_empty() {
        return items;
    }
    let nothing = Money { minor: 0, currency: line.currency.clone() };
    vec![StatementItem { what: "nothing", amount: formatter.money(&nothing) }]
}

/// By currency: those of the period, and those with a balance.
fn sums(formatter: &PageFormatter<'_>, opening: &[Balance], report: &Report) -> Vec<StatementSums> {
    let mut balances = opening.to_vec();
    for total in &report.totals {
        balance_of(&mut balances, &total.currency);
    }
    let sums = |balance: &Balance| {
        let total = report.totals.iter().find(|total| total.currency == balance.currency);
        let delta = total.map_or(0, ReportLine::delta_minor);
        let remaining_minor = balance.remaining_minor.saturating_add(delta);
        StatementSums {
            opening: formatter.remaining(balance),
            items: total.map(|total| items(formatter, total)).unwrap_or_default(),
            closing: formatter.remaining(&Balance { remaining_minor, ..balance.clone() }),
            unclear: total.map_or(0, |total| total.unclear),
        }
    };
    balances.iter().map(sums).collect()
}

const COLUMNS: [&str; 9] = [
    "date",
    "currency",
    "financing_and_fee",
    "withheld",
    "paid_otherwise",
    "paid",
    "transactions",
    "unclear",
    "discounted",
];

fn csv_table(report: &Report) -> io::Result<Vec<u8>> {
    let mut out = CsvWriter::new(Vec::new(), COLUMNS)?;
    report.lines.iter().try_for_each(|line| out.write(line.cells()))?;
    out.finish()
}

fn csv_response(period: Period, table: Vec<u8>) -> Response {
    let name = format!("attachment; filename=\"capital-{}.csv\"", period.id());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("the name is ASCII")),
    ];
    (StatusCode::OK, headers, table).into_response()
}
