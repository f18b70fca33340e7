"""LDCSR's own phase, `denoiser`; the others lie in `rssr.methods.latent`."""
