-- Keys of programs that call us: the platform's own, and the webhooks of mail senders. A row stays when a key is revoked.

create table api_keys (
    -- `key_…`: names the key in lists and logs. No secret.
    key_id text primary key,
    -- For whom or what it was made.
    name text not null,
    -- What it may do, as in `api::Scope`. A word that a binary does not know allows nothing there.
    scopes text[] not null,
    -- SHA-256 of the secret, which is 32 bytes by chance: a slow hash is for what people think up.
    secret_sha256 bytea not null unique,
    created_at timestamptz not null,
    -- Not to the minute: written down once an hour at most.
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint api_keys_have_scopes check (cardinality(scopes) > 0)
);
