"""A whole training run: data, phases, evaluation, registry, a scene product and a report."""
