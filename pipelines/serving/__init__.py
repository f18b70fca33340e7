"""The models over HTTP: Ray Serve replicas that autoscale, whole archives, and a page to try it."""
