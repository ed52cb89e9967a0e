"""The protocol of ClamAV's clamd, so that every program with a setting for it can be protected."""
