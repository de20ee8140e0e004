"""Debian 13 hosts in containers, to try the playbooks on."""
