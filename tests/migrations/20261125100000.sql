insert into api_keys (key_id, name, scopes, secret_sha256, created_at, revoked_at)
values
    ('key_in_use', 'dashboard', '{opt_outs:read,opt_outs:write}', '\x01', '2026-11-24T12:00:00Z', null),
    ('key_revoked', 'sendmail', '{bounces:write}', '\x02', '2026-11-24T12:00:00Z', '2026-11-25T12:00:00Z');
