"""Go's text/template, as far as Docker's `--format` uses it: `Listing` for lists, `typed` for what comes as JSON."""

from cais.cli.gotemplate.errors import TemplateError
from cais.cli.gotemplate.listing import Listing, check
from cais.cli.gotemplate.rows import Method
from cais.cli.gotemplate.template import Template

__all__ = ["Listing", "Method", "Template", "TemplateError", "check"]
