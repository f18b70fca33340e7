"""LCMSR's own phase, `consistency`; the others lie in `rssr.methods.latent`."""
