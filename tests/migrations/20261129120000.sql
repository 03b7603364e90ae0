insert into console_sessions (session_sha256, token_proof, role, name, created_at, last_used_at, expires_at)
values (sha256('cookie'), sha256('proof'), 'act', 'Ada', '2026-11-24T12:00:00Z', '2026-11-24T12:30:00Z', '2026-11-25T00:00:00Z');
