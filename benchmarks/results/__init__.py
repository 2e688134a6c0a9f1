"""Makes the tables and charts of the documentation: recipes, their steps, their outcomes, the pages that quote them."""
