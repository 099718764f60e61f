"""How each problem type is scored; `curation.tasks` is the face of it."""
