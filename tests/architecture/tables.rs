//! Which module owns each table. SQL that names a table belongs to its owner, so that a change of
//! the schema touches one module.

use std::path::Path;

use super::scan::literals;
use super::sources;

/// Each table or view, and the only folder or file whose SQL may name it.
const OWNERS: &[(&str, &str)] = &[
    ("_sqlx_migrations", "database/"),
    ("account_locales", "financing/"),
    ("api_keys", "web/api/keys/"),
    ("charge_sources", "financing/"),
    ("console_sessions", "web/console/session/"),
    ("contact_overrides", "consent/"),
    ("copy_approvals", "letters/"),
    ("deliveries", "letters/"),
    ("delivery_attempt_results", "letters/"),
    ("delivery_attempts", "letters/"),
    ("delivery_reports", "flow/delivered/"),
    ("feedback_events", "feedback/"),
    ("financing_ledger", "financing/"),
    ("financing_offers", "offers/"),
    ("financing_summaries", "financing/"),
    ("financing_transactions", "financing/"),
    ("inbox_bodies", "flow/inbox/"),
    ("inbox_bodies_default", "flow/inbox/"),
    ("inbox_events", "flow/inbox/"),
    ("jobs", "queue/"),
    ("ledger_coverage", "financing/"),
    ("ledger_sums", "financing/"),
    ("letters", "letters/"),
    ("malformed_bodies", "flow/inbox/"),
    ("offer_listings", "maintenance/reconcile/"),
    ("operator_actions", "operators/"),
    ("opt_outs", "consent/"),
    ("pauses", "letters/pauses/"),
    ("payout_explanations", "financing/"),
    ("portal_sessions", "web/portal/session/"),
    ("portal_tokens", "web/portal/session/"),
    ("reconcile_runs", "maintenance/reconcile/"),
    ("refill_discounts", "financing/"),
    ("relays", "mail/"),
    ("replicas", "maintenance/replicas/"),
    ("suppressed_addresses", "consent/"),
    ("timeline_entries", "offers/"),
    ("transaction_backfills", "financing/"),
];

/// The words after which SQL names a table.
const BEFORE_A_TABLE: [&str; 5] = ["from", "into", "join", "table", "update"];

/// The tables that the SQL in this source names, each with its line.
fn named_tables(source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (first_line, literal) in literals(source) {
        let mut previous = String::new();
        for (line, text) in literal.lines().enumerate() {
            // A comment in SQL ends with its line.
            let sql = text.split("--").next().unwrap_or_default();
            let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| !word.is_empty()) {
                let table = OWNERS.iter().find(|(table, _)| *table == word);
                if let Some((table, _)) = table.filter(|_| BEFORE_A_TABLE.contains(&&*previous)) {
                    found.push((first_line + line, *table));
                }
                // `delete from only t`, `alter table only t`
                if word != "only" {
                    word.to_ascii_lowercase().clone_into(&mut previous);
                }
            }
        }
    }
    found
}

fn is_owner(path: &str, table: &str) -> bool {
    OWNERS.iter().any(|(owned, owner)| *owned == table && path.starts_with(owner))
}

/// Each use of a table outside of its module: the file, the line and the table.
fn foreign_uses() -> Vec<(String, usize, &'static str)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in sources(&root) {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let source = std::fs::read_to_string(&file).unwrap();
        let foreign =
            named_tables(&source).into_iter().filter(|(_, table)| !is_owner(&path, table));
        found.extend(foreign.map(|(line, table)| (path.clone(), line, table)));
    }
    found
}

#[test]
fn only_the_owner_of_a_table_names_it_in_sql() {
    let found: Vec<String> = foreign_uses()
        .into_iter()
        .map(|(path, line, table)| {
            let owner = OWNERS.iter().find(|(owned, _)| *owned == table).unwrap().1;
            format!("src/{path}:{line}: only src/{owner} may name the table `{table}`")
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_table_has_an_owner() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(migrations).unwrap() {
        let sql = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in sql.lines() {
            let created = ["create table ", "create view "]
                .iter()
                .find_map(|create| line.strip_prefix(create)?.split([' ', '(']).next());
            tables.extend(created.map(str::to_owned));
        }
    }
    assert!(tables.len() > 20, "only {} tables were found", tables.len());
    for table in tables {
        assert!(OWNERS.iter().any(|(owned, _)| *owned == table), "`{table}` has no owner");
    }
}

#[test]
fn tables_are_found_in_sql_alone_and_with_their_line() {
    let source = concat!(
        "//! From jobs.\n/// Takes from jobs.\nfn f() {\n    query!(\n        \"\n",
        "        select 1 -- from letters\n        FROM jobs\n\", jobs);\n",
        "    g(r#\"update only jobs\"#);\n}\n",
        "#[cfg(test)]\nmod tests { const X: &str = \"from jobs\"; }\n",
    );
    assert_eq!(named_tables(source), [(7, "jobs"), (9, "jobs")]);
}
