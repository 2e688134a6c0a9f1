"""What makes parts of the documentation: not part of the package."""
