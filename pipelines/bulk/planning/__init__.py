"""What a run is, which scenes it has, and how each is cut; written down before anything is computed."""
