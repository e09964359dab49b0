"""People: the desk where reviewers decide."""
