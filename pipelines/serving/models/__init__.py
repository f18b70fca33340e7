"""Model replicas: which version is served, how tiles of many requests run together, and how a new version is tried."""
