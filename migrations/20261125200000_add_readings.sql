-- A reading of an account's list of transactions has a beginning: what came on top after that, it did not see.

alter table transaction_backfills
    -- When the first page of the reading that is under way was asked for; null while there is none.
    add column began_at timestamptz,
    -- The reading goes all the way down, also past what was seen before.
    add column is_whole boolean not null default false,
    -- Entries that the reading has passed over so far, because nobody could read or keep them.
    add column skipped integer not null default 0,
    -- Somebody asked for a whole reading, and none has begun since.
    add column asked_again_at timestamptz,
    -- Which mode was read; null: nobody knows. An account has a list in each.
    add column livemode boolean,
    add constraint transaction_backfills_reading check (began_at is not null or (skipped = 0 and not is_whole));

-- From here on `completed_at` is when the last complete reading began, no entry was passed over in it, and `unreadable` is how many were
-- in the last reading that came to an end. What was read before may have gaps: the next reading goes all the way down.
update transaction_backfills set after_transaction_id = null, completed_at = null, unreadable = 0;

-- What is shown to operators.
create index transaction_backfills_unreadable on transaction_backfills (account_id) include (unreadable) where unreadable > 0;
