-- Two roles: the owner of the tables, who runs `capital-courier migrate`, and the service, which
-- reads and writes them and cannot change the evidence. Run this file as the owner after each
-- migration (psql "$OWNER_URL" -f deploy/roles.sql), and once: grant courier_service to <login>.

do $$
begin
    if not exists (select from pg_roles where rolname = 'courier_service') then
        create role courier_service nologin;
    end if;
end
$$;

grant usage on schema public to courier_service;
grant select, insert, update, delete on all tables in schema public to courier_service;

-- Evidence of what was sent: insert only.
revoke update, delete, truncate on delivery_attempts, delivery_attempt_results, delivery_reports
    from courier_service;
-- Opt-outs are ended, approvals withdrawn; neither is deleted.
revoke delete, truncate on opt_outs from courier_service;
revoke update, delete, truncate on copy_approvals from courier_service;
grant update (withdrawn_at, withdrawn_by, withdrawal_reason) on copy_approvals to courier_service;
-- Pauses are ended, never deleted.
revoke update, delete, truncate on pauses from courier_service;
grant update (ended_at, ended_by, end_reason) on pauses to courier_service;
-- The timeline and the log of operators' acts: insert only.
revoke update, delete, truncate on timeline_entries, operator_actions from courier_service;
-- Letters and deliveries are updated, never deleted.
revoke delete, truncate on letters, deliveries from courier_service;
-- Retention drops the bodies of events by the day, through these two functions, which run with the
-- privileges of the owner.
grant execute on function create_inbox_bodies_partition(date) to courier_service;
grant execute on function drop_inbox_bodies_partition(date) to courier_service;
-- Only the owner changes the schema.
revoke insert, update, delete, truncate on _sqlx_migrations from courier_service;
