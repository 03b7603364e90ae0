-- A day whose bodies are in the default partition gets no partition of its own. Looks before it
-- attaches: an error inside the function leaves the embedded Postgres in an aborted transaction.

create or replace function create_inbox_bodies_partition(day date) returns boolean
language plpgsql security definer
set search_path from current
set lock_timeout = '250ms'
as $$
declare
    partition text := 'inbox_bodies_' || to_char(day, 'YYYYMMDD');
begin
    -- Last, so that a caller's temporary table cannot stand in for one of ours.
    perform set_config('search_path', current_setting('search_path') || ', pg_temp', true);
    if to_regclass(partition) is not null then
        return true;
    end if;
    -- Replicas take turns, and the second one finds the partition.
    lock table inbox_bodies in share update exclusive mode;
    if exists (select from inbox_bodies_default where received_on = day) then
        return false;
    end if;
    if to_regclass(partition) is null then
        execute format('create table %I (like inbox_bodies including all)', partition);
        execute format(
            'alter table inbox_bodies attach partition %I for values from (%L) to (%L)',
            partition, day, day + 1
        );
    end if;
    return true;
exception
    -- A body may be stored between the look and the attachment.
    when lock_not_available or check_violation then
        return false;
end
$$;
