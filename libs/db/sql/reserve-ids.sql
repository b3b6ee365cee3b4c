-- Ids for $1 tasks that are about to be inserted, in their order, and how many partitions there are: null before cluster-init.
SELECT (SELECT partitions FROM cluster_meta) AS partitions, array_agg(nextval('task_id_seq')) AS ids
FROM generate_series(1, $1::integer)
