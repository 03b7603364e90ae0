//! What the server and the role can do.

use super::Pool;

#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// `server_version_num`: 150004 for 15.4.
    pub version: i32,
    pub version_text: String,
    pub role: String,
    /// Whether a migration was ever applied.
    pub has_schema: bool,
    /// Tables of ours that the role may not read, or not insert into.
    pub unusable: Vec<String>,
    /// The given tables whose rows the role may update, delete or truncate.
    pub changeable: Vec<String>,
}

/// Asks the server about itself and about the privileges of the role.
pub async fn server_info(pool: &Pool, protected_tables: &[&str]) -> sqlx::Result<ServerInfo> {
    let (version, version_text, role, has_schema) = sqlx::query_as(
        "
        select current_setting('server_version_num')::int,
            split_part(current_setting('server_version'), ' ', 1),
            current_user::text,
            to_regclass('_sqlx_migrations') is not null
        ",
    )
    .fetch_one(pool)
    .await?;
    // A partition is reached through its table. The service reads the migrations and never writes
    // them.
    let unusable: Vec<(String,)> = sqlx::query_as(
        "
        select relname::text
        from pg_class
        where relkind in ('r', 'p') and not relispartition
            and relnamespace = (
                select relnamespace from pg_class where oid = to_regclass('_sqlx_migrations')
            )
            and not (
                has_table_privilege(oid, 'select')
                and (relname = '_sqlx_migrations' or has_table_privilege(oid, 'insert'))
            )
        order by relname
        ",
    )
    .fetch_all(pool)
    .await?;
    let changeable: Vec<(String,)> = sqlx::query_as(
        "
        select name
        from unnest($1::text[]) name
        where to_regclass(name) is not null
            and has_table_privilege(to_regclass(name), 'update, delete, truncate')
        order by name
        ",
    )
    .bind(protected_tables)
    .fetch_all(pool)
    .await?;
    let names = |rows: Vec<(String,)>| rows.into_iter().map(|(name,)| name).collect();
    Ok(ServerInfo {
        version,
        version_text,
        role,
        has_schema,
        unusable: names(unusable),
        changeable: names(changeable),
    })
}
