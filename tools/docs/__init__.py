"""The documentation: what is generated, the site, and the checks of its pages."""
