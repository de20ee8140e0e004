"""The operators' dashboard: panels.json, drawn by static/dashboard/dashboard.js, with figures from Prometheus.

Only with monitoring (docker/compose/monitoring.yml sets PROMETHEUS_URL). users.admin_site adds it to the admin.
"""
