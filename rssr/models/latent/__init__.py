"""Networks that LDCSR and LCMSR share: residual autoencoder, condition encoder and latent denoiser."""
