"""LDCSR: any scale in a few steps of diffusion between LR and HR images, in a small latent."""
