"""A run's report: `python -m fer_jax.report --workdir=runs/x` writes pictures and one HTML page into its workdir."""
