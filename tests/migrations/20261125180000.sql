insert into portal_tokens (token_sha256, expires_at) values (sha256('token'), '2026-11-25T18:05:00Z');
insert into portal_sessions (session_sha256, account_id, language, opened_at, expires_at) values
    (sha256('session'), 'acct_1', 'de', '2026-11-25T18:00:00Z', '2026-11-25T19:00:00Z');
