-- Sessions of the console. Deleting a row ends the session.
create table console_sessions (
    -- SHA-256 of the cookie.
    session_sha256 bytea primary key,
    -- HMAC of the token that opened the session, keyed with the cookie. A session ends when its
    -- token changes. Without the cookie, the token cannot be guessed from this.
    token_proof bytea not null,
    role text not null,
    -- The person's name, as entered at the sign-in: it stands in the log of acts.
    name text not null,
    created_at timestamptz not null,
    -- Updated once a minute at most.
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    constraint console_sessions_role check (role in ('act', 'read')),
    constraint console_sessions_hashes check (
        octet_length(session_sha256) = 32 and octet_length(token_proof) = 32
    )
);

create index console_sessions_expires on console_sessions (expires_at);
