-- Ends attempts whose claimer's lease is over: functions/recover_tasks.sql.
-- $1 partitions, $2 epochs, $3 incarnations (under which each is held), $4 how many records at most, $5 jitter, $6 the default
-- policy, $7 all incarnations of the caller, $8 oldest records that may stand (null: any)
SELECT * FROM recover_tasks(
  $1::integer[], $2::bigint[], $3::text[], $4::integer, $5::double precision, $6::jsonb, $7::text[], $8::bigint[]
)
