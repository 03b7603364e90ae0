-- Evidence: a platform told a merchant about an offer by a channel of its own, and said so.
-- Append-only.
create table delivery_reports (
    delivery_report_id bigint generated always as identity primary key,
    offer_id text not null references financing_offers (offer_id),
    account_id text not null,
    -- `dashboard`, `push`, … in the platform's words.
    channel text not null,
    -- When the merchant was told, by the platform's clock.
    told_at timestamptz not null,
    -- The platform's own reference, such as the id of a message.
    reference text,
    -- The API key's id, or `portal`.
    reported_by text not null,
    recorded_at timestamptz not null,
    -- A repeated request is one report.
    constraint delivery_reports_once unique (offer_id, channel, told_at)
);

create index delivery_reports_account on delivery_reports (account_id);

create trigger delivery_reports_append_only before update or delete on delivery_reports
    for each row execute function reject_change();
create trigger delivery_reports_no_truncate before truncate on delivery_reports
    for each statement execute function reject_change();

-- Null if the platform told the merchant itself: `delivery_reports` says how.
alter table deliveries alter column letter_id drop not null;
