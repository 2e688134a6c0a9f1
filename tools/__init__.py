"""What makes and checks parts of the repository, and is not part of the package."""
