-- A view has no rows of its own.
select 1;
