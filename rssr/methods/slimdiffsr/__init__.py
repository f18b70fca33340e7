"""SlimDiffSR: one-step diffusion super-resolution by an uncertainty-guided teacher and a pruned student."""
