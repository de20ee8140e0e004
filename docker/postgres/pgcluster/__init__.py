"""A member of a cluster as ./scripts/ops asks it: Patroni's REST API, etcd, what a switchover needs of a server."""
