"""pg_upgrade: a data directory of an older major version becomes one of this image's; the old one stays as it is."""
