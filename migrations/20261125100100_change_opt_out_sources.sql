-- More ways to say that no letters are wanted, and what it is that is not wanted: the proof that is kept for years.

alter table opt_outs
    drop constraint opt_outs_source,
    -- `api` (the platform's own program), `import` (a list), `complaint` (called spam), `sender` (by the mail sender's link).
    add constraint opt_outs_source check (source in (
        'operator', 'link', 'one_click', 'api', 'import', 'complaint', 'sender'
    )),
    -- All letters about Capital: there is no smaller choice.
    add column scope text not null default 'capital_marketing',
    add constraint opt_outs_scope check (scope = 'capital_marketing');

comment on column opt_outs.source is
    'operator, link (our page), one_click (RFC 8058), api, import, complaint, sender (the mail sender''s own link)';
