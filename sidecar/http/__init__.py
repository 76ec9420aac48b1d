"""The listeners: `ops` for Prometheus and Kubernetes, `server` for what every listener has in common."""
