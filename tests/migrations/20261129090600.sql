insert into api_keys (key_id, name, scopes, secret_sha256, created_at, revoked_at)
values
    ('key_in_use', 'dashboard', '{opt_outs:read,opt_outs:write}', '\x01', '2026-11-24T12:00:00Z', null),
    ('key_revoked', 'sendmail', '{bounces:write}', '\x02', '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z');

insert into portal_tokens (token_sha256, expires_at) values (sha256('token'), '2026-11-25T18:05:00Z');
insert into portal_sessions (session_sha256, account_id, language, created_at, expires_at) values
    (sha256('session'), 'acct_1', 'de', '2026-11-25T18:00:00Z', '2026-11-25T19:00:00Z');
