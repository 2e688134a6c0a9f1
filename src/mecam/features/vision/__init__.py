"""Pictures → features: faces, their tracks, expressions and landmarks."""
