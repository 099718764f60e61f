"""App: the viewer of traces."""
