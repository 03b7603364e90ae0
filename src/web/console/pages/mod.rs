//! The pages. Each file has `PAGE` and `routes()`; a new page is one line in [`ALL`] and one in
//! [`routes`].

mod account;
mod actions;
mod attention;
mod checks;
mod copy;
mod email;
mod emails;
mod events;
mod jobs;
mod offer;
mod opt_outs;
mod overview;
mod search;
mod settings;

pub(super) use checks::LastChecks;
pub(super) use overview::FunnelCounts;

use axum::Router;
use serde::Serialize;

use super::ConsoleState;
use super::access::Visitor;
use crate::format::locale::operator_amount;

/// A page as the shell knows it.
struct ConsolePage {
    path: &'static str,
    /// In the navigation; `None` for a page that is reached from others.
    label: Option<&'static str>,
    /// Each by its name in `templates/console`.
    templates: &'static [(&'static str, &'static str)],
}

/// In the order of the navigation.
const ALL: &[ConsolePage] = &[
    attention::PAGE,
    overview::PAGE,
    emails::PAGE,
    jobs::PAGE,
    events::PAGE,
    copy::PAGE,
    opt_outs::PAGE,
    actions::PAGE,
    settings::PAGE,
    search::PAGE,
    offer::PAGE,
    account::PAGE,
    email::PAGE,
    checks::PAGE,
];

/// Where `/console` leads.
pub(super) const FIRST: &str = ALL[0].path;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .merge(attention::routes())
        .merge(overview::routes())
        .merge(offer::routes())
        .merge(account::routes())
        .merge(email::routes())
        .merge(checks::routes())
        .merge(emails::routes())
        .merge(jobs::routes())
        .merge(events::routes())
        .merge(copy::routes())
        .merge(opt_outs::routes())
        .merge(actions::routes())
        .merge(settings::routes())
        .merge(search::routes())
}

pub(super) fn templates() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().flat_map(|page| page.templates.iter().copied())
}

/// An amount in its currency; a dash if either is unknown.
fn money(minor: Option<i64>, currency: Option<&str>) -> String {
    operator_amount(minor, currency).unwrap_or_else(|| "—".to_owned())
}

/// Rows of a list on one page.
const PAGE_ROWS: i64 = 50;
/// Rows that a filter without an index looks at for one page: bounds the time of a page.
const SCANNED_ROWS: i64 = 1000;

/// The links below a list.
#[derive(Serialize)]
struct PageLinks {
    first: Option<String>,
    next: Option<String>,
}

impl PageLinks {
    /// Of a list that was read with one row more than a page has: removes that row, and links to
    /// the page behind the last row that stays. `after` in the query is the cursor.
    fn cut<T>(visitor: &Visitor, rows: &mut Vec<T>, cursor: impl Fn(&T) -> String) -> Self {
        let page = usize::try_from(PAGE_ROWS).unwrap_or_default();
        let last = rows.get(page.saturating_sub(1)).filter(|_| rows.len() > page).map(cursor);
        rows.truncate(page);
        Self::new(visitor, last.as_deref())
    }

    /// Of a list that was read with `limit` rows and then filtered: removes the other rows
    /// and what does not fit on a page. The next page begins behind the last row that was looked
    /// at, so a page can have few rows and still not be the last.
    fn filter<T>(
        visitor: &Visitor,
        (rows, limit): (&mut Vec<T>, i64),
        keep: impl Fn(&T) -> bool,
        cursor: impl Fn(&T) -> String,
    ) -> Self {
        let page = usize::try_from(PAGE_ROWS).unwrap_or_default();
        let mut is_more = i64::try_from(rows.len()).is_ok_and(|read| read >= limit);
        let (mut kept, mut last) = (Vec::new(), None);
        for row in rows.drain(..) {
            if kept.len() == page {
                is_more = true;
                break;
            }
            last = Some(cursor(&row));
            if keep(&row) {
                kept.push(row);
            }
        }
        *rows = kept;
        Self::new(visitor, last.as_deref().filter(|_| is_more))
    }

    fn new(visitor: &Visitor, cursor: Option<&str>) -> Self {
        let is_later = visitor.uri.query().is_some_and(|query| query.contains("after="));
        Self {
            first: is_later.then(|| visitor.page_with(&[("after", "")])),
            next: cursor.map(|cursor| visitor.page_with(&[("after", cursor)])),
        }
    }
}

#[derive(Serialize)]
pub(super) struct NavigationEntry {
    path: &'static str,
    label: &'static str,
    is_current: bool,
}

/// The navigation on the page at `path`.
pub(super) fn navigation(path: &str) -> Vec<NavigationEntry> {
    let entry = |page: &'static ConsolePage| {
        Some(NavigationEntry { path: page.path, label: page.label?, is_current: page.path == path })
    };
    ALL.iter().filter_map(entry).collect()
}
