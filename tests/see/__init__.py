"""What a person on call sees: alerts, runbook, dashboards, each checked with the real tool."""
