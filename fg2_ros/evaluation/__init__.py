"""How accurate localization is."""
