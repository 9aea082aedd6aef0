"""DraftService: hosts the draft model and proposes tokens."""
