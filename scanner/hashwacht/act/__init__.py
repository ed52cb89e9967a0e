"""Acting on files: holding, quarantine, and putting back.  Nothing here decides anything."""
