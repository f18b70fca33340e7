"""SlimDiffSR's phases: `base`, `uncertainty`, `teacher`, `student`, one file each."""
