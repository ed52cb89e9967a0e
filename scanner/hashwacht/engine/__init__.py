"""The steps that scan, daemon, uploads and recheck share: compare, read, record, judge, recheck."""
