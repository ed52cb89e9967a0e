"""Programs that servers run for each upload: ``hashwacht-hook``, and links to it by name."""
