-- Who may call the API and see an account's Capital section.

-- Keys of programs: the platform's own, and the webhooks of mail senders. A row stays after the
-- key was revoked.
create table api_keys (
    -- `key_…`: names the key in lists and logs. Not a secret.
    key_id text primary key,
    name text not null,
    -- As `api::Scope`. A scope that this version does not know grants nothing.
    scopes text[] not null,
    -- SHA-256 of the secret. Its 32 bytes are random, so a slow hash would add nothing.
    secret_sha256 bytea not null unique,
    created_at timestamptz not null,
    -- Updated once an hour at most.
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint api_keys_have_scopes check (cardinality(scopes) > 0)
);

-- Dashboard tokens that were used: each opens one session.
create table portal_tokens (
    -- SHA-256 of the token's `jti`.
    token_sha256 bytea primary key,
    expires_at timestamptz not null
);

create index portal_tokens_expires on portal_tokens (expires_at);

-- Sessions of the Capital section. Deleting a row ends the session.
create table portal_sessions (
    -- SHA-256 of the cookie.
    session_sha256 bytea primary key,
    account_id text not null,
    -- The language that the dashboard asked for; null: the browser's.
    language text,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    constraint portal_sessions_hash check (octet_length(session_sha256) = 32)
);

create index portal_sessions_expires on portal_sessions (expires_at);
