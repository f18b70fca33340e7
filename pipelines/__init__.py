"""Scale: Ray Data, Ray Train, Ray Serve and MLflow over `rssr`. Imports `rssr`, never `jobs`."""
