-- What the cluster is; no row before cluster-init.
SELECT uid, partitions FROM cluster_meta
