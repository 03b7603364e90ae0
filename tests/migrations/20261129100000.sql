insert into offer_listings (livemode, started_at, after_offer_id, offers_seen, offers_new, ended_at) values
    (false, '2026-11-24T12:00:00Z', null, 250, 250, '2026-11-24T12:00:09Z'),
    (false, '2026-11-25T12:00:00Z', 'financingoffer_1', 100, 3, null),
    (null, '2026-11-25T12:00:00Z', null, 0, 0, null);
