-- Addresses that letters came back from for good, or that the relay refused. No further letter goes to them until somebody says that
-- they work again. A row stays when it ends.

create table refused_addresses (
    refused_address_id bigint generated always as identity primary key,
    -- SHA-256 of the address in lower case: the address itself stands in the letter alone.
    address_sha256 bytea not null,
    -- `bounce` (a report said so) or `refused` (the relay said so when it was given the address).
    reason text not null,
    -- The enhanced status code (RFC 3463).
    status text not null,
    letter_id text not null references letters (letter_id),
    noted_at timestamptz not null,
    -- Since when letters may go there again, and who said so.
    ended_at timestamptz,
    ended_by text,
    constraint refused_addresses_reason check (reason in ('bounce', 'refused')),
    constraint refused_addresses_end_has_source check ((ended_at is null) = (ended_by is null))
);

create unique index refused_addresses_one_at_a_time on refused_addresses (address_sha256) where ended_at is null;

alter table letters
    -- The address that the letter could not go to, as in `refused_addresses`: why it is held, was rejected or came back.
    add column refused_address_sha256 bytea;

create index letters_refused_address on letters (refused_address_sha256) where refused_address_sha256 is not null;
