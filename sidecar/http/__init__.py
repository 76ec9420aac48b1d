"""The listeners: `ops` for Prometheus and Kubernetes; `server`, `guest` and `answers` are what any listener needs."""
