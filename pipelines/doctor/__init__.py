"""What `rssr doctor` looks at beyond `rssr`: Ray and its clusters, MLflow, object stores, clocks.

Each check is registered by name in pyproject.toml (group `rssr.doctor_checks`).
"""
