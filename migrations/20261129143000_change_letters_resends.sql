-- A letter that an operator sends once more is a letter of its own, beside the one that was sent.

alter table letters
    -- 0 for the letter of the schedule; its resends count from 1.
    add column resend_number smallint not null default 0,
    add constraint letters_resend_number check (resend_number >= 0),
    drop constraint letters_one_per_sequence,
    add constraint letters_one_per_sequence unique (offer_id, sequence, resend_number);
