-- Ids for $1 tasks that are about to be inserted: first and those that follow it, or where others have taken some of these, in ids.
-- And how many partitions there are: null before cluster-init.
SELECT m.partitions, r.ids[1] AS first, CASE WHEN r.ids[$1::integer] - r.ids[1] >= $1 THEN r.ids END AS ids
FROM (SELECT array_agg(nextval('task_id_seq')) AS ids FROM generate_series(1, $1)) AS r
LEFT JOIN cluster_meta m ON true
