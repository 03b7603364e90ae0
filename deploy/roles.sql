-- Two roles: the owner of the tables, who runs `capital-courier migrate`, and the service, which reads and writes them and cannot
-- change what is proof. Run this as the owner, after each migration (psql "$OWNER_URL" -f deploy/roles.sql); then give the service's login
-- the role: grant courier_service to <login>.

do $$
begin
    if not exists (select from pg_roles where rolname = 'courier_service') then
        create role courier_service nologin;
    end if;
end
$$;

grant usage on schema public to courier_service;
grant select, insert, update, delete on all tables in schema public to courier_service;

-- The proof of what was sent is added to, and neither changed nor thrown away.
revoke update, delete, truncate on delivery_attempts, delivery_attempt_results from courier_service;
-- Who opted out when, and what Stripe approved, is kept: an opt-out is ended, not deleted.
revoke delete, truncate on opt_outs from courier_service;
revoke update, delete, truncate on copy_approvals from courier_service;
-- What happened to an offer is added to.
revoke update, delete, truncate on timeline_entries from courier_service;
-- Letters and deliveries change, and do not go away.
revoke delete, truncate on letters, deliveries from courier_service;
-- Retention drops bodies of events by the day, and nothing else: by these two functions, which run
-- with the owner's privileges.
grant execute on function create_inbox_bodies_partition(date) to courier_service;
grant execute on function drop_inbox_bodies_partition(date) to courier_service;
-- The schema is the owner's.
revoke insert, update, delete, truncate on _sqlx_migrations from courier_service;
