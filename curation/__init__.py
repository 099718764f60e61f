"""Curation: from video questions to a verified dataset of traces."""
