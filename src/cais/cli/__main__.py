"""`python -m cais.cli`."""

from cais.cli.main import launch

launch()
