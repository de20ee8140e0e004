"""Django's PostgreSQL backend with a cheaper connection check and dual passwords (Django imports base.py)."""
