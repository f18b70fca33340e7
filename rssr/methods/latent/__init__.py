"""What the training of LDCSR and LCMSR shares: the residual autoencoder, codes and latents. No method of its own."""
