-- Who may see which account's Capital section, and for how long. Neither a token nor a cookie is kept, only hashes of them.

create table portal_tokens (
    -- Of the token's `jti`: a token opens one session.
    token_sha256 bytea primary key,
    expires_at timestamptz not null
);

create index portal_tokens_expires on portal_tokens (expires_at);

create table portal_sessions (
    -- Of the cookie.
    session_sha256 bytea primary key,
    account_id text not null,
    -- The language that the dashboard asked for; null: the browser's.
    language text,
    opened_at timestamptz not null,
    expires_at timestamptz not null,
    constraint portal_sessions_hash check (octet_length(session_sha256) = 32)
);

create index portal_sessions_expires on portal_sessions (expires_at);
