-- A status no longer has a rank: what one does to another is in a table of the code
-- (`timeline::transition`). The column stays until the next release, with a default, because replicas
-- of the release before still read and write it. They compare ranks that are no longer kept, so a late
-- event can move an offer back while both run: let the old ones end first (stop, migrate, start).

alter table financing_offers alter column status_rank set default 0;
comment on column financing_offers.status_rank is 'No longer used; dropped in a later release';
