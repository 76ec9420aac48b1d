"""The listeners: `ops` for Prometheus and Kubernetes; `server`, `connection` and `answers` serve any of them."""
