update reconcile_runs set events_missed = 1;
