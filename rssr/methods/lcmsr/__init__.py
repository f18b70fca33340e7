"""LCMSR: one step of a consistency function on the latents of a residual autoencoder."""
