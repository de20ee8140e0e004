"""A member of a cluster as ./scripts/ops asks it: Patroni's REST API, etcd, and what a switchover needs of the server."""
