-- A status no longer has a rank: what one does to another is in a table of the code
-- (`timeline::transition`). Replicas of the release before still write the column and go by it, so
-- it stays until the next release, with a default for rows that are written without it.

alter table financing_offers alter column status_rank set default 0;
comment on column financing_offers.status_rank is 'No longer used; dropped in a later release';
