update inbox_events set signed_with = '0a1b2c3d';
