//! `/capital/statement`: what moved in a month, day by day, to print; and the same as CSV.

use std::io;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, Months, NaiveDate};
use minijinja::context;
use serde::{Deserialize, Serialize};

use super::response::{Notice, value};
use super::section::view::Writer;
use super::tenant::TenantQuery;
use super::{Shared, TurnedAway, Visitor};
use crate::database::with_timeout;
use crate::financing::AccountLocale;
use crate::financing::report::{Days, Line, Per, Report};
use crate::format::csv::{Cell, CsvWriter};
use crate::format::locale::Formats;
use crate::format::money::Money;

#[derive(Deserialize)]
pub(super) struct Asked {
    /// `2026-11`; none: the month that runs.
    month: Option<String>,
    /// The tag of the account that the address is about.
    #[serde(rename = "for")]
    whose: Option<String>,
}

/// Older than Capital.
const OLDEST: i32 = 2000;

/// A day and what moved on it.
#[derive(Serialize)]
struct Shown {
    on: String,
    advanced: Option<String>,
    withheld: Option<String>,
    otherwise: Option<String>,
    paid: Option<String>,
    unclear: i64,
}

pub(super) async fn show(
    State(shared): State<Shared>,
    TenantQuery(asked): TenantQuery<Asked>,
    headers: HeaderMap,
) -> Response {
    match shared.statement(&asked, &headers).await {
        Ok((visitor, month, report)) => shared.page(&visitor, &month, &report),
        Err(away) => shared.turn(away),
    }
}

pub(super) async fn csv(
    State(shared): State<Shared>,
    TenantQuery(asked): TenantQuery<Asked>,
    headers: HeaderMap,
) -> Response {
    match shared.statement(&asked, &headers).await {
        Ok((visitor, month, report)) => match table(&report) {
            Ok(table) => file(&month, table),
            Err(error) => {
                tracing::error!(%error, "cannot write a statement as CSV");
                shared.turn(TurnedAway { notice: Notice::NotNow, language: visitor.language })
            }
        },
        Err(away) => shared.turn(away),
    }
}

/// A month, and the ones beside it.
struct Month {
    days: Days,
    home: AccountLocale,
    /// None where it would be in the future.
    next: Option<String>,
    previous: Option<String>,
}

impl Shared {
    async fn statement(
        &self,
        asked: &Asked,
        headers: &HeaderMap,
    ) -> Result<(Visitor, Month, Report), TurnedAway> {
        let visitor = self.visitor(headers, asked.whose.as_deref()).await?;
        let found = async {
            let month = self.month(&visitor, asked).await?;
            let (account, zone) = (&visitor.account, month.home.time_zone);
            let report = self.0.0.financings.report(account, month.days, Per::Day, zone).await?;
            Ok((month, report))
        };
        let found: sqlx::Result<(Month, Report)> = with_timeout(found).await;
        let (month, report) = found.map_err(|error| self.trouble(&error, visitor.language))?;
        Ok((visitor, month, report))
    }

    /// The month that is asked for; the one that runs, by the account's clock, where none is or what is asked for is none.
    async fn month(&self, visitor: &Visitor, asked: &Asked) -> sqlx::Result<Month> {
        let portal = &self.0.0;
        let home = portal.financings.home(&visitor.account).await?;
        let today = portal.clock.now().with_timezone(&home.time_zone).date_naive();
        let this = today.with_day(1).unwrap_or(today);
        let wanted: Option<NaiveDate> =
            asked.month.as_deref().and_then(|month| format!("{month}-01").parse().ok());
        let first = wanted.filter(|first| *first <= this && first.year() >= OLDEST).unwrap_or(this);
        let after = first.checked_add_months(Months::new(1)).unwrap_or(first);
        let before =
            first.checked_sub_months(Months::new(1)).filter(|first| first.year() >= OLDEST);
        let word = |first: NaiveDate| first.format("%Y-%m").to_string();
        Ok(Month {
            days: Days::month_of(first),
            home,
            next: (after <= this).then(|| word(after)),
            previous: before.map(word),
        })
    }

    fn page(&self, visitor: &Visitor, month: &Month, report: &Report) -> Response {
        let (portal, pages) = (&self.0.0, &self.0.1);
        let formats = Formats::new(visitor.language, month.home.country.as_deref());
        let writer = Writer { formats: &formats, zone: month.home.time_zone };
        let shown = |line: &Line| shown(&writer, &formats, line);
        let page = context! {
            account_name => month.home.name.clone(),
            account => visitor.account.as_str(),
            from => formats.date(month.days.first()),
            until => formats.date(month.days.last()),
            month => month.days.first().format("%Y-%m").to_string(),
            time_zone => month.home.time_zone.name(),
            lines => value(report.lines.iter().map(shown).collect::<Vec<_>>()),
            totals => value(report.totals.iter().map(shown).collect::<Vec<_>>()),
            next => month.next.clone(),
            previous => month.previous.clone(),
            paths => portal.paths(&visitor.account),
        };
        pages.answer("statement.html", visitor.language, page)
    }
}

fn shown(writer: &Writer<'_>, formats: &Formats, line: &Line) -> Shown {
    let amount = |minor: i64| {
        (minor != 0).then(|| writer.money(&Money { minor, currency: line.currency.clone() }))
    };
    Shown {
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

fn table(report: &Report) -> io::Result<Vec<u8>> {
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

fn file(month: &Month, table: Vec<u8>) -> Response {
    let name =
        format!("attachment; filename=\"capital-{}.csv\"", month.days.first().format("%Y-%m"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&name).expect("digits and fixed words are plain ASCII"),
        ),
    ];
    (StatusCode::OK, headers, table).into_response()
}
