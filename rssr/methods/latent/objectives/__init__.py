"""Phases that LDCSR and LCMSR share: `autoencoder`, which begins both, and `refinement`, which may end both."""
