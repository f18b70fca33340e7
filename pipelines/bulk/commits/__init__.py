"""Products enter the output once, the ledger says what became of each scene, and a run is proved."""
