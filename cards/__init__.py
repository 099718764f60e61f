"""Card templates, read with importlib.resources."""
