//! Queries for the export of an account. Each module defines those of its own tables.

/// Defines a function that returns the rows of a query as JSON texts, in the order of the query,
/// whose only parameter is a list of ids. JSON columns are part of the text unchanged; bytes are
/// hexadecimal, as in `\x00ff`. The caller owns the transaction.
macro_rules! export_rows {
    ($name:ident, $query:tt) => {
        /// The rows of these ids, for `account export`.
        pub async fn $name(
            db: impl sqlx::PgExecutor<'_>,
            ids: &[String],
        ) -> sqlx::Result<Vec<String>> {
            // `to_json`, because `jsonb` refuses the `\u0000` that Stripe may send.
            sqlx::query_scalar!(
                r#"select to_json(exported)::text as "row!" from ("# + $query + ") as exported",
                ids
            )
            .fetch_all(db)
            .await
        }
    };
}

pub(crate) use export_rows;
